"""How many examples would be enough, and where more of them end."""

import numpy as np

from ._forecast import Curve, forecast
from ._results import NeedStatus, SamplesNeeded

_HORIZON = 1_000
_UNLIMITED = 1e8


def samples_needed(curve: Curve, target: float, *, level: float) -> SamplesNeeded:
    """Invert the forecast on a grid from 2 examples to 1,000 times those at hand; linear in the logarithms between."""
    n = curve.anchor.num_samples
    grid = np.geomspace(2, _HORIZON * n, 64)
    found = forecast(curve, np.append(grid, _UNLIMITED * n), level=level)
    asymptote = float(found.value[-1])
    middle, low, high = (_first_below(grid, values[:-1], target) for values in (found.value, found.lower, found.upper))
    if np.isfinite(middle):
        status = NeedStatus.REACHED
    elif target < asymptote:
        status = NeedStatus.NOT_REACHABLE
    else:
        status, middle = NeedStatus.BEYOND_HORIZON, float(grid[-1])
    return SamplesNeeded(status, middle, low, high, asymptote, target)


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
