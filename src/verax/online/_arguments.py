"""Checks of arguments that the packages of online problems share."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from verax._arrays import same_dtype, to_array, to_host, to_integer, to_number
from verax._errors import check, fail, is_traced


def check_buy_cost(buy_cost: Any) -> int:
    """A whole number of days' rent, at least 1; 10.0 and integer arrays without axes are whole numbers too."""
    return to_integer("buy_cost", buy_cost, minimum=1)


def check_price(buy_cost: Any) -> float:
    """A price in days of rent, any positive number; an int where it is whole."""
    price = to_number("buy_cost", buy_cost, "(0, inf)")
    return int(price) if price.is_integer() else price


def check_range(argument: str, value: Any, low: float, high: float, need: str) -> None:
    """Raise unless every concrete entry lies in [low, high]; NaN never does."""
    if is_traced(value):
        return
    array = to_host(argument, value, finite=False)
    inside = (array >= low) & (array <= high)
    if not bool(inside.all()):
        fail(argument, array[~inside].ravel()[0] if array.ndim else array, need)


def check_broadcast(**arrays: Array) -> None:
    """Raise, naming the later one, where the shapes of two arrays do not broadcast."""
    shape: tuple[int, ...] = ()
    for name, array in arrays.items():
        try:
            shape = np.broadcast_shapes(shape, array.shape)
        except ValueError:
            fail(name, f"shape {array.shape}", f"one that broadcasts with {shape}")


def check_lam(lam: Any, low: float, high: float, need: str) -> None:
    """Raise unless the trade-off lies in its range."""
    check_range("lam", lam, low, high, need)


def numbers(argument: str, x: Any) -> Array:
    """Real numbers in their own dtype: integers stay integers, narrow floats become float32."""
    array = to_array(argument, x, dtype="any")
    if array.dtype == jnp.bool_ or (jnp.issubdtype(array.dtype, jnp.floating) and jnp.finfo(array.dtype).bits < 32):
        array = to_array(argument, array)
    return array


def floating(argument: str, x: Any) -> Array:
    """Real numbers as floats in JAX's precision."""
    return to_array(argument, x)


def sizes(argument: str, x: Any) -> Array:
    """Positive finite job sizes ``[..., n]`` with at least one job."""
    array = estimates(argument, x)
    check_range(argument, array, np.nextafter(0.0, 1.0), np.inf, "positive sizes")
    return array


def estimates(argument: str, x: Any) -> Array:
    """Finite numbers ``[..., n]``, one per job."""
    array = to_array(argument, x, empty=True)
    check(array.ndim >= 1 and array.shape[-1] >= 1, argument, f"shape {array.shape}", "[..., n] with n >= 1 jobs")
    return array


def pair_of_sizes(x: Any, y: Any, *, only_order: bool = False) -> tuple[Array, Array]:
    """Sizes and as many predictions of them, which may have any sign where only their order counts."""
    sizes_, predictions = sizes("x", x), (estimates if only_order else sizes)("y", y)
    same = sizes_.shape[-1] == predictions.shape[-1]
    check(same, "y", f"{predictions.shape[-1]} predictions", f"one for each of the {sizes_.shape[-1]} jobs of x")
    sizes_, predictions = jnp.broadcast_arrays(*same_dtype(sizes_, predictions))
    return sizes_, predictions
