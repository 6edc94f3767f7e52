"""How many examples would be enough, and where more of them end: decided by the band."""

import numpy as np

from ._forecast import Curve, forecast
from ._results import NeedStatus, SamplesNeeded

_HORIZON = 1_000
_UNLIMITED = 1e8


def samples_needed(curve: Curve, target: float, *, level: float) -> SamplesNeeded:
    """Invert the band on a grid from 2 examples to 1,000 times those at hand; linear in the logarithms between."""
    n = curve.anchor.num_samples
    grid = np.geomspace(2, _HORIZON * n, 64)
    found = forecast(curve, np.append(grid, _UNLIMITED * n), level=level)
    middle, low, high = (_first_below(grid, values[:-1], target) for values in (found.value, found.lower, found.upper))
    if np.isfinite(high):
        status = NeedStatus.REACHED
    elif np.isfinite(low):
        status = NeedStatus.UNDECIDED
    elif target >= found.lower[-1]:
        status, low = NeedStatus.BEYOND_HORIZON, float(grid[-1])
    else:
        status = NeedStatus.NOT_REACHABLE
    end, end_low, end_high = (float(values[-1]) for values in (found.value, found.lower, found.upper))
    return SamplesNeeded(status, middle, low, high, end, end_low, end_high, target, int(n))


def _first_below(sizes: np.ndarray, values: np.ndarray, target: float) -> float:
    """Smallest size from which the values stay below the target; infinite where the last one is above it."""
    above = np.flatnonzero(values > target)
    if len(above) == 0:
        return float(sizes[0])
    last = int(above[-1])
    if last + 1 == len(sizes):
        return float("inf")
    share = np.log(values[last] / target) / np.log(values[last] / values[last + 1])
    return float(sizes[last] * (sizes[last + 1] / sizes[last]) ** share)
