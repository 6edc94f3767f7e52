"""Learning-augmented algorithms: all measurements of a run."""

from typing import NamedTuple

import numpy as np

from .demand import Rental
from .errors import ErrorCurves
from .frontiers import Deterministic, Frontiers, Schedules


class Results(NamedTuple):
    """All measurements."""

    prices: tuple[int, ...]
    frontiers: Frontiers
    deterministic: list[Deterministic]
    schedules: Schedules
    rental: ErrorCurves
    noisy_jobs: ErrorCurves
    jobs: dict[str, np.ndarray]  # [schedule, block] by kind of requests
    seasons: Rental
    misses: np.ndarray
    combined: float
    real: bool
