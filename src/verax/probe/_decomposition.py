"""Parts of a fit that depend on features: decomposition, leave-one-out predictions, and fits to parts of the rows."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from verax.spectral import RiskPath, Spectrum

# Rows of the folds that make a half, a quarter and an eighth. Eighths lie in quarters, quarters in halves.
PARTS: dict[int, tuple[tuple[int, ...], ...]] = {
    2: ((0, 1, 2, 3), (4, 5, 6, 7)),
    4: ((0, 1), (2, 3), (4, 5), (6, 7)),
    8: ((0,), (2,), (4,), (6,)),
}


class Predictor(NamedTuple):
    """``f(x) = x @ coefficients + intercept``."""

    coefficients: np.ndarray
    intercept: np.ndarray


class LeaveOneOut(NamedTuple):
    """Predictions for each row by the fit to all the others, [n, C], and the leverages ``H_ii``, [n]."""

    predictions: np.ndarray
    leverage: np.ndarray


class PartPrediction(NamedTuple):
    """Predictions for some of the rows that a fit to a part left out."""

    rows: np.ndarray
    predictions: np.ndarray


SelectRidge = Callable[[Spectrum], tuple[RiskPath, float]]
"""The path of a spectrum and the ridge chosen on it."""


class FittedPart(NamedTuple):
    """Fit to the rows of some folds."""

    folds: tuple[int, ...]
    path: RiskPath
    ridge: float
    fit: Any
    """What the decomposition that made it needs for predictions."""


@runtime_checkable
class Decomposition(Protocol):
    """Both ways of decomposing (`_primal.Primal`, `_dual.Dual`) answer the same questions."""

    spectrum: Spectrum

    def predictor(self, ridge: float) -> Predictor:
        """Fit to all rows."""
        ...

    def leave_one_out(self, ridge: float) -> LeaveOneOut:
        """Leave-one-out predictions at one ridge."""
        ...

    def leave_group_out(self, ridge: float, groups: np.ndarray) -> np.ndarray:
        """Predictions [n, C] for each row by the fit to all other groups."""
        ...

    def loo_risks(self, ridges: np.ndarray) -> np.ndarray:
        """Mean squared leave-one-out error at each ridge, summed over targets."""
        ...

    def fit_part(self, folds: tuple[int, ...], select: SelectRidge) -> FittedPart | None:
        """Fit to the rows in these folds at their own ridge; None where they hold nothing to fit."""
        ...

    def held_out(self, fits: list[FittedPart]) -> Iterator[tuple[int, PartPrediction]]:
        """Predictions of fits to parts for the rows outside their folds, block by block, with the fit's index."""
        ...


def group_residuals(
    residual: np.ndarray, left: Callable[[np.ndarray], np.ndarray], root: np.ndarray, groups: np.ndarray
) -> np.ndarray:
    """Residuals of predictions by fits without the row's group, from those of the fit to all rows.

    With ``H`` the hat matrix of the rows scaled by the roots of their weights, they are ``(I - H_gg)^-1 r_g`` for each
    group. ``left(rows)`` times its transpose, scaled likewise, is ``H`` without the intercept.
    """
    out = np.empty_like(residual)
    order = np.argsort(groups, kind="stable")
    for rows in np.split(order, np.cumsum(np.bincount(groups))[:-1]):
        scale = root[rows, None]
        hat = scale * (left(rows) @ left(rows).T + 1 / len(groups)) * scale.T
        out[rows] = np.linalg.solve(np.eye(len(rows)) - hat, scale * residual[rows]) / scale
    return out
