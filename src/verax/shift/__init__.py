"""Error under distribution shift without labels: scores, corruptions, calibration to an error, and a monitor."""

from verax._save import load as load
from verax._save import save as save

from . import corruptions as corruptions
from ._agreement import agreement as agreement
from ._agreement import agreement_on_the_line as agreement_on_the_line
from ._agreement import rotation as rotation
from ._calibration import ErrorCalibration as ErrorCalibration
from ._calibration import Estimate as Estimate
from ._calibration import Validation as Validation
from ._calibration import bootstrap_scores as bootstrap_scores
from ._confidence import atc as atc
from ._confidence import average_confidence as average_confidence
from ._confidence import difference_of_confidence as difference_of_confidence
from ._confidence import entropy as entropy
from ._confusion import Confusion as Confusion
from ._confusion import MetricEstimate as MetricEstimate
from ._confusion import estimate_confusion as estimate_confusion
from ._dispersity import dispersion as dispersion
from ._dispersity import frechet as frechet
from ._dispersity import mano as mano
from ._dispersity import mde as mde
from ._dispersity import nuclear_norm as nuclear_norm
from ._kernel_projection_norm import gram_projection_norm as gram_projection_norm
from ._kernel_projection_norm import kernel_projection_norm as kernel_projection_norm
from ._monitor import ShiftMonitor as ShiftMonitor
from ._monitor_table import MonitorTable as MonitorTable
from ._optimal_transport import cot as cot
from ._optimal_transport import cott as cott
from ._probabilities import from_probabilities as from_probabilities
from ._projection_norm import projection_norm as projection_norm
from ._reweighting import cbpe as cbpe
from ._reweighting import importance_reweighting as importance_reweighting
from ._scores import Scores as Scores
from ._scores import Status as Status
from ._temperature import fit_temperature as fit_temperature
