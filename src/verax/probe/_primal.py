"""Ridge regression through the covariance of the features: for at least as many samples as features."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from verax._errors import check
from verax.spectral import moment_spectrum

from ._blocks import Work, check_block, dense, row_blocks, varies
from ._decomposition import FittedPart, LeaveOneOut, PartPrediction, Predictor, SelectRidge, group_residuals


class Primal:
    """Second moments of the features by fold, collected in one pass, and the decomposition of their sum.

    With centred rows ``x``, ``G = X^T X = V diag(n l) V^T``, and the left singular vectors of the rows are ``x V /
    sqrt(n l)``. Everything is float64; features are shifted by the mean of their first block before their products are
    added up, so that a large common offset costs no digits.
    """

    def __init__(self, x: Any, y: np.ndarray, folds: np.ndarray, work: Work, weights: np.ndarray | None = None) -> None:
        self._x, self._y, self._folds, self._work = x, y, folds, work
        self._root = np.ones(len(y)) if weights is None else np.sqrt(weights)
        num_features, num_targets = x.shape[1], y.shape[1]
        self._shift = np.zeros(num_features)
        self._count = np.bincount(folds, weights=self._root**2, minlength=work.num_folds)
        self._sum = np.zeros((work.num_folds, num_features))
        self._gram = np.zeros((work.num_folds, num_features, num_features))
        self._target_sum = np.zeros((work.num_folds, num_targets))
        self._target_energy = np.zeros(work.num_folds)
        self._cross = np.zeros((work.num_folds, num_features, num_targets))
        for part, block in row_blocks(x, work.block_rows):
            check_block(block, part.start)
            if part.start == 0:
                self._shift = block.mean(0)
            block -= self._shift
            for fold in range(work.num_folds):
                chosen = folds[part] == fold
                root = self._root[part][chosen][:, None]
                rows, targets = root * block[chosen], root * y[part][chosen]
                self._sum[fold] += (root * rows).sum(0)
                self._gram[fold] += rows.T @ rows
                self._target_sum[fold] += (root * targets).sum(0)
                self._target_energy[fold] += np.sum(targets**2)
                self._cross[fold] += rows.T @ targets
        every = tuple(range(work.num_folds))
        self._mean, gram, self._target_mean, cross = self._moments(every)
        check(self._varies(every, gram), "X", "constant columns only", "a column that varies")
        self.spectrum, self._vectors = moment_spectrum(gram, cross, self._energy(every), num_samples=len(y))
        self._values = self.spectrum.eigenvalues
        self._rotated_cross = self._vectors.T @ cross

    def predictor(self, ridge: float) -> Predictor:
        """Fit to all rows."""
        weights = 1 / (len(self._y) * (self._values + ridge))
        coefficients = self._vectors @ (weights[:, None] * self._rotated_cross)
        return Predictor(coefficients, self._target_mean - self._mean @ coefficients)

    def leave_one_out(self, ridge: float) -> LeaveOneOut:
        """Leave-one-out predictions at one ridge, in one pass."""
        n = len(self._y)
        fit = self.predictor(ridge)
        directions = self._vectors / np.sqrt(n * (self._values + ridge))
        predictions, leverage = np.empty_like(self._y), np.empty(n)
        for part, block in row_blocks(self._x, self._work.block_rows):
            fitted = block @ fit.coefficients + fit.intercept
            own = 1 / n + np.sum(((block - self._mean) @ directions) ** 2, axis=1)
            leverage[part] = self._root[part] ** 2 * own
            targets = self._y[part]
            predictions[part] = targets - (targets - fitted) / (1 - leverage[part])[:, None]
        return LeaveOneOut(predictions, leverage)

    def leave_group_out(self, ridge: float, groups: np.ndarray) -> np.ndarray:
        """Predictions for each row by the fit to all other groups."""
        fit = self.predictor(ridge)
        directions = self._vectors / np.sqrt(len(self._y) * (self._values + ridge))
        residual = np.empty_like(self._y)
        for part, block in row_blocks(self._x, self._work.block_rows):
            residual[part] = self._y[part] - block @ fit.coefficients - fit.intercept

        def left(rows: np.ndarray) -> np.ndarray:
            return (dense(self._x[rows]) - self._mean) @ directions

        return self._y - group_residuals(residual, left, self._root, groups)

    def loo_risks(self, ridges: np.ndarray) -> np.ndarray:
        """Mean squared leave-one-out error at each ridge, summed over targets, in one pass."""
        n = len(self._y)
        shrinkage = self._values / (self._values + ridges[:, None])
        unit = self._vectors / np.sqrt(n * self._values)
        coefficients = self._rotated_cross / np.sqrt(n * self._values)[:, None]
        total = np.zeros(len(ridges))
        for part, block in row_blocks(self._x, self._work.block_rows):
            left = (block - self._mean) @ unit
            outside = 1 - self._root[part, None] ** 2 * (1 / n + left**2 @ shrinkage.T)
            targets = self._y[part] - self._target_mean
            for index, shrink in enumerate(shrinkage):
                residual = targets - left @ (shrink[:, None] * coefficients)
                total[index] += np.sum(self._root[part] ** 2 * np.sum(residual**2, axis=1) / outside[:, index] ** 2)
        return total / n

    def fit_part(self, folds: tuple[int, ...], select: SelectRidge) -> FittedPart | None:
        """Fit to the rows in these folds at their own ridge; None where they hold nothing to fit."""
        mean, gram, target_mean, cross = self._moments(folds)
        if not self._varies(folds, gram):
            return None
        size = self._size(folds)
        spectrum, vectors = moment_spectrum(gram, cross, self._energy(folds), num_samples=size)
        path, ridge = select(spectrum)
        weights = 1 / (size * (spectrum.eigenvalues + ridge))
        coefficients = vectors @ (weights[:, None] * (vectors.T @ cross))
        return FittedPart(folds, path, ridge, Predictor(coefficients, target_mean - mean @ coefficients))

    def held_out(self, fits: list[FittedPart]) -> Iterator[tuple[int, PartPrediction]]:
        """Predictions of fits to parts for the rows outside their folds, in one pass."""
        for part, block in row_blocks(self._x, self._work.block_rows):
            for index, fitted in enumerate(fits):
                outside = ~np.isin(self._folds[part], fitted.folds)
                rows = np.flatnonzero(outside) + part.start
                yield index, PartPrediction(rows, block[outside] @ fitted.fit.coefficients + fitted.fit.intercept)

    def _size(self, folds: tuple[int, ...]) -> int:
        return round(float(self._count[list(folds)].sum()))

    def _energy(self, folds: tuple[int, ...]) -> float:
        """Sum of squares of the centred targets."""
        chosen = list(folds)
        total = self._target_sum[chosen].sum(0)
        return max(float(self._target_energy[chosen].sum() - total @ total / self._size(folds)), 0.0)

    def _moments(self, folds: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Mean, centred second moments (not divided by the count), target mean and centred cross moments."""
        chosen = list(folds)
        count = self._size(folds)
        mean, target_mean = self._sum[chosen].sum(0) / count, self._target_sum[chosen].sum(0) / count
        gram = self._gram[chosen].sum(0) - count * np.outer(mean, mean)
        cross = self._cross[chosen].sum(0) - count * np.outer(mean, target_mean)
        return mean + self._shift, (gram + gram.T) / 2, target_mean, cross

    def _varies(self, folds: tuple[int, ...], gram: np.ndarray) -> bool:
        return varies(np.diag(gram), np.diag(self._gram[list(folds)].sum(0)))
