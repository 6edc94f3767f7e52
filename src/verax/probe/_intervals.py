"""Intervals of shares and means."""

import numpy as np
from scipy.stats import binomtest, norm

from ._results import Estimate


def wilson(count: int, total: int, level: float) -> tuple[float, float]:
    """Ends of Wilson's interval for a share."""
    found = binomtest(count, total).proportion_ci(level, method="wilson")
    return float(found.low), float(found.high)


def error_of_share(count: int, total: int) -> float:
    """Standard error of a share, seen from its upper 95 % limit: a share that is small by luck is no surer for it."""
    return (wilson(count, total, 0.95)[1] - count / total) / float(norm.ppf(0.975))


def mean_estimate(losses: np.ndarray, level: float) -> Estimate:
    """Mean of non-negative losses with a normal interval."""
    return interval(float(losses.mean()), float(losses.std(ddof=1) / np.sqrt(len(losses))), level, np.inf)


def interval(value: float, standard_error: float, level: float, most: float) -> Estimate:
    """Normal interval, cut at zero and at the largest possible value."""
    reach = float(norm.ppf((1 + level) / 2)) * standard_error
    return Estimate(value, standard_error, max(value - reach, 0.0), min(value + reach, most))
