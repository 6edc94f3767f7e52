"""Forecasts of the error at other numbers of samples, with a band.

The theory gives the squared risk, a fitted line its link to the error, and the parts of the data the error of both.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import norm

from ._link import FittedLine, Link, fit_line
from ._results import Forecast
from ._tuned_risk import RiskCurve, tuned_risk

FACTOR = 4.0
_MOST_STEPS = 6.0
"""The theory's error stops growing at this many factors of four: what is uncertain there is the end of the curve."""
_CENTER = np.array([0.6, 0.0])
"""Coordinates at which a prior of the level holds: errors of about 10 % for two equal classes."""


class PartFit(NamedTuple):
    """Errors of the fits to parts of one size on the rows that they left out: mean, and its standard error."""

    num_samples: float
    value: float
    standard_error: float


class Curve(NamedTuple):
    """All that a forecast needs."""

    link: Link
    line: FittedLine
    whole: RiskCurve
    parts: dict[int, list[RiskCurve]]
    """Of the fits to halves, quarters and eighths."""
    loss_error: float
    """Relative standard error of the risk now, from the spread of the losses."""
    anchor: PartFit
    """The leave-one-out error."""


class Ahead(NamedTuple):
    """Forecasts in the link's coordinates, and what they were made from; each [S]."""

    coordinate: np.ndarray
    standard_error: np.ndarray
    theory_error: np.ndarray
    """The part of the standard error that more examples would not lower."""
    risk: np.ndarray
    risk_error: np.ndarray
    """Relative."""
    extrapolated: np.ndarray


def fit_curve(
    link: Link,
    whole: RiskCurve,
    parts: dict[int, list[RiskCurve]],
    loss_error: float,
    anchor: PartFit,
    fits: Sequence[PartFit],
) -> Curve:
    """Fit the line through the errors of the parts and of the whole."""
    points = [*fits, anchor]
    sizes = np.array([point.num_samples for point in points])
    smallest = 0.25 / anchor.num_samples
    errors = np.array([min(max(point.value, smallest), link.most) for point in points])
    risk, relative, _ = _risks(whole, parts, loss_error, sizes, link.null_risk)
    slopes = link.slope(errors)
    # All errors are measured on the same rows: that uncertainty is one, and each fit has its own beside it.
    shared = slopes * anchor.standard_error / max(anchor.value, smallest)
    own = slopes * np.array([max(fit.standard_error / max(fit.value, smallest), 0.03) for fit in fits] + [0.02])
    covariance = np.outer(shared, shared) + np.diag(own**2)
    if len(link.class_shares):  # the level is informed by the risk, whose error all points share too
        moved = _risk_spread(link, risk, relative)
        covariance += np.outer(moved, moved)
    design = link.design(risk, sizes)
    line = fit_line(link.prior, design, link.from_error(errors), covariance, center=_CENTER[: design.shape[1] - 1])
    return Curve(link, line, whole, parts, loss_error, anchor)


def look_ahead(curve: Curve, sizes: np.ndarray) -> Ahead:
    """Forecasts at ``sizes`` [S]."""
    link, line, now = curve.link, curve.line, curve.anchor.num_samples
    risk, relative, extrapolated = _risks(
        curve.whole, curve.parts, curve.loss_error, np.append(sizes, now), link.null_risk
    )
    design = link.design(risk, np.append(sizes, now))
    shifted = design - np.concatenate([[0.0], _CENTER[: design.shape[1] - 1]])
    coordinate = shifted @ line.mean
    fitted = np.einsum("ij,jk,ik->i", shifted, line.covariance, shifted)
    if len(link.class_shares):
        moved = (link.prior.mean[1] * _risk_spread(link, risk, relative)) ** 2
    else:  # the level is that of the errors: only the ratio to the risk now counts
        moved = link.prior.mean[1] ** 2 * (np.maximum(relative**2 - relative[-1] ** 2, 0) + relative[-1] ** 2 / 4)
        moved = moved * np.minimum(np.abs(np.log(np.append(sizes, now) / now)) / np.log(FACTOR), 1)
    steps = np.minimum(np.abs(np.log(np.append(sizes, now) / now)) / np.log(FACTOR), _MOST_STEPS)
    change = design[:, 1:] @ line.mean[1:]
    theory = np.hypot(link.prior.per_step * steps, link.prior.per_change * (change - change[-1]))
    error = np.sqrt(fitted + moved + theory**2)
    found = Ahead(coordinate, error, link.prior.per_step * steps, risk, relative, extrapolated)
    return Ahead(*(field[:-1] for field in found))


def forecast(curve: Curve, num_samples: np.ndarray, *, level: float, at_most: float = np.inf) -> Forecast:
    """Errors at other numbers of samples with their band, whose ends are cut at ``at_most`` (1 for a 0-1 error)."""
    sizes, now = np.asarray(num_samples, np.float64), curve.anchor.num_samples
    found = look_ahead(curve, np.append(sizes.ravel(), now))
    reach = float(norm.ppf((1 + level) / 2)) * found.standard_error
    # Coordinates of two classes rise as errors fall.
    values = [np.minimum(curve.link.to_error(found.coordinate + sign * reach), at_most) for sign in (0, -1, 1)]
    lower, value, upper = np.sort(values, axis=0)
    # More examples do no harm, so that what bounds the error now bounds it ahead, and the reverse.
    upper = np.where(sizes.ravel() > now, np.minimum(upper[:-1], upper[-1]), upper[:-1])
    lower = np.where(sizes.ravel() < now, np.maximum(lower[:-1], lower[-1]), lower[:-1])
    shape = sizes.shape
    return Forecast(
        num_samples=sizes,
        value=value[:-1].reshape(shape),
        lower=lower.reshape(shape),
        upper=upper.reshape(shape),
        risk=found.risk[:-1].reshape(shape),
        extrapolated=found.extrapolated[:-1].reshape(shape),
    )


def error_ahead(curve: Curve) -> tuple[float, float, float]:
    """Standard error of the forecast at four times the examples, the part that stays at any number, and the value."""
    found = look_ahead(curve, np.array([FACTOR * curve.anchor.num_samples]))
    value = float(curve.link.to_error(found.coordinate)[0])
    per_coordinate = value / max(float(curve.link.slope(np.array([value]))[0]), 1e-9)
    return float(found.standard_error[0]) * per_coordinate, float(found.theory_error[0]) * per_coordinate, value


def _risks(
    whole: RiskCurve, parts: dict[int, list[RiskCurve]], loss_error: float, sizes: np.ndarray, null_risk: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Risk at each size, its relative standard error, and whether it was extrapolated.

    The error has three parts: how far the parts of the data disagree about the same risk, carried to the whole as ``1 /
    sqrt(n)``; how far halves are from the whole on average, since a bias that halves have is not gone at twice their
    size; and the spread of the losses.
    """

    def logarithm(curve: RiskCurve) -> np.ndarray:
        return np.log(np.clip(tuned_risk(curve, sizes)[0], 0.01 * null_risk, 1.2 * null_risk))

    _, extrapolated = tuned_risk(whole, sizes)
    log_risk = logarithm(whole)
    scatter, count = np.zeros(len(sizes)), 0
    for divisor, curves in parts.items():
        found = np.stack([logarithm(curve) for curve in curves])
        scatter += np.sum((found - found.mean(0)) ** 2, axis=0) / divisor
        count += len(curves) - 1
    drift = np.mean([logarithm(curve) for curve in parts[2]], axis=0) - log_risk
    return np.exp(log_risk), np.sqrt(scatter / count + drift**2 / 2 + loss_error**2), extrapolated


def _risk_spread(link: Link, risk: np.ndarray, relative: np.ndarray) -> np.ndarray:
    """Standard error of the risk's coordinate."""
    low, high = (link.from_risk(risk * np.exp(sign * relative)) for sign in (-1, 1))
    return np.abs(high - low) / 2
