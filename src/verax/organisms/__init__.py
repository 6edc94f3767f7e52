"""Model organisms: tiny language models trained from scratch on a synthetic policy.

Failures of safety training can be caused, measured and mended in them.

Everything is integers. Results on the synthetic language are statements about that language.
"""

from ._decoder import DecoderConfig as DecoderConfig
from ._decoder import decoder_activations as decoder_activations
from ._decoder import decoder_apply as decoder_apply
from ._decoder import init_decoder as init_decoder
from ._deliberate import DeliberationLog as DeliberationLog
from ._deliberate import Deliberations as Deliberations
from ._deliberate import deliberate as deliberate
from ._deliberate import deliberative_finetune as deliberative_finetune
from ._deliberate import sample_deliberations as sample_deliberations
from ._encodings import FAMILIES as FAMILIES
from ._encodings import Encoding as Encoding
from ._evaluate import Transform as Transform
from ._evaluate import controls as controls
from ._evaluate import evaluate as evaluate
from ._evaluate import transforms as transforms
from ._generate import generate as generate
from ._jobs import Job as Job
from ._jobs import finetune as finetune
from ._jobs import make_job as make_job
from ._margin import refusal_margin as refusal_margin
from ._mixture import Component as Component
from ._mixture import draw_examples as draw_examples
from ._reinforce import ReinforceLog as ReinforceLog
from ._reinforce import reinforce as reinforce
from ._requests import Requests as Requests
from ._requests import refuses as refuses
from ._restate import restate as restate
from ._stages import pretrain as pretrain
from ._stages import safety_finetune as safety_finetune
from ._thoughts import Thought as Thought
from ._thoughts import read_thought as read_thought
from ._thoughts import thinking_prompts as thinking_prompts
from ._train import TrainLog as TrainLog
from ._train import answer_loss as answer_loss
from ._train import fit as fit
from ._vocabulary import OPERATIONS as OPERATIONS
from ._vocabulary import STYLES as STYLES
from ._vocabulary import TASKS as TASKS
from ._vocabulary import THOUGHTS as THOUGHTS
from ._vocabulary import Vocabulary as Vocabulary
from ._world import PolicyWorld as PolicyWorld
