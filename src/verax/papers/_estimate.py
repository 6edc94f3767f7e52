"""Numbers over seeds, with their standard errors."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Estimate(NamedTuple):
    """A number with its standard error over seeds, ``None`` with fewer than two."""

    value: float
    standard_error: float | None
    seeds: int


def over_seeds(values: np.ndarray) -> Estimate:
    """Mean and standard error of one number per seed; seeds without one are left out and not counted."""
    values = values[~np.isnan(values)]
    if len(values) == 0:
        return Estimate(float("nan"), None, 0)
    error = float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None
    return Estimate(float(values.mean()), error, len(values))


def jackknife(statistic: Callable[[np.ndarray], float], num_seeds: int) -> Estimate:
    """Compute a statistic of chosen seeds, with its jackknife standard error."""
    seeds = np.arange(num_seeds)
    value = statistic(seeds)
    if num_seeds < 2:
        return Estimate(value, None, num_seeds)
    without = np.array([statistic(np.delete(seeds, seed)) for seed in seeds])
    error = float(np.sqrt((num_seeds - 1) * without.var()))
    return Estimate(value, None if np.isnan(error) else error, num_seeds)
