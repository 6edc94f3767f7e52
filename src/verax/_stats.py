"""Limits for binomial rates and quantiles for conformal prediction."""

import math

import numpy as np
from scipy import stats

from ._errors import fail


def clopper_pearson(successes: int, trials: int, level: float) -> tuple[float, float]:
    """Exact limits of a binomial rate, each missed with probability at most (1 - level) / 2."""
    tail = (1 - level) / 2
    lower = 0.0 if successes == 0 else float(stats.beta.ppf(tail, successes, trials - successes + 1))
    upper = 1.0 if successes == trials else float(stats.beta.ppf(1 - tail, successes + 1, trials - successes))
    return lower, upper


def conformal_rank(num_units: int, level: float, *, argument: str) -> int:
    """Rank, from 1, of the value that a further exchangeable unit exceeds with probability at most 1 - level."""
    rank = math.ceil((num_units + 1) * level - 1e-9)
    if rank > num_units:
        needed = math.ceil(level / (1 - level) - 1e-9)
        fail(argument, f"{num_units} units for level {level}", f"at least {needed}")
    return rank


def conformal_quantile(values: np.ndarray, level: float, *, argument: str, axis: int = 0) -> np.ndarray:
    """Value that a further exchangeable one exceeds with probability at most 1 - level."""
    rank = conformal_rank(values.shape[axis], level, argument=argument)
    return np.asarray(np.take(np.sort(values, axis=axis), rank - 1, axis=axis))
