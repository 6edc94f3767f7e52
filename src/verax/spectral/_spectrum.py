"""Eigenvalues and target energies of a kernel: all that generalized cross-validation needs, for every ridge at once."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from verax._arrays import effective_eps, to_host
from verax._errors import check, check_option, fail, is_traced
from verax._results import result
from verax._types import AnyArray
from verax.parallel import KernelFile

from ._checks import RANGE, check_center, is_operator, read_kernel, read_targets
from ._eigh import symmetric_eigh


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


_LARGEST_EIGH = 20_000


def kernel_spectrum(
    kernel: Float[AnyArray, "n n"] | Callable[[jax.Array], Any] | KernelFile,
    targets: Float[AnyArray, "n"] | Float[AnyArray, "n C"],
    *,
    center: bool = True,
    method: str = "auto",
    num_steps: int | None = None,
    num_probes: int | None = None,
    key: jax.Array | None = None,
    keep_eigenvectors: bool = True,
) -> Spectrum:
    r"""Decompose a Gram matrix once, for the risk at every ridge and every number of samples.

    .. math:: K / n = U \operatorname{diag}(l_1 \ge \dots \ge l_n) U^\top, \qquad a = U^\top y

    The features behind the kernel must be independent of these labels: a network that was trained on these very
    examples has seen them, and every estimate made from this spectrum is then too small.

    Parameters
    ----------
    kernel : [n, n]
        Gram matrix ``phi(x_i) . phi(x_j)``, not divided by ``n``; for Lanczos also a function ``v -> K v`` of ``[n,
        k]`` arrays, such as an operator of `verax.ntk`. A kernel on disk (`verax.parallel.KernelFile`) is read into
        memory for "eigh", and tile by tile in every product for "lanczos". Float64 NumPy arrays keep their precision
        whether or not JAX's x64 mode is on.
    targets : [n] or [n, C]
        Real targets; class labels as one-hot columns. Risks sum over the C columns.
    center
        Fit an unpenalised intercept: kernel and targets are centred, and the intercept counts as one degree of freedom.
    method
        "eigh", "lanczos", or "auto": "eigh" for arrays of up to 20,000 samples, "lanczos" otherwise.
    num_steps, num_probes
        For Lanczos: block steps (default 100) and Rademacher probes (default 10).
    key
        For Lanczos: a ``jax.random.key`` for the probes.
    keep_eigenvectors
        Keep ``U``, which leave-one-out errors, leverages and their diagnostics need (``8 n^2`` bytes). With Lanczos
        only the standard error uses it, and there are no leave-one-out errors.

    Returns
    -------
    Spectrum
        NumPy float64 fields.

    Raises
    ------
    ValueError
        For a kernel that is not square, symmetric, finite and positive semi-definite beyond rounding, or that vanishes
        after centring; for targets of another length; for traced arrays, since this is a host entry point.

    Notes
    -----
    Cost: about ``5 n^3`` flops and ``3 n^2`` numbers for "eigh", half of that without eigenvectors. A kernel in host
    memory is centred and
    decomposed by LAPACK in float64, whatever its dtype: a float32 kernel then carries only the rounding of its entries,
    about ``eps * rms(K) / sqrt(n)`` in an eigenvalue of ``K / n``. A kernel on an accelerator is centred and
    decomposed there in its own dtype, with errors of order ``10 eps l_max``. Eigenvalues below the resulting tolerance
    count as zero, and `risk_path` flags the ridges for which that choice matters.

    "lanczos" costs ``num_steps`` products with a block of ``C + num_probes`` vectors, in the kernel's dtype, and as
    much again for full reorthogonalisation; memory is a centred copy of the kernel and ``n num_steps (C + num_probes)``
    numbers. Gauss quadrature converges from below for small ridges: a comparison with three quarters of the steps marks
    the ridges that need more (``RiskPath.reliable``).

    Examples
    --------
    >>> import numpy as np, verax.spectral as vs
    >>> features = np.random.default_rng(0).normal(size=(50, 200))
    >>> targets = features[:, 0]
    >>> spectrum = vs.kernel_spectrum(features @ features.T, targets)
    >>> spectrum.rank, spectrum.num_samples  # one direction is the intercept's
    (49, 50)
    >>> bool(np.isclose(spectrum.target_energy.sum(), 50 * targets.var()))
    True
    """
    check_option("method", method, ("auto", "eigh", "lanczos"))
    if isinstance(kernel, KernelFile):
        small = max(kernel.shape) <= _LARGEST_EIGH
        in_memory = method == "eigh" or (method == "auto" and small)
        return kernel_spectrum(
            np.asarray(kernel) if in_memory else kernel.product,
            targets,
            center=center,
            method=method,
            num_steps=num_steps,
            num_probes=num_probes,
            key=key,
            keep_eigenvectors=keep_eigenvectors,
        )
    check_concrete("kernel", kernel, targets)
    operator = is_operator(kernel)
    if operator:
        check(method != "eigh", "kernel", "a function", "an array for method='eigh'")
        targets = to_host("targets", targets, shape=[("n",), ("n", "C")], within=RANGE)
    else:
        matrix = read_kernel(kernel)
        kernel, targets = matrix, read_targets(targets, matrix.shape[0])
    num_samples = len(targets)
    check_center(center, num_samples)
    if method == "auto":
        method = "eigh" if num_samples <= _LARGEST_EIGH and not operator else "lanczos"
    if method == "lanczos":
        from ._lanczos import lanczos_spectrum

        return lanczos_spectrum(
            kernel,
            targets,
            center=bool(center),
            num_steps=num_steps,
            num_probes=num_probes,
            key=key,
            keep_eigenvectors=keep_eigenvectors,
        )
    for name, value in (("num_steps", num_steps), ("num_probes", num_probes)):
        check(value is None, name, repr(value), "None unless the method is 'lanczos'")
    y = centered_targets(targets, center=bool(center))
    values, coefficients, vectors, floor = _decompose(kernel, y, center=bool(center), with_vectors=keep_eigenvectors)
    return assemble(values, coefficients, vectors, y, center=bool(center), floor=floor)


def centered_targets(targets: Any, *, center: bool) -> np.ndarray:
    """Float64 ``[n, C]`` targets, with the column means removed when an intercept is fitted."""
    y = np.asarray(targets, np.float64)
    y = y[:, None] if y.ndim == 1 else y
    return y - y.mean(0) if center else y


def centered_kernel(kernel: np.ndarray) -> np.ndarray:
    """``C K C`` with ``C = I - 11^T / n``, symmetric to the last bit's order."""
    row = kernel.mean(0)
    return kernel - row - row[:, None] + row.mean()


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


def _decompose(
    kernel: Any, y: np.ndarray, *, center: bool, with_vectors: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, float]:
    """Eigenvalues of K/n (ascending), ``U^T y``, ``U`` if asked for, and the uncertainty of an eigenvalue."""
    if isinstance(kernel, jax.Array) and all(device.platform != "cpu" for device in kernel.devices()):
        values, vectors, floor = decompose_on_device(kernel, center=center)
        return values, vectors.T @ y, vectors if with_vectors else None, floor
    num_samples = kernel.shape[0]
    eps = effective_eps(kernel)
    k = np.asarray(kernel, np.float64)
    rms = float(np.sqrt(np.mean(k**2)))
    k = centered_kernel(k) if center else k
    k = (k + k.T) / (2 * num_samples)
    values, coefficients, vectors = symmetric_eigh(k, y, with_vectors=with_vectors)
    # Independent rounding of the entries perturbs K/n by a matrix of norm about 0.6 eps rms(K) / sqrt(n); accumulated
    # inner products are a few times worse. LAPACK's own backward error is a modest multiple of eps64 l_max.
    floor = max(8 * eps * rms / np.sqrt(num_samples), num_samples * np.finfo(np.float64).eps * float(values[-1]))
    return values, coefficients, vectors, floor


def decompose_on_device(kernel: jax.Array, *, center: bool) -> tuple[np.ndarray, np.ndarray, float]:
    """Do the same where the kernel lives, in its own dtype: the way for accelerators."""
    num_samples = kernel.shape[0]
    k = kernel / num_samples
    if center:
        row = jnp.mean(k, axis=0)
        k = k - row - row[:, None] + jnp.mean(row)
    values, vectors = jnp.linalg.eigh((k + k.T) / 2, symmetrize_input=False)
    values, vectors = np.asarray(values, np.float64), np.asarray(vectors, np.float64)
    eps = float(jnp.finfo(kernel.dtype).eps)
    check(bool(np.isfinite(values).all()), "kernel", "a decomposition that failed on the device", "a host NumPy array")
    return values, vectors, 10 * eps * float(values[-1])


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
