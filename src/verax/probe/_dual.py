"""Ridge regression through the kernel of the samples: for fewer samples than features."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from verax._errors import check
from verax.spectral import Spectrum, feature_spectrum, kernel_spectrum, risk_path

from ._blocks import Work, check_block, column_blocks, dense, varies
from ._decomposition import FittedPart, LeaveOneOut, PartPrediction, Predictor, SelectRidge, group_residuals

_SAME_SCALE = 1e3
"""Ratio of the columns' scales up to which the kernel is accurate enough."""


class Dual:
    """The centred kernel, added up over blocks of columns, and its decomposition."""

    def __init__(self, x: Any, y: np.ndarray, folds: np.ndarray, work: Work, weights: np.ndarray | None = None) -> None:
        n, num_features = x.shape
        self._x, self._y, self._folds, self._work = x, y, folds, work
        self._root = np.ones(n) if weights is None else np.sqrt(weights)
        self._kernel = np.zeros((n, n))
        self._mean, scale = np.empty(num_features), np.empty(num_features)
        for part, block in column_blocks(x, work.block_columns):
            check_block(block, 0)
            self._mean[part] = np.average(block, axis=0, weights=self._root**2)
            block -= self._mean[part]
            scale[part] = np.sqrt(np.mean(block**2, axis=0))
            self._kernel += block @ block.T
        check(bool(np.trace(self._kernel) > 0), "X", "constant columns only", "a column that varies")
        self._target_mean = np.average(y, axis=0, weights=self._root**2)
        root, targets = self._root[:, None], self._root[:, None] * (y - self._target_mean)
        varying = scale[scale > 1e-12 * np.abs(self._mean)]
        if varying.max() > _SAME_SCALE * varying.min():  # the kernel's rounding would hide the small columns
            rows = root * (dense(x) - self._mean)
            found = feature_spectrum(rows, targets, center=False)
        else:
            found = kernel_spectrum(root * self._kernel * root.T, targets, center=False, method="eigh")
        self._full = _with_intercept(found, self._root)
        self.spectrum: Spectrum = self._full.without_eigenvectors()

    def predictor(self, ridge: float) -> Predictor:
        """Fit to all rows; the coefficients are put together from blocks of columns."""
        vectors, coefficients, _ = self._kept()
        weights = 1 / (self._full.eigenvalues + ridge)
        # (K + n ridge)^-1 y without its part in the kernel's null space, which no feature sees.
        dual = self._root[:, None] * (vectors @ (weights[:, None] * coefficients)) / len(self._y)
        found = np.empty((self._x.shape[1], self._y.shape[1]))
        for part, block in column_blocks(self._x, self._work.block_columns):
            found[part] = (block - self._mean[part]).T @ dual
        return Predictor(found, self._target_mean - self._mean @ found)

    def leave_one_out(self, ridge: float) -> LeaveOneOut:
        """Leave-one-out predictions at one ridge."""
        weights, null_weight, shrinkage = self._weights(ridge)
        vectors, coefficients, null = self._kept()
        assert self._full.null_leverage is not None
        outside = vectors**2 @ weights + null_weight * self._full.null_leverage
        residual = (vectors @ (weights[:, None] * coefficients) + null_weight * null) / self._root[:, None]
        return LeaveOneOut(self._y - residual / outside[:, None], 1 - shrinkage * outside)

    def leave_group_out(self, ridge: float, groups: np.ndarray) -> np.ndarray:
        """Predictions for each row by the fit to all other groups."""
        values = self._full.eigenvalues
        scaled = self._kept()[0] * np.sqrt(values / (values + ridge)) / self._root[:, None]
        return self._y - group_residuals(self._residual(ridge), lambda rows: scaled[rows], self._root, groups)

    def _weights(self, ridge: float) -> tuple[np.ndarray, float, float]:
        """Residual weights up to a factor that keeps them finite at ridge 0, that of the null space, and the factor."""
        values = self._full.eigenvalues
        if self._full.null_count > 0:
            return ridge / (values + ridge), 1.0, 1.0
        scale = ridge + float(values[-1])
        return scale / (values + ridge), 0.0, ridge / scale

    def _residual(self, ridge: float) -> np.ndarray:
        """Targets minus the fit to all rows."""
        vectors, coefficients, null = self._kept()
        weights, null_weight, shrinkage = self._weights(ridge)
        return shrinkage * (vectors @ (weights[:, None] * coefficients) + null_weight * null) / self._root[:, None]

    def loo_risks(self, ridges: np.ndarray) -> np.ndarray:
        """Mean squared leave-one-out error at each ridge, summed over targets."""
        loo = risk_path(self._full, ridges).loo
        assert loo is not None
        return loo

    def fit_part(self, folds: tuple[int, ...], select: SelectRidge) -> FittedPart | None:
        """Fit to the rows in these folds at their own ridge; None where they hold nothing to fit."""
        rows = np.flatnonzero(np.isin(self._folds, folds))
        part = self._kernel[np.ix_(rows, rows)]
        if not varies(np.trace(part) - part.sum() / len(rows), np.trace(part)):
            return None
        found = kernel_spectrum(part, self._y[rows], method="eigh")
        path, ridge = select(found.without_eigenvectors())
        assert found.eigenvectors is not None and found.coefficients is not None  # noqa: PT018
        weights = 1 / (len(rows) * (found.eigenvalues + ridge))
        dual = found.eigenvectors @ (weights[:, None] * found.coefficients)
        return FittedPart(folds, path, ridge, dual)

    def held_out(self, fits: list[FittedPart]) -> Iterator[tuple[int, PartPrediction]]:
        """Predictions of fits to parts for the rows outside their folds."""
        for index, (folds, _, _, dual) in enumerate(fits):
            inside = np.isin(self._folds, folds)
            rows, others = np.flatnonzero(inside), np.flatnonzero(~inside)
            cross = self._kernel[np.ix_(others, rows)] - self._kernel[np.ix_(rows, rows)].mean(0)
            yield index, PartPrediction(others, cross @ dual + self._y[rows].mean(0))

    def _kept(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        vectors, coefficients, null = self._full.eigenvectors, self._full.coefficients, self._full.null_residual
        assert vectors is not None and coefficients is not None and null is not None  # noqa: PT018
        return vectors, coefficients, null


def _with_intercept(spectrum: Spectrum, root: np.ndarray) -> Spectrum:
    """Set the intercept's direction, along which rows scaled by ``root`` do not vary, apart from the null space."""
    assert spectrum.null_leverage is not None
    outside = np.maximum(spectrum.null_leverage - root**2 / len(root), 0.0)
    count = max(spectrum.null_count - 1, 0.0)
    return spectrum._replace(centered=True, null_count=count, null_leverage=outside)
