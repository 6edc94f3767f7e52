"""As many pairs as possible: maximum matchings, the covers that prove them, and the bottleneck threshold."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

OBJECTIVES = ("value", "cardinality_then_value", "bottleneck")
"""Names of the objectives of :func:`solve_assignment`."""

Matcher = Callable[[jax.Array, tuple[jax.Array, jax.Array] | None], tuple[jax.Array, jax.Array]]
"""``(possible [*b, n, m] of bool, start) -> (col_of_row, row_of_col)``, a maximum matching."""


class Cover(NamedTuple):
    """A least set of agents that touches every possible pair; it has as many agents as a maximum matching has pairs."""

    row: jax.Array  # [*b, n]
    column: jax.Array  # [*b, m]


def least_cover(possible: jax.Array, col_of_row: jax.Array, row_of_col: jax.Array) -> Cover:
    """The least cover with the most rows, from any maximum matching (Konig's theorem).

    Rows that an alternating path reaches from an unmatched row are left out, columns that one reaches are in. These
    sets are the same for every maximum matching.
    """
    m = possible.shape[-1]
    holder = jnp.maximum(row_of_col, 0)
    free_row = col_of_row < 0

    def extend(state: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array, jax.Array]:
        row, column, _ = state
        reached = (possible & row[..., :, None]).any(-2)
        # A row is reached through the column that it is matched to.
        own = jnp.take_along_axis(reached, jnp.maximum(col_of_row, 0), axis=-1) & (col_of_row >= 0)
        return free_row | own, reached, (reached & ~column).any()

    start = free_row, jnp.zeros_like(holder, bool), free_row.any() & (m > 0)
    row, column, _ = lax.while_loop(lambda state: state[2], extend, start)
    return Cover(~row, column)


def bottleneck_threshold(
    signed: jax.Array, possible: jax.Array, match: Matcher, best: tuple[jax.Array, jax.Array]
) -> jax.Array:
    """Largest weight ``[*b]`` such that pairs of at least this weight still hold as many as any matching has.

    ``best`` is a maximum matching of all possible pairs. Bisection among the weights.
    """
    *batch, n, m = signed.shape
    most = (best[0] >= 0).sum(-1)
    levels = jnp.sort(jnp.where(possible, signed, -jnp.inf).reshape(*batch, n * m), axis=-1)

    def halve(_: jax.Array, ends: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        low, high, *start = ends
        middle = (low + high + 1) // 2
        level = jnp.take_along_axis(levels, middle[..., None], axis=-1)[..., None]
        col_of_row, row_of_col = match(possible & (signed >= level), (start[0], start[1]))
        enough = (col_of_row >= 0).sum(-1) >= most
        return jnp.where(enough, middle, low), jnp.where(enough, high, middle - 1), col_of_row, row_of_col

    # Zeros made from the weights vary, inside shard_map, over the same axes as they do.
    low = jnp.zeros_like(signed[..., 0, 0], jnp.int32)
    ends = low, low + (n * m - 1), *best
    low, *_ = lax.fori_loop(0, (n * m).bit_length(), halve, ends)
    return jnp.take_along_axis(levels, low[..., None], axis=-1)[..., 0]
