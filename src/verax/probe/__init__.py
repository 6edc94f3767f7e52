"""How wrong a linear probe on given features will be on new data, how many more labels help, and whether to believe it.

Features and labels come as NumPy arrays from anywhere; `RidgeProbe` is a scikit-learn estimator. The theory is that of
``verax.spectral``, and the ridge is 1/n-normalised here as there.
"""

from . import _requires as _requires  # first, since it says what is missing
from ._estimator import RidgeProbe as RidgeProbe
from ._results import Comparison as Comparison
from ._results import Estimate as Estimate
from ._results import Forecast as Forecast
from ._results import ForecastStatus as ForecastStatus
from ._results import IndependenceCheck as IndependenceCheck
from ._results import LawStatus as LawStatus
from ._results import NeedStatus as NeedStatus
from ._results import PerClass as PerClass
from ._results import ProbeLaw as ProbeLaw
from ._results import SamplesNeeded as SamplesNeeded
