"""One Cholesky factorisation for the functions that differentiate, and the rule that keeps double precision."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple, ParamSpec, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from verax._array_likes import read_array
from verax._arrays import same_dtype, to_array
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
    k, y = to_array("kernel", kernel), to_array("targets", targets)
    k, y = same_dtype(k, y)
    return k, y, jnp.asarray(ridge).astype(k.dtype)


def keep_double(*names: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Read the arguments of these names as arrays, and compute in float64 where one is float64, even with x64 off.

    JAX would cast such input to float32 without a word. The result is then in NumPy. JAX arrays and traced values keep
    JAX's own precision.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            bound = signature.bind(*args, **kwargs)
            given = bound.arguments
            for name in names:
                if name in given and not isinstance(given[name], bool | int | float):
                    given[name] = _floating(read_array(name, given[name]))
            arrays = [given[name] for name in names if hasattr(given.get(name), "dtype")]
            double = any(isinstance(leaf, np.ndarray) and leaf.dtype == np.float64 for leaf in arrays)
            if not double or is_traced(arrays):
                return function(*bound.args, **bound.kwargs)
            with jax.enable_x64(True):
                result = function(*bound.args, **bound.kwargs)
                if not is_traced(result):
                    return jax.tree.map(np.asarray, result)
            # Under jit even a function of constants is traced, and then JAX's own precision holds.
            return function(*bound.args, **bound.kwargs)

        return wrapper

    return decorate


def _floating(array: Any) -> Any:
    """Integers as float64, and floats narrower than float32 widened."""
    if not isinstance(array, np.ndarray):
        return array
    if array.dtype.kind in "iub":
        return array.astype(np.float64)
    return array.astype(np.float32) if array.dtype.itemsize < 4 and array.dtype.kind not in "OUS" else array


def check_solved(result: Any, what: str) -> None:
    """Raise where a concrete factorisation failed, which shows as NaN."""
    if not is_traced(result) and not all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(result)):
        fail(
            "ridge",
            f"a value at which the kernel plus n * ridge is not positive definite in {what}",
            "a larger ridge (above minus the smallest eigenvalue of K/n, and above the rounding of its largest), or "
            "risk_path, which handles singular kernels at ridge 0",
        )
