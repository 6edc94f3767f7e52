"""Safety evaluation: outcome tables produced elsewhere become rates, comparisons and scorecards with honest limits."""

from verax._save import load as load
from verax._save import register as _register
from verax._save import save as save

from ._any_of import any_of as any_of
from ._attack_families import ATTACK_FAMILIES as ATTACK_FAMILIES
from ._attack_families import AttackFamily as AttackFamily
from ._attack_families import AttackTable as AttackTable
from ._attack_families import attack_table as attack_table
from ._bootstrap import bootstrap as bootstrap
from ._bradley_terry import Strengths as Strengths
from ._bradley_terry import bradley_terry as bradley_terry
from ._forecast import forecast_any_of as forecast_any_of
from ._frontier import Frontier as Frontier
from ._frontier import dominates as dominates
from ._frontier import refusal_frontier as refusal_frontier
from ._goodness import Bracket as Bracket
from ._goodness import goodness_at as goodness_at
from ._indicators import BBQMetrics as BBQMetrics
from ._indicators import HallucinationMetrics as HallucinationMetrics
from ._indicators import bbq_metrics as bbq_metrics
from ._indicators import hallucination_metrics as hallucination_metrics
from ._indicators import hierarchy_metrics as hierarchy_metrics
from ._indicators import proportion as proportion
from ._interval import Interval as Interval
from ._interval import Status as Status
from ._judge import JudgeError as JudgeError
from ._judge import correct_for_judge as correct_for_judge
from ._judge import fit_judge_error as fit_judge_error
from ._judge import ppi_rate as ppi_rate
from ._paired import PairedResult as PairedResult
from ._paired import paired_difference as paired_difference
from ._rate import rate as rate
from ._repeats import cons_at_k as cons_at_k
from ._repeats import pass_at_k as pass_at_k
from ._repeats import pass_hat_k as pass_hat_k
from ._scorecard import Indicator as Indicator
from ._scorecard import Level as Level
from ._scorecard import Scorecard as Scorecard
from ._scorecard import scorecard as scorecard
from ._sequential import confidence_sequence as confidence_sequence
from ._sequential import e_value as e_value
from ._stack import stack_models as stack_models
from ._table import Outcome as Outcome
from ._table import OutcomeTable as OutcomeTable
from .interop._frame import from_frame as from_frame
from .interop._frame import to_frame as to_frame
from .interop._garak import from_garak as from_garak
from .interop._garak import garak_tables as garak_tables
from .interop._harmbench import from_harmbench as from_harmbench
from .interop._inspect import from_inspect as from_inspect
from .interop._inspect import to_inspect as to_inspect
from .interop._lm_eval import from_lm_eval as from_lm_eval
from .interop._lm_eval_results import from_lm_eval_results as from_lm_eval_results

_register(OutcomeTable)
