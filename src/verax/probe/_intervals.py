"""Intervals of shares, means and areas under the ROC curve."""

import numpy as np
from scipy.stats import norm, rankdata

from ._results import Estimate


def wilson(share: float, total: float, level: float) -> tuple[float, float]:
    """Ends of Wilson's interval for a share of ``total`` independent trials, which need not be a whole number."""
    z = float(norm.ppf((1 + level) / 2))
    center = (share + z**2 / (2 * total)) / (1 + z**2 / total)
    reach = z / (1 + z**2 / total) * float(np.sqrt(share * (1 - share) / total + z**2 / (4 * total**2)))
    # At the ends rounding must not leave the share itself outside.
    return min(max(center - reach, 0.0), share), max(min(center + reach, 1.0), share)


def effective_number(losses: np.ndarray, weights: np.ndarray | None, groups: np.ndarray | None) -> float:
    """Number of independent rows whose mean would be as uncertain as that of these losses.

    Groups count by the spread of their sums, and where no spread shows (no error at all) each group counts once.
    """
    n = len(losses)
    w = np.ones(n) if weights is None else weights
    plain = float(w.sum() ** 2 / np.sum(w**2))
    if groups is None:
        return plain
    centred = w * (losses - np.average(losses, weights=w))
    sums, count = np.bincount(groups, weights=centred), float(groups.max() + 1)
    own = float(np.sum(centred**2))
    if not own > 0:
        return min(plain, count)
    together = float(np.sum(sums**2)) * count / (count - 1)
    return float(np.clip(plain * own / max(together, 1e-300), 1.0, plain))


def share_estimate(wrong: np.ndarray, weights: np.ndarray | None, number: float, level: float) -> Estimate:
    """Weighted share with Wilson's interval for an effective number of rows."""
    share = float(np.average(wrong, weights=weights))
    return Estimate(share, float(np.sqrt(share * (1 - share) / number)), *wilson(share, number, level))


def error_of_share(share: float, number: float) -> float:
    """Standard error of a share, seen from its upper 95 % limit: a share that is small by luck is no surer for it."""
    return (wilson(share, number, 0.95)[1] - share) / float(norm.ppf(0.975))


def mean_estimate(losses: np.ndarray, weights: np.ndarray | None, number: float, level: float) -> Estimate:
    """Weighted mean of non-negative losses with a normal interval."""
    mean = float(np.average(losses, weights=weights))
    spread = float(np.average((losses - mean) ** 2, weights=weights))
    return interval(mean, float(np.sqrt(spread / max(number - 1, 1))), level, np.inf)


def interval(value: float, standard_error: float, level: float, most: float) -> Estimate:
    """Normal interval, cut at zero and at the largest possible value."""
    reach = float(norm.ppf((1 + level) / 2)) * standard_error
    return Estimate(value, standard_error, max(value - reach, 0.0), min(value + reach, most))


def area_estimate(scores: np.ndarray, positive: np.ndarray, level: float) -> Estimate:
    """Area under the ROC curve, the mean over the columns of scores [n, C], with DeLong's standard error.

    ``positive`` is bool [n, C]. Each row's part in the mean of the areas is known, and the spread of the parts gives
    the error; it is seen from the smoothed area, so that an area of 1 is not taken as certain.
    """
    n, num_columns = scores.shape
    parts, areas = np.zeros(n), []
    for column in range(num_columns):
        truth = positive[:, column]
        m = int(truth.sum())
        if m in (0, n):
            continue
        ranks = rankdata(scores[:, column])
        inside = np.empty(n)
        inside[truth], inside[~truth] = rankdata(scores[truth, column]), rankdata(scores[~truth, column])
        below = np.where(truth, (ranks - inside) / (n - m), 1 - (ranks - inside) / m)
        area = float(below[truth].mean())
        areas.append(area)
        parts += (below - area) / np.where(truth, m / n, 1 - m / n)
    if not areas:
        return Estimate(float("nan"), float("nan"), 0.0, 1.0)
    area = float(np.mean(areas))
    error = float(np.std(parts, ddof=1) / np.sqrt(n)) / len(areas)
    smoothed = (area * n + 1) / (n + 2)
    error = max(error, float(np.sqrt(smoothed * (1 - smoothed) / n)) / 2)
    return interval(area, error, level, 1.0)
