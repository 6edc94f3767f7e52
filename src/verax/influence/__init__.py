"""Influence: which training examples made a prediction."""

from verax._save import load as load
from verax._save import register as _register
from verax._save import save as save

from ._approximate import influence as influence
from ._exact import exact_influence as exact_influence
from ._results import Estimate as Estimate
from ._results import Influence as Influence
from ._results import Ranking as Ranking
from ._results import Status as Status
from ._results import top as top
from ._score import linear_datamodeling_score as linear_datamodeling_score

_register(Influence)
