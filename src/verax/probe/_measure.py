"""Errors of the full fit and of fits to parts, the link between risk and error, and the verdict on the assumptions."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from verax.spectral import RiskPath, Spectrum, risk_path

from ._blocks import MIN_SAMPLES
from ._decomposition import PARTS, Decomposition
from ._duplicates import Duplicates
from ._forecast import Curve, PartFit, error_ahead, fit_link, tuned_risk
from ._law import RowOrder, dimension_gap, judge
from ._results import ProbeLaw

Losses = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""``(rows, predictions) -> [len(rows)]``: 0-1 losses of a classifier, squared errors of a regression."""


class Parts(NamedTuple):
    """Fits to halves, quarters and eighths: their paths, ridges and errors on the rows left out."""

    paths: dict[int, list[RiskPath]]
    ridges: dict[int, list[float]]
    fits: dict[int, PartFit]


def fit_parts(
    decomposition: Decomposition,
    num_samples: int,
    select: Callable[[Spectrum], tuple[RiskPath, float]],
    losses: Losses,
    *,
    smooth: float,
) -> Parts | None:
    """Fit every part at its own ridge; None for samples too small to be divided, or parts without anything to fit."""
    if num_samples < MIN_SAMPLES:
        return None
    paths, ridges, order = {}, {}, []
    for divisor, parts in PARTS.items():
        spectra = [decomposition.part_spectrum(part) for part in parts]
        if any(spectrum is None for spectrum in spectra):
            return None
        chosen = [select(spectrum) for spectrum in spectra if spectrum is not None]
        paths[divisor], ridges[divisor] = [path for path, _ in chosen], [ridge for _, ridge in chosen]
        order += [(divisor, part, ridge) for part, ridge in zip(parts, ridges[divisor], strict=True)]
    total, count = np.zeros(len(order)), np.zeros(len(order))
    for index, held in decomposition.held_out([(part, ridge) for _, part, ridge in order]):
        total[index] += float(losses(held.rows, held.predictions).sum())
        count[index] += len(held.rows)
    # Half a loss more keeps the logarithm of an error without mistakes finite.
    means = (total + smooth) / (count + 2 * smooth)
    fits = {}
    for divisor in PARTS:
        chosen = means[[index for index, (kind, _, _) in enumerate(order) if kind == divisor]]
        error = float(chosen.std(ddof=1) / np.sqrt(len(chosen)))
        fits[divisor] = PartFit(num_samples / divisor, float(chosen.mean()), error)
    return Parts(paths, ridges, fits)


def backtest(parts: Parts, num_samples: int) -> float:
    """Forecast the error at the full size from halves of the rows, as if there were no more: the mean over both."""
    anchor, smaller = parts.fits[2], [parts.fits[4], parts.fits[8]]
    values = []
    for path, ridge in zip(parts.paths[2], parts.ridges[2], strict=True):
        exponent, _ = fit_link(path, ridge, anchor, smaller)
        risks, _ = tuned_risk(path, ridge, [anchor.num_samples, num_samples])
        values.append(np.log(anchor.value) + exponent * np.log(risks[1] / risks[0]))
    return float(np.exp(np.mean(values)))


def fit_curve(path: RiskPath, ridge: float, anchor: PartFit, parts: Parts) -> Curve:
    """Put together what forecasts need."""
    return Curve(path, ridge, anchor, *fit_link(path, ridge, anchor, [parts.fits[divisor] for divisor in PARTS]))


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
) -> ProbeLaw:
    """Collect the diagnostics and judge them."""
    gcv = float(path.gcv[int(np.argmin(np.abs(np.log(path.ridge / ridge))))])
    gcv_loo_gap = gcv / risk - 1 if risk > 0 else 0.0
    compared: Sequence[RiskPath] = [] if parts is None else [*parts.paths[2], *parts.paths[4]]
    gap = dimension_gap(path, ridge, compared)
    miss = (expected - anchor.value) / (1 if classifier else anchor.value)
    ahead, relative = (float("nan"), float("nan")) if curve is None else error_ahead(curve)
    status = judge(
        classifier=classifier,
        error_now=anchor.standard_error / (1 if classifier else anchor.value),
        error_ahead=relative * (ahead if classifier else 1),
        near_duplicate_share=duplicates.near_share,
        order=order,
        gcv_loo_gap=gcv_loo_gap,
        gap=gap,
        backtest_miss=miss,
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
        leverage_dispersion=float(outside.std() / outside.mean()),
        dimension_gap=gap,
        backtest=expected,
        backtest_miss=miss,
    )


def choose_ridge(spectrum: Spectrum, ridges: np.ndarray | None) -> tuple[RiskPath, float]:
    """Risk at every ridge of the grid, and the ridge of the smallest GCV."""
    path = risk_path(spectrum, ridges)
    return path, path.best_ridge
