"""Eigenvalues and target energies of a kernel: all that generalized cross-validation needs, for every ridge at once."""

from typing import Any, NamedTuple

import numpy as np

from verax._errors import check, fail, is_traced
from verax._results import result


@result()
class Spectrum(NamedTuple):
    r"""Decomposition of ``K / n`` together with the targets' energy along it.

    Fields are NumPy float64 whatever the kernel's dtype. ``K / n = U diag(l) U^T`` after centring, ``a = U^T y``.

    Attributes
    ----------
    eigenvalues : [m]
        Eigenvalues of ``K / n`` above the rank tolerance, descending. Ritz values with ``method="lanczos"``.
    target_energy : [m]
        ``sum_c a_ic^2``, summed over targets, not divided by ``n``.
    num_samples, num_targets : int
        ``n`` and ``C``.
    centered : bool
        Whether an intercept was fitted (it counts as one more degree of freedom).
    rank : int
        Number of eigenvalues above the rank tolerance (of Ritz values with Lanczos).
    null_count : float
        Dimension of the null space, the intercept's direction not counted; estimated with Lanczos.
    null_energy : float
        Energy of the targets in that null space.
    precision_floor : float
        Absolute uncertainty of an eigenvalue that the kernel's dtype and the decomposition leave.
    eigenvectors : [n, m] or None
        ``U`` (Ritz vectors with Lanczos); None where they were not kept.
    coefficients : [m, C] or None
        ``a``.
    null_residual : [n, C] or None
        The targets' component in the null space.
    null_leverage : [n] or None
        ``1 - H_ii`` at ridge 0; None with Lanczos, which does not give leverages.
    multiplicity : [num_probes, m] or None
        How many eigenvalues each Ritz value stands for, one estimate a probe; None for an exact decomposition, where
        it is 1.
    null_multiplicity : [num_probes] or None
        The same for the null space.
    truncation : Spectrum or None
        The Lanczos quadrature of fewer steps, whose difference tells whether the recurrence has converged.
    radau_nodes, radau_energy : [r] or None
        With Lanczos: the rule with a node prescribed below the spectrum, and the targets' energy on its nodes, for
        `quadrature_bounds`.
    """

    eigenvalues: np.ndarray
    target_energy: np.ndarray
    num_samples: int
    num_targets: int
    centered: bool
    rank: int
    null_count: float
    null_energy: float
    precision_floor: float
    eigenvectors: np.ndarray | None = None
    coefficients: np.ndarray | None = None
    null_residual: np.ndarray | None = None
    null_leverage: np.ndarray | None = None
    multiplicity: np.ndarray | None = None
    null_multiplicity: np.ndarray | None = None
    truncation: "Spectrum | None" = None
    radau_nodes: np.ndarray | None = None
    radau_energy: np.ndarray | None = None

    def without_eigenvectors(self) -> "Spectrum":
        """Drop what only leave-one-out errors need."""
        return self._replace(eigenvectors=None, coefficients=None, null_residual=None, null_leverage=None)


def centered_targets(targets: Any, *, center: bool) -> np.ndarray:
    """Float64 ``[n, C]`` targets, with the column means removed when an intercept is fitted."""
    y = np.asarray(targets, np.float64)
    y = y[:, None] if y.ndim == 1 else y
    return y - y.mean(0) if center else y


def check_semidefinite(argument: str, smallest: float, largest: float, floor: float) -> None:
    """Raise for an eigenvalue that is more negative than rounding explains."""
    check(
        bool(smallest >= -max(1e3 * floor, 1.5e-8 * largest)),
        argument,
        f"an indefinite matrix: eigenvalues of K/n from {smallest:.3g} to {largest:.3g}",
        "a positive semi-definite Gram matrix",
    )


def check_concrete(argument: str, *arrays: Any) -> None:
    """Refuse traced arrays, which the host cannot read."""
    if is_traced(arrays):
        fail(argument, "a traced array", "concrete arrays (under jit use verax.spectral.gcv)")


def assemble(
    values: np.ndarray,
    coefficients: np.ndarray,
    vectors: np.ndarray | None,
    y: np.ndarray,
    *,
    center: bool,
    floor: float,
    argument: str = "kernel",
) -> Spectrum:
    """Sort a decomposition, and set the null space and the intercept's direction apart."""
    num_samples, num_targets = y.shape
    order = np.argsort(values)[::-1]
    values, coefficients = values[order], coefficients[order]
    largest, smallest = float(values[0]), float(values[-1])
    check_semidefinite(argument, smallest, largest, floor)
    # Noise eigenvalues come in both signs, so the most negative one shows how large the positive ones may be.
    floor = float(max(floor, -2 * smallest))
    most = num_samples - int(center)
    rank = min(int(np.sum(values > floor)), most)
    check(rank > 0, argument, "a matrix that vanishes" + " after centring" * center, "at least one positive eigenvalue")
    null_count = most - rank
    complete = len(values) == num_samples
    null_energy = float(np.sum(coefficients[rank:] ** 2)) if null_count > 0 else 0.0
    kept = null_residual = null_leverage = None
    if vectors is not None:
        vectors = vectors[:, order]
        kept = np.ascontiguousarray(vectors[:, :rank])
        null_residual, null_leverage = np.zeros_like(y), np.zeros(num_samples)
        if null_count > 0:
            null = vectors[:, rank:]
            null_residual = null @ coefficients[rank:] if complete else y - kept @ coefficients[:rank]
            null_energy = float(np.sum(null_residual**2))
            # 1 - H_ii at ridge 0: what neither the kept directions nor the intercept explain.
            outside = np.sum(null**2, axis=1) if complete else 1 - np.sum(kept**2, axis=1)
            null_leverage = np.maximum(outside - center / num_samples, 0.0)
    return Spectrum(
        eigenvalues=values[:rank].copy(),
        target_energy=np.sum(coefficients[:rank] ** 2, axis=1),
        num_samples=num_samples,
        num_targets=num_targets,
        centered=center,
        rank=rank,
        null_count=float(null_count),
        null_energy=null_energy,
        precision_floor=floor,
        eigenvectors=kept,
        coefficients=None if kept is None else coefficients[:rank].copy(),
        null_residual=null_residual,
        null_leverage=null_leverage,
    )
