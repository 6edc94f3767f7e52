"""Checks of arguments that the packages of this room share."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from verax._errors import check, check_finite, check_integer, fail, is_traced


def check_buy_cost(buy_cost: object) -> int:
    """A whole number of days' rent, at least 1."""
    check_integer("buy_cost", buy_cost, minimum=1)
    return int(buy_cost)  # pyright: ignore[reportArgumentType]


def check_range(argument: str, value: Any, low: float, high: float, need: str) -> None:
    """Raise unless every concrete entry lies in [low, high]; NaN never does."""
    if is_traced(value):
        return
    array = np.asarray(value)
    check(array.dtype.kind in "fiu" and bool(((array >= low) & (array <= high)).all()), argument, value, need)


def check_lam(lam: Any, low: float, high: float, need: str) -> None:
    """Raise unless the trade-off lies in its range."""
    check_range("lam", lam, low, high, need)


def floating(argument: str, x: Any) -> Array:
    """A real array as floats in JAX's precision."""
    array = jnp.asarray(x)
    if jnp.issubdtype(array.dtype, jnp.integer):
        array = array.astype(jnp.result_type(float))
    if not jnp.issubdtype(array.dtype, jnp.floating):
        fail(argument, f"dtype {array.dtype}", "real numbers")
    return array


def sizes(argument: str, x: Any) -> Array:
    """Positive finite job sizes ``[..., n]`` with at least one job."""
    array = floating(argument, x)
    check(array.ndim >= 1 and array.shape[-1] >= 1, argument, f"shape {array.shape}", "[..., n] with n >= 1 jobs")
    check_finite(argument, array)
    check_range(argument, array, np.nextafter(0.0, 1.0), np.inf, "positive sizes")
    return array


def pair_of_sizes(x: Any, y: Any) -> tuple[Array, Array]:
    """Sizes and as many predictions of them."""
    sizes_, predictions = sizes("x", x), sizes("y", y)
    same = sizes_.shape[-1] == predictions.shape[-1]
    check(same, "y", f"{predictions.shape[-1]} predictions", f"one for each of the {sizes_.shape[-1]} jobs of x")
    dtype = jnp.promote_types(sizes_.dtype, predictions.dtype)
    sizes_, predictions = jnp.broadcast_arrays(sizes_.astype(dtype), predictions.astype(dtype))
    return sizes_, predictions
