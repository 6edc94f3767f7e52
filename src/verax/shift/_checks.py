"""Checks of logits, labels and features that the functions of this room share."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from verax._errors import check, check_finite, check_floating, fail, is_traced


def as_array(argument: str, x: Any) -> jax.Array:
    """Return a JAX array, or raise for what is none."""
    check(hasattr(x, "dtype") and hasattr(x, "shape"), argument, type(x).__name__, "a NumPy or JAX array")
    return jnp.asarray(x)


def check_logits(argument: str, logits: Any, width: int | None = None) -> jax.Array:
    """Return logits [m, K], finite, K >= 2, and not probabilities."""
    array = as_array(argument, logits)
    check(array.ndim == 2, argument, f"shape {array.shape}", "logits [m, K]")
    check(array.shape[0] >= 1, argument, "no examples", "at least one")
    check(array.shape[1] >= 2, argument, f"{array.shape[1]} column", "at least two classes")
    check_floating(argument, array)
    if width is not None:
        check(array.shape[1] == width, argument, f"{array.shape[1]} classes", f"{width}, as the validation logits have")
    if not is_traced(logits):
        values = np.asarray(logits)  # on the host: checks of every new shape would otherwise be compiled
        check_finite(argument, values)
        looks_like_probabilities = values.min() >= 0 and bool(np.all(np.abs(values.sum(1) - 1) < 1e-3))
        check(not looks_like_probabilities, argument, "probabilities (non-negative rows that sum to 1)", "logits")
    return array


def check_labels(argument: str, labels: Any, num: int, num_classes: int) -> jax.Array:
    """Return integer labels [n] in range."""
    array = as_array(argument, labels)
    check(jnp.issubdtype(array.dtype, jnp.integer), argument, f"dtype {array.dtype}", "integer labels")
    check(array.shape == (num,), argument, f"shape {array.shape}", f"shape ({num},), one label an example")
    if not is_traced(labels):
        values = np.asarray(labels)
        low, high = int(values.min()), int(values.max())
        check(low >= 0 and high < num_classes, argument, f"labels {low} to {high}", f"labels 0 to {num_classes - 1}")
    return array.astype(int)  # the dtype of `argmax`, so that they compare under strict promotion


def check_inputs(val_logits: Any, val_labels: Any, target_logits: Any) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Check the three arguments that every score takes."""
    val = check_logits("val_logits", val_logits)
    labels = check_labels("val_labels", val_labels, val.shape[0], val.shape[1])
    target = check_logits("target_logits", target_logits, val.shape[1])
    check(val.dtype == target.dtype, "target_logits", f"dtype {target.dtype}", f"{val.dtype}, as val_logits")
    return val, labels, target


def check_features(argument: str, features: Any, num: int | None = None, width: int | None = None) -> jax.Array:
    """Return finite features [n, d]."""
    array = as_array(argument, features)
    check(array.ndim == 2 and array.size > 0, argument, f"shape {array.shape}", "features [n, d]")
    check_floating(argument, array)
    check(num is None or array.shape[0] == num, argument, f"{array.shape[0]} rows", f"{num}, one an example")
    check(width is None or array.shape[1] == width, argument, f"{array.shape[1]} columns", f"{width}")
    if not is_traced(features):
        check_finite(argument, np.asarray(features))
    return array


def check_key(key: Any) -> None:
    """Raise unless ``key`` is a jax.random.key."""
    if not (isinstance(key, jax.Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key)):
        fail("key", type(key).__name__, "a jax.random.key")


def check_level(level: Any) -> None:
    """Raise unless ``level`` is a probability strictly between 0 and 1."""
    number = isinstance(level, int | float | np.floating) and not isinstance(level, bool)
    check(number and 0 < level < 1, "level", repr(level), "a number in (0, 1)")
