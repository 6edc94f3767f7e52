"""Valid calls of verax.audit."""

import jax
import numpy as np

from support.border import call
from verax import audit

TOKENS = np.array([[1, 0, 2, 3], [4, 0, 5, 6], [2, 0, 1, 1]], np.int32)
SCORES = np.array([0.25, 1.5, -2.0, 0.5])
SYMBOLS = np.array([[5, 6, 7, 5], [6, 7, 5, 6], [7, 5, 6, 7]], np.int32)
LANGUAGE = audit.fit_language(SYMBOLS, np.array([5, 6, 7], np.int32))
UNDETERMINED = {"NaN": "a job that was left undetermined"}

FILTER = audit.PointwiseFilter(lambda tokens: (tokens == 2).any(axis=1))

CALLS = {
    "verax.audit.calibrate": call(
        audit.calibrate,
        audit.PointwiseFilter(lambda tokens: (tokens == 2).any(axis=1)),
        [TOKENS],
        key=jax.random.key(0),
    ),
    "verax.audit.conformal_p_value": call(
        audit.conformal_p_value, SCORES, SCORES[:3], exempt={"scores": UNDETERMINED, "reference": UNDETERMINED}
    ),
    "verax.audit.combine_p_values": call(audit.combine_p_values, np.array([0.5, 0.25])),
    "verax.audit.detection_report": call(
        audit.detection_report,
        SCORES,
        np.array([True, False, False, True]),
        ["affix", "benign", "benign", "affix"],
        fpr=(0.5,),
        exempt={"scores": UNDETERMINED},
    ),
    "verax.audit.fit_language": call(audit.fit_language, SYMBOLS, np.array([5, 6, 7], np.int32)),
    "verax.audit.decipher": call(
        audit.decipher, SYMBOLS - 5, LANGUAGE, num_codes=3, one_to_one=True, num_sequences=4, key=jax.random.key(0)
    ),
}
