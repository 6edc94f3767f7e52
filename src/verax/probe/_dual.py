"""Ridge regression through the kernel of the samples: for fewer samples than features."""

from collections.abc import Iterator

import numpy as np

from verax._errors import check
from verax.spectral import Spectrum, kernel_spectrum, risk_path

from ._blocks import Work, check_block, column_blocks
from ._decomposition import FittedPart, LeaveOneOut, PartPrediction, Predictor, SelectRidge


class Dual:
    """The centred kernel, added up over blocks of columns, and its decomposition."""

    def __init__(self, x: np.ndarray, y: np.ndarray, folds: np.ndarray, work: Work) -> None:
        self._x, self._y, self._folds, self._work = x, y, folds, work
        self._kernel = np.zeros((len(x), len(x)))
        self._mean = np.empty(x.shape[1])
        for part, block in column_blocks(x, work.block_columns):
            check_block(block, 0)
            self._mean[part] = block.mean(0)
            block -= self._mean[part]
            self._kernel += block @ block.T
        check(bool(np.trace(self._kernel) > 0), "X", "constant columns only", "a column that varies")
        self._target_mean = y.mean(0)
        self._full = kernel_spectrum(self._kernel, y, method="eigh")
        self.spectrum: Spectrum = self._full.without_eigenvectors()

    def predictor(self, ridge: float) -> Predictor:
        """Fit to all rows; the coefficients are put together from blocks of columns."""
        vectors, coefficients, _ = self._kept()
        weights = 1 / (self._full.eigenvalues + ridge)
        # (K + n ridge)^-1 y without its part in the kernel's null space, which no feature sees.
        dual = vectors @ (weights[:, None] * coefficients) / len(self._x)
        found = np.empty((self._x.shape[1], self._y.shape[1]))
        for part, block in column_blocks(self._x, self._work.block_columns):
            found[part] = (block - self._mean[part]).T @ dual
        return Predictor(found, self._target_mean - self._mean @ found)

    def leave_one_out(self, ridge: float) -> LeaveOneOut:
        """Leave-one-out predictions at one ridge."""
        vectors, coefficients, null = self._kept()
        assert self._full.null_leverage is not None
        weights = ridge / (self._full.eigenvalues + ridge)
        residual = vectors @ (weights[:, None] * coefficients) + null
        outside = vectors**2 @ weights + self._full.null_leverage
        return LeaveOneOut(self._y - residual / outside[:, None], 1 - outside)

    def loo_risks(self, ridges: np.ndarray) -> np.ndarray:
        """Mean squared leave-one-out error at each ridge, summed over targets."""
        loo = risk_path(self._full, ridges).loo
        assert loo is not None
        return loo

    def fit_part(self, folds: tuple[int, ...], select: SelectRidge) -> FittedPart | None:
        """Fit to the rows in these folds at their own ridge; None where they hold nothing to fit."""
        rows = np.flatnonzero(np.isin(self._folds, folds))
        part = self._kernel[np.ix_(rows, rows)]
        if not np.trace(part) - part.sum() / len(rows) > 0:
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
