"""Forecasts: the theory gives the squared risk at every sample size, parts of the data its link to the error.

The link is ``error(n') = error(n) (R(n') / R(n))^g``. ``R`` comes from one decomposition and the exponent ``g`` from
the errors that fits to eighths, quarters and halves of the rows make on the rows left out.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import norm

from verax.spectral import RiskPath, learning_curve

from ._results import Forecast

# Relative error that the theory's ratio of risks is granted for each factor of four, beside what the backtest shows.
THEORY_ERROR = 0.05
_FACTOR = np.log(4.0)


class PartFit(NamedTuple):
    """Mean over the fits to parts of one size: their errors on the rows that they left out."""

    num_samples: float
    value: float
    standard_error: float


class Link(NamedTuple):
    """The fitted exponent, and the log-error that is granted for each factor of four in the number of samples."""

    exponent: float
    exponent_error: float
    log_error: float


class Curve(NamedTuple):
    """All that a forecast needs."""

    path: RiskPath
    ridge: float
    anchor: PartFit
    link: Link


def tuned_risk(
    path: RiskPath, ridge: float, num_samples: Sequence[float] | np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Risk that the theory gives at the best ridge for each number of samples, and whether it was extrapolated."""
    ridges = ridge * np.geomspace(1e-3, 30.0, 24)
    sizes = np.asarray(num_samples, np.float64)
    found = learning_curve(path, sizes[:, None], ridges[None, :])
    best = np.argmin(found.risk, axis=1)[:, None]
    return np.take_along_axis(found.risk, best, 1)[:, 0], np.take_along_axis(found.extrapolated, best, 1)[:, 0]


def fit_link(path: RiskPath, ridge: float, anchor: PartFit, parts: Sequence[PartFit]) -> tuple[float, float]:
    """Exponent of the link and its standard error: least squares through the anchor, with the prior N(1, 1)."""
    risks, _ = tuned_risk(path, ridge, [part.num_samples for part in parts] + [anchor.num_samples])
    x = np.log(risks[:-1] / risks[-1])
    y = np.log([part.value / anchor.value for part in parts])
    # The errors of a link come from the few training sets; those of test rows are shared and cancel in the ratio.
    variance = max(float(np.mean([(part.standard_error / part.value) ** 2 for part in parts])), 1e-6)
    precision = float(x @ x) / variance + 1
    exponent = (float(x @ y) / variance + 1) / precision
    scatter = float(np.sum((y - exponent * x) ** 2)) / max(len(parts) - 1, 1)
    return exponent, float(np.sqrt(max(scatter / variance, 1.0) / precision))


def forecast(curve: Curve, num_samples: np.ndarray, *, level: float, at_most: float = np.inf) -> Forecast:
    """Errors at other numbers of samples with their band, whose ends are cut at ``at_most`` (1 for a 0-1 error)."""
    sizes = np.asarray(num_samples, np.float64)
    flat = np.concatenate([sizes.ravel(), [curve.anchor.num_samples]])
    risks, extrapolated = tuned_risk(curve.path, curve.ridge, flat)
    log_ratio = np.log(risks[:-1] / risks[-1])
    value = curve.anchor.value * np.exp(curve.link.exponent * log_ratio)
    steps = np.abs(np.log(flat[:-1] / curve.anchor.num_samples)) / _FACTOR
    spread = np.sqrt(
        (curve.anchor.standard_error / curve.anchor.value) ** 2
        + (curve.link.exponent_error * log_ratio) ** 2
        + (curve.link.log_error * steps) ** 2
    )
    reach = float(norm.ppf((1 + level) / 2)) * spread
    value = np.minimum(value, at_most)
    upper = np.minimum(value * np.exp(reach), at_most)
    fields = (sizes.ravel(), value, value * np.exp(-reach), upper, risks[:-1], extrapolated[:-1])
    return Forecast(*(field.reshape(sizes.shape) for field in fields))
