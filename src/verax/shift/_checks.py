"""Checks of logits, labels and features that the functions of this package share."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from verax._arrays import same_dtype, to_array, to_key, to_labels
from verax._errors import check, fail, is_traced

# Below the largest logit by this much a probability is exactly 0 in every precision, as that of -inf is.
_NEVER = 1000.0


def check_logits(argument: str, logits: Any, width: int | None = None, *, log_zeros: bool = True) -> jax.Array:
    """Return logits [m, K], finite, K >= 2, and not probabilities.

    One logit per example, [m] or [m, 1], is that of the second of two classes against the first: (0, z). An entry of
    -inf, the logarithm of a probability of zero, becomes a finite logit whose probability is exactly zero too, unless
    ``log_zeros`` is False.
    """
    array = to_array(argument, logits, shape=[("m", "K"), ("m",)], finite=False, empty=True)
    check(array.shape[0] >= 1, argument, "no examples", "at least one")
    if array.ndim == 1:
        array = array[:, None]
    one_column = array.shape[1] == 1
    check(array.shape[1] >= 1, argument, "no columns", "one logit for two classes, or one per class")
    if not is_traced(array):
        values = np.asarray(array)  # on the host: checks of every new shape would otherwise be compiled
        _check_values(argument, values, one_column, log_zeros=log_zeros)
    if one_column:
        array = jnp.concatenate([jnp.zeros_like(array), array], axis=1)
    if width is not None:
        check(array.shape[1] == width, argument, f"{array.shape[1]} classes", f"{width}, as the validation logits have")
    if not log_zeros:
        return array
    largest = array.max(1, keepdims=True)
    return jnp.where(jnp.isneginf(array), largest - jnp.asarray(_NEVER, array.dtype), array)


def _check_values(argument: str, values: np.ndarray, one_column: bool, *, log_zeros: bool) -> None:
    zeros = np.isneginf(values)
    allowed = zeros if log_zeros and not one_column else np.zeros_like(zeros)
    bad = ~(np.isfinite(values) | allowed)
    if bad.any():
        place = np.argwhere(bad)[0].tolist()
        fail(argument, f"{int(bad.sum())} non-finite entries of {values.size} (the first at {place})", "finite values")
    check(not zeros.all(1).any() or not log_zeros, argument, "a row of -inf alone", "a finite logit in each row")
    if one_column:
        within = values.min() >= 0 and values.max() <= 1 and len(values) > 1 and values.max() > 0
        sums = within
    else:
        within = values.min() >= 0
        sums = within and bool(np.all(np.abs(values.sum(1) - 1) < 1e-3))
    got = "probabilities (entries from 0 to 1)" if one_column else "probabilities (non-negative rows that sum to 1)"
    check(not sums, argument, got, "logits: from_probabilities(...) makes them")


def check_labels(argument: str, labels: Any, num: int, num_classes: int) -> jax.Array:
    """Return labels [n] as positions of the logits' columns.

    Integers are positions; strings and booleans are numbered in ascending order and must then be K of them.
    """
    if is_traced(labels):
        return to_array(argument, labels, shape=(num,), dtype="integer").astype(int)
    codes, classes = to_labels(argument, labels, num=num)
    missing = int((codes < 0).sum())
    check(missing == 0, argument, f"{missing} missing labels", "a label for each example: leave the others out")
    if classes.dtype.kind == "b":
        check(num_classes == 2, argument, "booleans", f"labels of {num_classes} classes")
        return jnp.asarray(classes.astype(int)[codes])
    if classes.dtype.kind not in "iuf":
        need = f"{num_classes}, one per column of the logits, or integers from 0 to {num_classes - 1}"
        check(len(classes) == num_classes, argument, f"{len(classes)} distinct names", need)
        return jnp.asarray(codes).astype(int)
    whole = bool((np.isfinite(classes) & (classes == np.round(classes))).all())
    check(whole, argument, "real numbers", "classes: integers, strings or booleans")
    low, high = int(classes[0]), int(classes[-1])
    check(low >= 0 and high < num_classes, argument, f"labels {low} to {high}", f"labels 0 to {num_classes - 1}")
    return jnp.asarray(classes.astype(np.int64)[codes]).astype(int)  # as argmax gives: they compare under strictness


def check_inputs(
    val_logits: Any, val_labels: Any, target_logits: Any, *, log_zeros: bool = True
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Check the three arguments that every score takes; the logits come back in their widest dtype."""
    val = check_logits("val_logits", val_logits, log_zeros=log_zeros)
    labels = check_labels("val_labels", val_labels, val.shape[0], val.shape[1])
    target = check_logits("target_logits", target_logits, val.shape[1], log_zeros=log_zeros)
    val, target = same_dtype(val, target)
    return val, labels, target


def check_features(argument: str, features: Any, num: int | None = None, width: int | None = None) -> jax.Array:
    """Return finite features [n, d]."""
    array = to_array(argument, features, shape=("n", "d"))
    check(num is None or array.shape[0] == num, argument, f"{array.shape[0]} rows", f"{num}, one per example")
    check(width is None or array.shape[1] == width, argument, f"{array.shape[1]} columns", f"{width}")
    return array


def check_concrete(**arguments: Any) -> None:
    """Raise if an argument of a function that runs on the host is traced."""
    for argument, value in arguments.items():
        if is_traced(value):
            fail(argument, "a traced array", "concrete values: this runs on the host, outside jit, vmap and grad")


def check_key(key: Any) -> jax.Array:
    """Return one typed random key."""
    key = to_key("key", key)
    check(key.ndim == 0, "key", f"keys of shape {key.shape}", "one key: jax.random.key(seed)")
    return key


def check_level(level: Any) -> None:
    """Raise unless ``level`` is a probability strictly between 0 and 1."""
    number = isinstance(level, int | float | np.floating) and not isinstance(level, bool)
    check(number and 0 < level < 1, "level", repr(level), "a number in (0, 1)")
