"""One Cholesky factorisation for the functions that differentiate, and the rule that keeps double precision."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, ParamSpec, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from verax._errors import fail, is_traced

P = ParamSpec("P")
R = TypeVar("R")


class Resolution(NamedTuple):
    """``(K_c/n + ridge)^-1`` on the directions that the intercept leaves."""

    inverse: jax.Array
    """[n, n], zero along the intercept's direction."""
    targets: jax.Array
    """[n, C], centred."""
    solution: jax.Array
    """[n, C], the inverse times the targets."""


def resolve(kernel: jax.Array, targets: jax.Array, ridge: jax.Array, center: bool) -> Resolution:
    """Invert the regularised kernel by Cholesky; NaN where it is not positive definite."""
    n = kernel.shape[0]
    y = targets[:, None] if targets.ndim == 1 else targets
    k = (kernel + kernel.T) / (2 * n)
    bump = jnp.zeros((), k.dtype)
    if center:
        row = jnp.mean(k, axis=0)
        k = k - row - row[:, None] + jnp.mean(row)
        y = y - jnp.mean(y, axis=0)
        # Centring leaves a null vector 1. Giving it the mean eigenvalue keeps the factorisation well conditioned at
        # ridge 0, and its share of the inverse is taken out again below.
        bump = jnp.abs(jnp.trace(k)) / n
        k = k + bump / n
    k = k + ridge * jnp.eye(n, dtype=k.dtype)
    factor = jax.scipy.linalg.cho_factor(k, lower=True)
    inverse = jax.scipy.linalg.cho_solve(factor, jnp.eye(n, dtype=k.dtype))
    solution = jax.scipy.linalg.cho_solve(factor, y)
    if center:
        inverse = inverse - 1 / (n * (ridge + bump))
    return Resolution(inverse, y, solution)


def align(kernel: Any, targets: Any, ridge: Any) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Convert to JAX arrays of one floating dtype, the widest that comes with the kernel or the targets."""
    k, y = jnp.asarray(kernel), jnp.asarray(targets)
    dtype = jax.dtypes.canonicalize_dtype(jnp.promote_types(k.dtype, y.dtype))
    return k.astype(dtype), y.astype(dtype), jnp.asarray(ridge).astype(dtype)


def keep_double(function: Callable[P, R]) -> Callable[P, R]:
    """Compute concrete float64 NumPy input in float64 even with x64 off, and then return NumPy arrays.

    JAX would cast such input to float32 without a word. JAX arrays and traced values keep JAX's own precision.
    """

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        arrays = [leaf for leaf in jax.tree.leaves((args, kwargs)) if hasattr(leaf, "dtype")]
        double = any(isinstance(leaf, np.ndarray) and leaf.dtype == np.float64 for leaf in arrays)
        if not double or is_traced(arrays):
            return function(*args, **kwargs)
        with jax.enable_x64(True):
            result = function(*args, **kwargs)
            if not is_traced(result):
                return jax.tree.map(np.asarray, result)
        # Under jit even a function of constants is traced, and then JAX's own precision holds.
        return function(*args, **kwargs)

    return wrapper


def check_solved(result: Any, what: str) -> None:
    """Raise where a concrete factorisation failed, which shows as NaN."""
    if not is_traced(result) and not all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(result)):
        fail(
            "ridge",
            f"a value at which the kernel plus n * ridge is not positive definite in {what}",
            "a larger ridge (above minus the smallest eigenvalue of K/n, and above the rounding of its largest), or "
            "risk_path, which handles singular kernels at ridge 0",
        )
