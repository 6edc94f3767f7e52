"""Logs of the tools that produce verdicts, read into outcome tables; text is dropped unless asked for."""

from ._frame import from_frame as from_frame
from ._frame import to_frame as to_frame
from ._garak import from_garak as from_garak
from ._harmbench import from_harmbench as from_harmbench
from ._inspect import from_inspect as from_inspect
from ._inspect import to_inspect as to_inspect
from ._lm_eval import from_lm_eval as from_lm_eval
from ._lm_eval_results import from_lm_eval_results as from_lm_eval_results
