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

# Relative error that the theory's ratio of risks is granted for each factor of four.
THEORY_ERROR = 0.05
FACTOR = 4.0


class PartFit(NamedTuple):
    """Mean over the fits to parts of one size: their errors on the rows that they left out."""

    num_samples: float
    value: float
    standard_error: float


class Curve(NamedTuple):
    """All that a forecast needs."""

    path: RiskPath
    ridge: float
    anchor: PartFit
    exponent: float
    exponent_error: float


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


class _Ahead(NamedTuple):
    """Forecasts, their relative standard errors, and the risks that they were made from."""

    value: np.ndarray
    relative_error: np.ndarray
    risk: np.ndarray
    extrapolated: np.ndarray


def _ahead(curve: Curve, sizes: np.ndarray) -> _Ahead:
    """Forecasts at ``sizes [L]``; their errors are those of the anchor, the exponent and the theory."""
    risks, extrapolated = tuned_risk(curve.path, curve.ridge, np.append(sizes, curve.anchor.num_samples))
    log_ratio = np.log(risks[:-1] / risks[-1])
    steps = np.log(sizes / curve.anchor.num_samples) / np.log(FACTOR)
    anchor = curve.anchor.standard_error / curve.anchor.value
    error = np.sqrt(anchor**2 + (curve.exponent_error * log_ratio) ** 2 + (THEORY_ERROR * steps) ** 2)
    return _Ahead(curve.anchor.value * np.exp(curve.exponent * log_ratio), error, risks[:-1], extrapolated[:-1])


def forecast(curve: Curve, num_samples: np.ndarray, *, level: float, at_most: float = np.inf) -> Forecast:
    """Errors at other numbers of samples with their band, whose ends are cut at ``at_most`` (1 for a 0-1 error)."""
    sizes = np.asarray(num_samples, np.float64)
    found = _ahead(curve, sizes.ravel())
    value = np.minimum(found.value, at_most)
    reach = float(norm.ppf((1 + level) / 2)) * found.relative_error
    upper = np.minimum(value * np.exp(reach), at_most)
    fields = (sizes.ravel(), value, value * np.exp(-reach), upper, found.risk, found.extrapolated)
    return Forecast(*(field.reshape(sizes.shape) for field in fields))


def error_ahead(curve: Curve) -> tuple[float, float]:
    """Forecast at four times the number of samples, and its relative standard error."""
    found = _ahead(curve, np.array([FACTOR * curve.anchor.num_samples]))
    return float(found.value[0]), float(found.relative_error[0])
