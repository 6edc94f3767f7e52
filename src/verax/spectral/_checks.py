"""Checks of kernels, targets and ridges that the functions of this room share."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from verax._errors import check, check_finite, check_floating, fail, is_traced


def check_kernel(kernel: Any, argument: str = "kernel") -> int:
    """Return the number of samples of a square, symmetric, finite Gram matrix, or raise."""
    check(
        hasattr(kernel, "dtype") and hasattr(kernel, "shape"), argument, type(kernel).__name__, "a NumPy or JAX array"
    )
    check(
        kernel.ndim == 2 and kernel.shape[0] == kernel.shape[1],
        argument,
        f"shape {kernel.shape}",
        "a square [n, n] array",
    )
    check(kernel.shape[0] > 0, argument, "an empty array", "at least one sample")
    check_floating(argument, kernel)
    check_finite(argument, kernel)
    check_symmetric(argument, kernel)
    return kernel.shape[0]


def is_operator(kernel: Any) -> bool:
    """Whether a kernel is given by its products, ``v -> K v``, and not by its entries."""
    return callable(kernel) and not hasattr(kernel, "dtype")


def check_symmetric(argument: str, kernel: Any) -> None:
    """Raise unless a concrete matrix is symmetric up to the rounding of its dtype; traced values pass."""
    if is_traced(kernel):
        return
    tolerance = symmetry_tolerance(kernel.dtype)
    asymmetry, scale = _asymmetry(kernel)
    check(
        asymmetry <= tolerance * scale,
        argument,
        f"an asymmetric matrix (largest |K_ij - K_ji| is {asymmetry:.2g}, largest entry {scale:.2g})",
        "a symmetric Gram matrix, for instance (kernel + kernel.T) / 2 if the difference is rounding",
    )


def symmetry_tolerance(dtype: Any) -> float:
    """Relative asymmetry that counts as rounding: double-precision arrays often hold single-precision numbers."""
    return min(max(1e-6, 1e3 * float(jnp.finfo(dtype).eps)), 0.05)


def _asymmetry(kernel: Any) -> tuple[float, float]:
    if isinstance(kernel, jax.Array):
        with jax.ensure_compile_time_eval():  # also for a concrete array that a function under `jit` closes over
            return float(jnp.max(jnp.abs(kernel - kernel.T))), float(jnp.max(jnp.abs(kernel)))
    # Row blocks, so that no third n x n array is alive for large kernels.
    rows = max(1, 2**22 // kernel.shape[0])
    worst, scale = 0.0, 0.0
    for start in range(0, kernel.shape[0], rows):
        block = kernel[start : start + rows]
        worst = max(worst, float(np.max(np.abs(block - kernel[:, start : start + rows].T))))
        scale = max(scale, float(np.max(np.abs(block))))
    return worst, scale


def check_targets(targets: Any, num_samples: int, argument: str = "targets") -> None:
    """Raise unless targets are finite real numbers of shape ``[n]`` or ``[n, C]``."""
    check(
        hasattr(targets, "dtype") and hasattr(targets, "shape"),
        argument,
        type(targets).__name__,
        "a NumPy or JAX array",
    )
    check(
        targets.ndim in (1, 2) and targets.shape[0] == num_samples and targets.size > 0,
        argument,
        f"shape {targets.shape}",
        f"shape [{num_samples}] or [{num_samples}, C], one row for each sample",
    )
    if not jnp.issubdtype(targets.dtype, jnp.floating):
        fail(argument, f"dtype {targets.dtype}", "a real floating-point dtype (class labels as one-hot columns)")
    check_finite(argument, targets)


def check_center(center: object, num_samples: int) -> None:
    """Raise unless ``center`` is a bool that leaves something of the data."""
    check(isinstance(center, bool | np.bool_), "center", repr(center), "True or False")
    check(not center or num_samples >= 2, "kernel", f"{num_samples} sample", "at least two samples when center=True")


def check_ridge(ridge: Any, argument: str = "ridge") -> None:
    """Raise unless the ridge is one finite real number (a Python number or a scalar array)."""
    if isinstance(ridge, bool) or not (isinstance(ridge, int | float | np.number) or hasattr(ridge, "dtype")):
        fail(argument, repr(ridge), "a real number")
    check(np.ndim(ridge) == 0, argument, f"shape {np.shape(ridge)}", "one number")
    if not is_traced(ridge):
        check(bool(np.isfinite(np.asarray(ridge, np.float64))), argument, repr(ridge), "a finite number")
