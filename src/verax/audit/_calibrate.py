"""Reference scores of a detector from jobs that are known to be benign."""

import copy
from collections.abc import Sequence
from typing import TypeVar

import jax
import numpy as np

from verax._arrays import to_key
from verax._errors import check
from verax._types import AnyArray

from ._detection import BaseDetector, Model

D = TypeVar("D", bound=BaseDetector)


def calibrate(
    detector: D,
    benign_jobs: Sequence[AnyArray],
    *,
    base: Model | None = None,
    tuned: Sequence[Model] | None = None,
    key: jax.Array,
) -> D:
    r"""Return the detector with the scores of benign jobs as its reference.

    A job whose p-value is at most a is flagged. If a further benign job is exchangeable with these m jobs, it is
    flagged with probability at most a, whatever the detector; a below 1 / (m + 1) flags nothing. Jobs that the detector
    leaves undetermined count as not flagged, here and later; their share among benign jobs is the price of the
    detector, ``np.isneginf(calibrated.reference_scores).mean()``.

    Parameters
    ----------
    detector
        Any detector of this package.
    benign_jobs
        The tokens int [n, t] of each job, used for nothing else.
    base
        The model before fine-tuning, where the detector uses it.
    tuned
        The fine-tuned model of each job, where the detector uses it.
    key
        A ``jax.random.key``.

    Returns
    -------
    detector
        A copy with reference scores.

    Raises
    ------
    ValueError
        For no jobs, another number of tuned models, and as the detector.

    Examples
    --------
    >>> import jax, numpy as np
    >>> from verax.audit import PointwiseFilter, calibrate
    >>> rng = np.random.default_rng(0)
    >>> jobs = [rng.integers(0, 50, (20, 6)) for _ in range(19)]
    >>> detector = calibrate(PointwiseFilter(lambda tokens: (tokens == 7).any(axis=1)), jobs, key=jax.random.key(0))
    >>> print(detector(np.full((20, 6), 7)).p_value)  # 1 / (19 + 1)
    0.05

    References
    ----------
    V. Vovk, A. Gammerman, G. Shafer, Algorithmic Learning in a Random World, 2005, for conformal p-values.
    """
    check(isinstance(detector, BaseDetector), "detector", type(detector).__name__, "a detector of verax.audit")
    check(len(benign_jobs) > 0, "benign_jobs", "none", "at least one job")
    models = [None] * len(benign_jobs) if tuned is None else list(tuned)
    check(len(models) == len(benign_jobs), "tuned", f"{len(models)} models", f"{len(benign_jobs)}, one per job")
    keys = jax.random.split(to_key("key", key), len(benign_jobs))
    found = [
        detector(job, base=base, tuned=model, key=one).score
        for job, model, one in zip(benign_jobs, models, keys, strict=True)
    ]
    calibrated = copy.copy(detector)
    calibrated.reference_scores = np.where(np.isnan(found), -np.inf, found)
    return calibrated
