"""Results of Projection Norm: values beside their null distribution."""

import enum
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from verax._results import raise_if_failed, result
from verax._types import AnyArray


class Status(enum.IntEnum):
    """Outcome for one target set, or for one estimate."""

    OK = 0
    ONE_CLASS = 1
    """The model predicts a single class on the whole set: the score rests on a constant labelling."""
    NON_FINITE = 2
    """Inputs or result hold NaN or infinity; the value is NaN."""
    OUT_OF_RANGE = 3
    """The score lies outside those that the calibration has seen; there is no estimate."""
    LABEL_SHIFT = 4
    """Predicted labels are distributed as in no calibration set; there is no estimate."""


SENTENCES = {
    Status.ONE_CLASS: "the model predicts one class on the whole set, so that the score rests on a constant labelling",
    Status.NON_FINITE: "inputs or result hold NaN or infinity",
    Status.OUT_OF_RANGE: "the score lies outside those of the calibration: calibrate on stronger or weaker shifts too",
    Status.LABEL_SHIFT: "predicted labels are distributed as in no calibration set",
}


@result(SENTENCES)
class Scores(NamedTuple):
    """Projection Norm of S target sets. With several budgets or norms, a leading axis holds them."""

    value: Float[AnyArray, "*b S"]
    """Distance between the fit to the target set and those to reference draws, averaged over the draws."""
    null_mean: Float[AnyArray, "*b"]
    """Mean of the same score over in-distribution draws of the target's size; NaN without draws."""
    null_sd: Float[AnyArray, "*b"]
    """Their standard deviation; NaN with fewer than two."""
    excess: Float[AnyArray, "*b S"]
    """``value - null_mean``: comparable between sets of different sizes, where ``value`` is not."""
    p_value: Float[AnyArray, "*b S"]
    """Of no shift: the rank of the value among the draws, ``(1 + #{null >= value}) / (1 + draws)``."""
    status: Int[AnyArray, " S"]
    """:class:`Status` of each set."""

    raise_if_failed = raise_if_failed


@jax.jit
def assemble(values: jax.Array, nulls: jax.Array, status: jax.Array) -> Scores:
    """Put values [*b, S] beside draws [*b, D]."""
    status = jnp.where(jnp.isfinite(values.reshape(-1, values.shape[-1])).all(0), status, int(Status.NON_FINITE))
    values = jnp.where(status == int(Status.NON_FINITE), jnp.nan, values)
    num = nulls.shape[-1]
    nan = jnp.full(values.shape[:-1], jnp.nan, values.dtype)
    mean = nulls.mean(-1) if num else nan
    sd = nulls.std(-1, ddof=1) if num > 1 else nan
    as_large = (nulls[..., None, :] >= values[..., None]).astype(values.dtype).sum(-1)
    p_value = jnp.where(jnp.isnan(values) | (num == 0), jnp.nan, (1 + as_large) / (1 + num))
    return Scores(values, mean, sd, values - mean[..., None], p_value, status.astype(jnp.int32))


@jax.jit
def input_status(labels: jax.Array, finite: jax.Array) -> jax.Array:
    """NON_FINITE for sets [S] that are not finite, ONE_CLASS for those whose labels [S, m] are all the same."""
    status = jnp.where((labels == labels[..., :1]).all(-1), int(Status.ONE_CLASS), int(Status.OK))
    return jnp.where(finite, status, int(Status.NON_FINITE))


def draw_rows(key: jax.Array, num_draws: int, rows: np.ndarray, size: int) -> np.ndarray:
    """Draws [num_draws, size] of the given rows without replacement, disjoint for as long as there are enough rows."""
    num_whole = len(rows) // size
    draws: list[np.ndarray] = []
    for one in jax.random.split(key, -(-num_draws // num_whole)) if num_draws else ():
        order = rows[np.asarray(jax.random.permutation(one, len(rows)))]
        draws += list(order[: num_whole * size].reshape(num_whole, size))
    return np.array(draws[:num_draws], np.int64).reshape(num_draws, size)


def remaining_rows(num_rows: int, taken: np.ndarray, size: int) -> np.ndarray:
    """Rows that no draw has taken, or all of them where too few are left for one draw."""
    rest = np.setdiff1d(np.arange(num_rows), taken)
    return rest if len(rest) >= size else np.arange(num_rows)
