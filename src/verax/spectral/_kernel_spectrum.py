"""The decomposition of a kernel, from its entries or from its products."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from verax._arrays import effective_eps, to_host
from verax._errors import check, check_option
from verax._types import AnyArray
from verax.parallel import KernelFile

from ._checks import RANGE, check_center, is_operator, read_kernel, read_targets
from ._eigh import symmetric_eigh
from ._lanczos import lanczos_spectrum
from ._spectrum import Spectrum, assemble, centered_targets, check_concrete

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
        k]`` arrays, such as an operator of ``verax.ntk``. A kernel on disk (`verax.parallel.KernelFile`) is read into
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


def centered_kernel(kernel: np.ndarray) -> np.ndarray:
    """``C K C`` with ``C = I - 11^T / n``, symmetric to the last bit's order."""
    row = kernel.mean(0)
    return kernel - row - row[:, None] + row.mean()


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
