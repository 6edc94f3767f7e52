"""Answers of a probe whose fit allows no forecast: NaN, a status, and the reason."""

import numpy as np

from ._blocks import MIN_SAMPLES
from ._results import Forecast, ForecastStatus, NeedStatus, SamplesNeeded


def why_none(num_samples: int, *, weighted: bool, num_groups: int | None, least_groups: int) -> str:
    """Say why there is no forecast, and what would allow one."""
    if weighted:
        return "the fit has sample weights, and the theory assumes equal ones; fit without sample_weight"
    if num_samples < MIN_SAMPLES:
        return f"the fit has {num_samples} examples; at least {MIN_SAMPLES} are needed"
    if num_groups is not None and num_groups < least_groups:
        return f"the fit has {num_groups} groups; at least {least_groups} are needed"
    return "an eighth of the examples has features that do not vary, or is fitted without any error elsewhere"


def no_forecast(num_samples: np.ndarray, reason: str) -> Forecast:
    """NaN at every size."""
    sizes = np.asarray(num_samples, np.float64)
    nothing = np.full(sizes.shape, np.nan)
    extrapolated = np.zeros(sizes.shape, bool)
    return Forecast(sizes, nothing, nothing, nothing, nothing, extrapolated, ForecastStatus.NONE, reason)


def none_needed(target: float, num_samples_now: int, reason: str) -> SamplesNeeded:
    """NaN for every number that would come from a forecast."""
    nan = float("nan")
    return SamplesNeeded(NeedStatus.NONE, nan, nan, nan, nan, nan, nan, target, num_samples_now, reason)
