"""More Than a Toy: the local random matrix law, at images that no fit has seen.

The law says that the empirical covariance of n samples acts on a further sample x as the true one does at the effective
ridge kappa,

    lambda phi(x)^T (Sigma_n + lambda)^-1 phi(x)  ~  kappa phi(x)^T (Sigma + kappa)^-1 phi(x).

The true covariance is not known: a fit to many more samples stands for it, at the ridge that gives the same kappa. By
Woodbury's identity the left side is ``k(x, x) - k_x^T (K + n lambda)^-1 k_x``, so that kernels are enough.
"""

import numpy as np

LAW_TOLERANCE = 0.10
"""Relative difference of the two sides that counts as agreement."""

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def local_law(
    kernel: np.ndarray, sizes: tuple[int, ...], largest: int, held: np.ndarray, ridges: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Compare fits to the first samples with a fit to the ``largest`` number, at unseen samples.

    Returns the ratio of the two sides, quantiles [sizes, ridges, 5], and the share of samples within the tolerance,
    [sizes, ridges]; NaN where the fits share no effective ridge.
    """
    reference = _Quadratic(kernel, largest, held)
    span = float(np.mean(np.diagonal(kernel)[:largest]))
    grid = np.geomspace(1e-9, 1e2, 400) * span
    kappas = np.array([reference.effective_ridge(ridge) for ridge in grid])
    quantiles = np.full((len(sizes), len(ridges), len(QUANTILES)), np.nan)
    shares = np.full((len(sizes), len(ridges)), np.nan)
    for row, size in enumerate(sizes):
        fit = _Quadratic(kernel, size, held)
        for column, ridge in enumerate(ridges):
            kappa = fit.effective_ridge(float(ridge))
            if not kappas[0] <= kappa <= kappas[-1]:
                continue
            same = float(np.exp(np.interp(np.log(kappa), np.log(kappas), np.log(grid))))
            ratio = fit.values(float(ridge)) / reference.values(same)
            quantiles[row, column] = np.quantile(ratio, QUANTILES)
            shares[row, column] = np.mean(np.abs(ratio - 1) <= LAW_TOLERANCE)
    return quantiles, shares


def law_sizes(sizes: tuple[int, ...]) -> tuple[int, ...]:
    """Sizes that are small beside the largest, which stands for all samples: the two largest up to a third of it."""
    return tuple(size for size in sizes if 3 * size <= max(sizes))[-2:]


class _Quadratic:
    """The left side of the law for the first ``size`` samples, at every ridge from one decomposition."""

    def __init__(self, kernel: np.ndarray, size: int, held: np.ndarray) -> None:
        self.size = size
        self._values, vectors = np.linalg.eigh(kernel[:size, :size].astype(np.float64))
        self._values = np.maximum(self._values, 0.0)
        self._projected = (kernel[np.ix_(held, np.arange(size))].astype(np.float64) @ vectors) ** 2
        self._diagonal = np.diagonal(kernel)[held].astype(np.float64)

    def effective_ridge(self, ridge: float) -> float:
        """Return kappa, ``lambda / (1 - df1 / n)``."""
        return ridge / float(np.mean(self.size * ridge / (self._values + self.size * ridge)))

    def values(self, ridge: float) -> np.ndarray:
        """Return the left side at the held-out samples; beyond the ridge, of the size of the kernel's rounding."""
        return self._diagonal - self._projected @ (1 / (self._values + self.size * ridge))
