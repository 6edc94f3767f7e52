"""Arguments of the solvers: weights of any number type, in the precision that keeps their digits."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from verax._array_likes import read_array, widest_dtype
from verax._errors import check, fail, is_traced


class Weights(NamedTuple):
    """Weights as floats, and whether they need double precision although 64-bit types are disabled."""

    array: Any  # [*b, n, m], float32 or float64
    double: bool
    argument: str


def read_weights(argument: str, value: Any, ndim: int = 2, *, need: str = "[..., n, m]") -> Weights:
    """Read numbers of at least ``ndim`` axes without losing a digit of concrete ones.

    Bool, integers and floats narrower than 32 bits become float32 where it represents them, else float64. Of integers
    of at least 32 bits, and of narrow floats, the extreme numbers of the dtype stand for the infinities.
    """
    array = read_array(argument, value)
    families = (jnp.floating, jnp.integer, np.bool_)
    check(any(jnp.issubdtype(array.dtype, kind) for kind in families), argument, f"dtype {array.dtype}", "real numbers")
    check(array.ndim >= ndim, argument, f"shape {array.shape}", need)
    if isinstance(array, jax.Array) and array.dtype in (jnp.float32, jnp.float64):
        return Weights(array, False, argument)
    if is_traced(array):
        return Weights(_widened(jnp, array, _float_dtype(array.dtype)), False, argument)
    with jax.ensure_compile_time_eval():
        array = np.asarray(array)
    if array.dtype == np.float32:
        return Weights(array, False, argument)
    wide = _widened(np, array, np.float64)
    if array.dtype.kind in "iu":
        exact = not np.isfinite(wide).any() or bool(np.abs(wide[np.isfinite(wide)]).max() < 2.0**53)
        check(exact, argument, "integers beyond 2**53", "integers that double precision represents")
    if jax.config.read("jax_enable_x64"):
        narrow = array.dtype != np.float64 and jnp.issubdtype(array.dtype, jnp.floating)
        return Weights(wide.astype(np.float32) if narrow else wide, False, argument)
    with np.errstate(over="ignore", invalid="ignore"):
        single = wide.astype(np.float32)
        same = bool(((single == wide) | np.isnan(wide)).all())
    return Weights(single, False, argument) if same else Weights(wide, True, argument)


def in_double(weights: Weights | list[Weights], solve: Callable[..., Any], *others: Any) -> Any:
    """Call ``solve(*arrays)``, in double precision where one of them needs it; results in JAX's own precision."""
    reads = [weights] if isinstance(weights, Weights) else weights
    widest = widest_dtype([read.array for read in reads])
    if not any(read.double for read in reads) or is_traced((others, [read.array for read in reads])):
        widest = jax.dtypes.canonicalize_dtype(widest)
        return solve(*(jnp.asarray(read.array, widest) for read in reads))
    with jax.enable_x64(True):
        result = solve(*(jnp.asarray(read.array, widest) for read in reads))
        leaves = jax.tree.leaves(result)
        largest = max(float(jnp.abs(jnp.where(jnp.isfinite(x), x, 0)).max(initial=0)) for x in leaves)
        argument = next(read.argument for read in reads if read.double)
        fits = largest <= float(np.finfo(np.float32).max)
        check(fits, argument, f"results up to {largest:.3g}", "entries below 1e38 / n, or jax_enable_x64")
        return jax.tree.map(lambda x: x.astype(jnp.float32) if x.dtype == jnp.float64 else x, result)


def read_mask(argument: str, mask: Any, shape: tuple[int, ...]) -> Any:
    """Read booleans of this shape; None stays None."""
    if mask is None:
        return None
    array = read_array(argument, mask)
    check(array.dtype == np.bool_, argument, f"dtype {array.dtype}", "bool")
    check(array.shape == shape, argument, f"shape {array.shape}", f"shape {shape}")
    return jnp.asarray(array)


def _float_dtype(dtype: Any) -> Any:
    if jnp.issubdtype(dtype, jnp.floating):
        return dtype if jnp.finfo(dtype).bits >= 32 else np.dtype(np.float32)
    return jnp.result_type(float)


def _widened(xp: Any, array: Any, dtype: Any) -> Any:
    """Convert to a wider dtype; extreme numbers, with which users write infinity, become infinities."""
    wide = array.astype(dtype)
    if array.dtype == np.bool_ or array.dtype == np.float64:
        return wide
    integer = jnp.issubdtype(array.dtype, jnp.integer)
    info = np.iinfo(array.dtype) if integer else jnp.finfo(array.dtype)
    if integer and info.bits < 32:  # there it is an ordinary number
        return wide
    infinity = np.asarray(np.inf, dtype)
    wide = xp.where(array == info.max, infinity, wide)
    return wide if integer and info.min == 0 else xp.where(array == info.min, -infinity, wide)


def read_limit(argument: str, value: Any) -> float | None:
    """Read a limit on single weights: one number, infinities allowed; None stays None."""
    if value is None:
        return None
    if is_traced(value):
        fail(argument, "a traced value", "a number known before compilation")
    array = read_array(argument, value)
    number = array.ndim == 0 and array.dtype.kind in "fiu"
    check(number and not np.isnan(array), argument, repr(value), "a number, or None for no limit")
    return float(array)
