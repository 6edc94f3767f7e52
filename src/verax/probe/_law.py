"""Whether the assumptions behind errors and forecasts hold on these rows; all thresholds are constants here."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from verax.spectral import RiskPath

from ._results import LawStatus

# For nine forecasts of ten within 2 points the standard error must stay below 2 / 1.64 points. That of the error now
# (regression: of the risk, relative) has to on its own. That of the forecast at four times the examples has to leave
# half a point and more to what it is compared with, whose training and test examples are a draw as well.
MAX_ERROR_SE = 0.012
MAX_FORECAST_SE = 0.010
MAX_RISK_SE = 0.1
MAX_DUPLICATES = 0.01
# A correlation that is both visible and beyond chance.
MAX_ROW_CORRELATION = 0.05
MAX_ROW_SCORE = 5.0
MAX_GCV_LOO_GAP = 0.15
# Gaussian features stay below .06 from n = 100 and below .02 from n = 400.
MAX_DIMENSION_GAP = 0.1
MAX_BACKTEST_MISS = 0.02
MAX_BACKTEST_MISS_RISK = 0.1
# The parts of the data and the spread of the losses leave the risk at four times the examples this uncertain.
MAX_RISK_SPREAD = 0.15
# Consecutive labels that agree this many standard errors more often than by chance: sorted.
SORTED_SCORE = 10.0


class RowOrder(NamedTuple):
    """Conclusion from the order of the rows."""

    correlation: float
    score: float
    label_score: float


def row_order(
    residuals: np.ndarray, codes: np.ndarray | None, y: np.ndarray, groups: np.ndarray | None = None
) -> RowOrder:
    """Correlation of consecutive residuals, and whether consecutive labels agree more often than by chance.

    With groups only neighbours of different groups are compared.

    Residuals are taken about their class's mean, so that labels in order alone do not count as dependence.
    """
    n = len(residuals)
    r = residuals.copy()
    apart = np.ones(n - 1, bool) if groups is None else groups[1:] != groups[:-1]
    if codes is not None:
        for code in np.unique(codes):
            r[codes == code] -= r[codes == code].mean(0)
    # Rows of different size are made alike: a few large residuals would otherwise decide.
    norms = np.linalg.norm(r, axis=1)
    r = r / np.where(norms > 0, norms, 1)[:, None]
    products = np.sum(r[1:] * r[:-1], axis=1)[apart & (norms[1:] > 0) & (norms[:-1] > 0)]
    correlation = float(products.mean()) if len(products) > 1 else 0.0
    spread = float(products.std()) if len(products) > 1 else 0.0
    score = correlation / spread * np.sqrt(len(products)) if spread > 0 else 0.0
    if codes is not None:
        shares = np.bincount(codes) / n
        chance = float(shares @ shares)
        agree = float(np.mean(codes[1:] == codes[:-1]))
        label_score = (agree - chance) / np.sqrt(max(chance * (1 - chance), 1e-12) / max(n - 1, 1))
    else:
        z = (y - y.mean(0)) / np.where(y.std(0) > 0, y.std(0), 1)
        label_score = float(np.mean(np.mean(z[1:] * z[:-1], axis=0)) * np.sqrt(n))
    return RowOrder(correlation, float(score), float(label_score))


def dimension_gap(full: RiskPath, ridge: float, parts: Sequence[RiskPath]) -> float:
    """Largest relative difference of df1 at one effective ridge, where both samples reach it with df1 >= 10.

    Compared from the effective ridge of the fit upwards: estimates at smaller ones do not rest on it.
    """
    gaps = []
    order = np.argsort(full.effective_ridge)
    log_kappa, log_df = np.log(np.maximum(full.effective_ridge[order], 1e-300)), np.log(full.df1[order])
    lowest = np.interp(ridge, full.ridge[order], log_kappa)
    for path in parts:
        kappa = np.log(np.maximum(path.effective_ridge, 1e-300))
        shared = (kappa >= lowest) & (kappa <= log_kappa[-1]) & (path.df1 >= 10) & _precise(path)
        if shared.any():
            gaps.append(np.max(np.abs(path.df1[shared] / np.exp(np.interp(kappa[shared], log_kappa, log_df)) - 1)))
    return float(max(gaps)) if gaps else float("nan")


def _precise(path: RiskPath) -> np.ndarray:
    return path.ridge >= 30 * path.spectrum.precision_floor


def judge(
    *,
    classifier: bool,
    error_now: float,
    error_ahead: float,
    error_remaining: float,
    near_duplicate_share: float,
    order: RowOrder,
    gcv_loo_gap: float,
    gap: float,
    backtest_miss: float,
    risk_spread: float,
    extrapolated: bool,
) -> LawStatus:
    """Return the first reason against the forecasts."""
    now, ahead, miss = MAX_RISK_SE, MAX_RISK_SE, MAX_BACKTEST_MISS_RISK
    if classifier:
        now, ahead, miss = MAX_ERROR_SE, MAX_FORECAST_SE, MAX_BACKTEST_MISS
    if not (error_now <= now and np.isfinite(backtest_miss)):
        return LawStatus.TOO_FEW_SAMPLES
    if not near_duplicate_share <= MAX_DUPLICATES:
        return LawStatus.DUPLICATES
    if abs(order.correlation) > MAX_ROW_CORRELATION and abs(order.score) > MAX_ROW_SCORE:
        return LawStatus.DEPENDENT_ROWS
    if not abs(gcv_loo_gap) <= MAX_GCV_LOO_GAP:
        return LawStatus.UNEQUAL_LEVERAGE
    if gap > MAX_DIMENSION_GAP:  # NaN where samples share no effective ridge at which to compare
        return LawStatus.INCONSISTENT_DIMENSION
    if not abs(backtest_miss) <= miss:
        return LawStatus.BACKTEST_MISSED
    if not risk_spread <= MAX_RISK_SPREAD:
        return LawStatus.UNSTABLE
    if extrapolated:
        return LawStatus.EXTRAPOLATED
    if not error_remaining <= ahead:
        return LawStatus.ERROR_TOO_HIGH
    return LawStatus.OK if error_ahead <= ahead else LawStatus.TOO_FEW_SAMPLES


def promise_samples(error_now: float, error_ahead: float, num_samples: float, *, classifier: bool) -> float:
    """Number of examples at which the standard errors would meet their limits; they fall as ``1 / sqrt(n)``."""
    now, ahead = (MAX_ERROR_SE, MAX_FORECAST_SE) if classifier else (MAX_RISK_SE, MAX_RISK_SE)
    ratio = max(error_now / now, error_ahead / ahead if np.isfinite(error_ahead) else 0.0, 1.0)
    return num_samples * ratio**2
