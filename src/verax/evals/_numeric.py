"""Two ways to compute: NumPy in double precision for concrete values, JAX for traced ones.

Tables are small and a compiler takes seconds to start, so that concrete values never meet one. Functions are written
once, for the module that :func:`module_for` returns.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from verax._arrays import to_array, to_host, to_integer, to_key, to_number
from verax._errors import fail, is_traced

Numeric: TypeAlias = Any
"""An array of either kind."""


def module_for(*values: Any) -> Any:
    """``jax.numpy`` if any leaf of the values is traced, else ``numpy``."""
    return jnp if is_traced(values) else np


def take(argument: str, value: Any, *others: Any, **options: Any) -> Numeric:
    """A checked array: NumPy's if the value and the ``others``, which it is used with, are concrete, else JAX's."""
    if is_traced((value, *others)):
        return to_array(argument, value, **options)
    return to_host(argument, value, **options)


def as_float(x: Numeric, xp: Any) -> Numeric:
    """The array in double precision, or in JAX's default one."""
    return x.astype(np.float64 if xp is np else jnp.result_type(float))


def on_host(function: Callable[..., np.ndarray], *arrays: Numeric) -> Numeric:
    """An elementwise function of SciPy in double precision; of traced arrays through a callback.

    Series and fractions for special functions lose all digits in single precision long before 10^8 trials. Results
    have no derivative.
    """
    if not is_traced(arrays):
        with np.errstate(all="ignore"):
            return np.asarray(function(*(np.asarray(array, np.float64) for array in arrays)))
    dtype = jnp.result_type(float)
    shape = jnp.broadcast_shapes(*map(np.shape, arrays))

    def call(*values: Any) -> np.ndarray:
        with np.errstate(all="ignore"):
            found = function(*(np.asarray(value, np.float64) for value in values))
        return np.broadcast_to(found, np.broadcast_shapes(*map(np.shape, values))).astype(dtype)

    fixed = [jax.lax.stop_gradient(jnp.broadcast_to(array, shape)) for array in arrays]
    return jax.pure_callback(call, jax.ShapeDtypeStruct(shape, dtype), *fixed, vmap_method="broadcast_all")


def sums_by_group(x: Numeric, group: Numeric, num: int) -> Numeric:
    """Sums ``[..., num]`` of ``x [..., p]`` over equal entries of ``group [p]``."""
    rows = x.reshape(-1, x.shape[-1])
    if module_for(x, group) is np:
        sums = np.stack([np.bincount(group, row, num) for row in rows])
    else:
        sums = jax.vmap(lambda row: jax.ops.segment_sum(row, group, num))(jnp.asarray(rows))
    return sums.reshape(*x.shape[:-1], num)


def take_level(level: Any) -> float:
    """A level of coverage inside (0, 1)."""
    return to_number("level", level, "(0, 1)")


def take_count(argument: str, value: Any, *, minimum: int = 1) -> int:
    """A whole number."""
    return to_integer(argument, value, minimum=minimum)


def need_key(key: Any, use: str) -> jax.Array:
    """The key, or raise for a computation that draws."""
    if key is None:
        fail("key", "None", f"a jax.random.key {use}")
    return to_key("key", key)
