"""Checks of kernels, targets and ridges that the functions of this package share."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from verax._arrays import to_array, to_host
from verax._errors import check, is_traced

RANGE = "[-1e150, 1e150]"
"""Of entries whose squares do not overflow."""


def read_kernel(kernel: Any, argument: str = "kernel") -> Any:
    """Square, symmetric, finite Gram matrix in its own precision, on the device or on the host where it came from."""
    if isinstance(kernel, jax.Array):
        array: Any = to_array(argument, kernel, shape=("n", "n"))
    else:
        array = to_host(argument, kernel, shape=("n", "n"), dtype="any", within=RANGE)
        if array.dtype not in (np.float32, np.float64):
            array = array.astype(np.float64 if array.dtype.kind in "iub" else np.float32)
    check_symmetric(argument, array)
    return array


def check_kernel(kernel: Any, argument: str = "kernel") -> int:
    """Return the number of samples of a Gram matrix that `keep_double` has read, or raise."""
    to_array(argument, kernel, shape=("n", "n"))
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


def read_targets(targets: Any, num_samples: int, argument: str = "targets") -> np.ndarray:
    """Real targets [n] or [n, C] in float64."""
    return to_host(argument, targets, shape=[(num_samples,), (num_samples, "C")], within=RANGE)


def check_targets(targets: Any, num_samples: int, argument: str = "targets") -> None:
    """Raise unless targets are finite real numbers of shape ``[n]`` or ``[n, C]``."""
    to_array(argument, targets, shape=[(num_samples,), (num_samples, "C")])


def check_center(center: object, num_samples: int, argument: str = "kernel") -> None:
    """Raise unless ``center`` is a bool that leaves something of the data."""
    check(isinstance(center, bool | np.bool_), "center", repr(center), "True or False")
    check(not center or num_samples >= 2, argument, f"{num_samples} sample", "at least two samples when center=True")


def check_ridge(ridge: Any, argument: str = "ridge") -> None:
    """Raise unless the ridge is one finite real number (a Python number or a scalar array)."""
    check(not isinstance(ridge, bool), argument, repr(ridge), "a real number")
    to_array(argument, ridge, shape=())
