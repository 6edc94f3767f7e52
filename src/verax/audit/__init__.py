"""Audit of fine-tuning: whether a data set, or the model tuned on it, teaches what its surface hides.

Detectors see arrays of token ids, the model before and perhaps after fine-tuning. A flag is a reason to look, not a
finding of intent.
"""

from ._alignment import GradientAlignment as GradientAlignment
from ._alignment import NTKAlignment as NTKAlignment
from ._calibrate import calibrate as calibrate
from ._conformal import combine_p_values as combine_p_values
from ._conformal import conformal_p_value as conformal_p_value
from ._data_detectors import Novelty as Novelty
from ._data_detectors import PointwiseFilter as PointwiseFilter
from ._decipher import Decipherment as Decipherment
from ._decipher import decipher as decipher
from ._decode_then_filter import DecodeThenFilter as DecodeThenFilter
from ._detection import Detection as Detection
from ._detection import Detector as Detector
from ._detection import Status as Status
from ._language import Language as Language
from ._language import fit_language as fit_language
from ._model_detectors import ActivationProbe as ActivationProbe
from ._model_detectors import BehaviouralProbe as BehaviouralProbe
from ._model_detectors import SelfDecode as SelfDecode
from ._report import DetectionReport as DetectionReport
from ._report import Interval as Interval
from ._report import detection_report as detection_report
