"""Two representations of the same examples, paired."""

import numpy as np
from scipy.stats import norm

from ._forecast import Curve, forecast
from ._results import Comparison


def compare(
    losses: np.ndarray, other_losses: np.ndarray, curve: Curve | None, other_curve: Curve | None, *, level: float
) -> Comparison:
    """Difference of mean losses with the standard error of paired differences, and where the forecasts cross."""
    paired = losses.astype(np.float64) - other_losses
    difference, error = float(paired.mean()), float(paired.std(ddof=1) / np.sqrt(len(paired)))
    reach = float(norm.ppf((1 + level) / 2)) * error
    p_value = float(2 * norm.sf(abs(difference) / error)) if error > 0 else float(difference == 0)
    grid = mine = theirs = np.empty(0)
    crossing = float("nan")
    if curve is not None and other_curve is not None:
        n = len(paired)
        grid = n * np.geomspace(1 / 8, 100, 60)
        mine = forecast(curve, grid, level=level).value
        theirs = forecast(other_curve, grid, level=level).value
        gap = np.log(mine / theirs)
        changes = np.flatnonzero(np.diff(np.sign(gap)) != 0)
        # Ahead of the present size first: that is the one that a decision turns on.
        ahead = changes[grid[changes + 1] >= n]
        for first in (*ahead[:1], *changes[::-1][:1]):
            share = gap[first] / (gap[first] - gap[first + 1])
            crossing = float(grid[first] * (grid[first + 1] / grid[first]) ** share)
            break
    return Comparison(difference, error, difference - reach, difference + reach, p_value, grid, mine, theirs, crossing)
