"""Errors of the full fit and of fits to parts, the link between risk and error, and the verdict on the assumptions."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from verax.spectral import RiskPath, Spectrum, risk_path

from ._blocks import MIN_SAMPLES
from ._decomposition import PARTS, Decomposition, FittedPart, SelectRidge
from ._duplicates import Duplicates
from ._forecast import FACTOR, Curve, PartFit, error_ahead, fit_curve, look_ahead
from ._law import RowOrder, dimension_gap, judge, promise_samples
from ._link import Link
from ._results import ProbeLaw
from ._tuned_risk import RiskCurve, best_ridge, risk_curve

Losses = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""``(rows, predictions) -> [len(rows)]``: 0-1 losses of a classifier, squared errors of a regression."""


class Parts(NamedTuple):
    """Fits to halves, quarters and eighths, and their errors on the rows left out."""

    paths: dict[int, list[RiskPath]]
    curves: dict[int, list[RiskCurve]]
    fits: dict[int, PartFit]


def choose_ridge(spectrum: Spectrum, ridges: np.ndarray | None) -> tuple[RiskPath, float]:
    """Risk at every ridge of the grid, and the ridge of the smallest GCV among those at which it is believed."""
    path = risk_path(spectrum, ridges)
    return path, best_ridge(path, path.gcv)


def fit_parts(
    decomposition: Decomposition, num_samples: int, select: SelectRidge, losses: Losses, *, smooth: float
) -> Parts | None:
    """Fit every part at its own ridge; None for samples too small to be divided, or parts without anything to fit."""
    if num_samples < MIN_SAMPLES:
        return None
    fitted: list[FittedPart] = []
    for parts in PARTS.values():
        for folds in parts:
            part = decomposition.fit_part(folds, select)
            if part is None:
                return None
            fitted.append(part)
    total, count = np.zeros(len(fitted)), np.zeros(len(fitted))
    for index, held in decomposition.held_out(fitted):
        total[index] += float(losses(held.rows, held.predictions).sum())
        count[index] += len(held.rows)
    # Half a loss more keeps the logarithm of an error without mistakes finite.
    means = (total + smooth) / (count + 2 * smooth)
    if not (np.isfinite(means).all() and float(means.min()) > 0):
        return None
    paths, curves, fits, start = {}, {}, {}, 0
    for divisor, parts in PARTS.items():
        chosen = slice(start, start + len(parts))
        paths[divisor] = [part.path for part in fitted[chosen]]
        curves[divisor] = [risk_curve(path) for path in paths[divisor]]
        error = float(means[chosen].std(ddof=1) / np.sqrt(len(parts)))
        fits[divisor] = PartFit(num_samples / divisor, float(means[chosen].mean()), error)
        start += len(parts)
    return Parts(paths, curves, fits)


def backtest(link: Link, parts: Parts, anchor: PartFit, loss_error: float) -> float:
    """Forecast the error at the full size from halves of the rows, as if there were no more: the mean over both."""
    now = parts.fits[2]._replace(standard_error=anchor.standard_error)
    link = link._replace(num_samples=now.num_samples)
    smaller = {2: parts.curves[4], 4: parts.curves[8]}
    found = []
    for half in parts.curves[2]:
        curve = fit_curve(link, half, smaller, loss_error * 2**0.5, now, [parts.fits[4], parts.fits[8]])
        found.append(look_ahead(curve, np.array([anchor.num_samples])).coordinate[0])
    return float(link.to_error(np.array([np.mean(found)]))[0])


def measure_law(
    *,
    path: RiskPath,
    parts: Parts | None,
    curve: Curve | None,
    anchor: PartFit,
    expected: float,
    risk: float,
    ridge: float,
    leverage: np.ndarray,
    order: RowOrder,
    duplicates: Duplicates,
    classifier: bool,
    grouped: bool,
) -> ProbeLaw:
    """Collect the diagnostics and judge them."""
    gcv = float(path.gcv[int(np.argmin(np.abs(path.ridge - ridge)))])
    gcv_loo_gap = gcv / risk - 1 if risk > 0 else 0.0
    gap = dimension_gap(path, ridge, [] if parts is None else [*parts.paths[2], *parts.paths[4]])
    unit = 1.0 if classifier else anchor.value
    miss = (expected - anchor.value) / unit
    ahead = remaining = spread = float("nan")
    extrapolated = False
    if curve is not None:
        ahead, remaining, _ = (value / unit for value in error_ahead(curve))
        far = look_ahead(curve, np.array([FACTOR * anchor.num_samples]))
        spread, extrapolated = float(far.risk_error[0]), bool(far.extrapolated[0])
    status = judge(
        classifier=classifier,
        error_now=anchor.standard_error / unit,
        error_ahead=ahead,
        error_remaining=remaining,
        near_duplicate_share=0.0 if grouped else duplicates.near_share,
        order=order,
        gcv_loo_gap=gcv_loo_gap,
        gap=gap,
        backtest_miss=miss,
        risk_spread=spread,
        extrapolated=extrapolated,
    )
    outside = 1 - leverage
    return ProbeLaw(
        status=status,
        duplicates=duplicates.exact,
        near_duplicate_share=duplicates.near_share,
        num_checked=duplicates.num_checked,
        row_correlation=order.correlation,
        row_score=order.score,
        label_order_score=order.label_score,
        gcv_loo_gap=gcv_loo_gap,
        leverage_dispersion=float(outside.std() / outside.mean()) if outside.mean() > 0 else 0.0,
        dimension_gap=gap,
        backtest=expected,
        backtest_miss=miss,
        forecast_error=ahead,
        risk_spread=spread,
        extrapolated=extrapolated,
        promise_samples=promise_samples(anchor.standard_error / unit, ahead, anchor.num_samples, classifier=classifier),
    )
