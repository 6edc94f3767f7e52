"""Extreme points of the lattice of optimal prices."""

import jax
import jax.numpy as jnp
from jax import lax

PRICES = ("any", "row_optimal", "column_optimal", "midpoint")


def priced(weights: jax.Array, col_of_row: jax.Array, row_of_col: jax.Array, rule: str) -> tuple[jax.Array, jax.Array]:
    """Prices of rows and columns under a rule, from an optimal matching in which agents may stay unmatched."""
    transposed = jnp.swapaxes(weights, -1, -2)
    if rule == "row_optimal":
        return _row_optimal(weights, col_of_row, row_of_col)
    if rule == "column_optimal":
        column, row = _row_optimal(transposed, row_of_col, col_of_row)
        return row, column
    high_row, low_col = _row_optimal(weights, col_of_row, row_of_col)
    high_col, low_row = _row_optimal(transposed, row_of_col, col_of_row)
    return (high_row + low_row) / 2, (high_col + low_col) / 2


def _row_optimal(weights: jax.Array, col_of_row: jax.Array, row_of_col: jax.Array) -> tuple[jax.Array, jax.Array]:
    # The least column prices are the least fixed point of p_j = max(0, max_i w_ij - u_i), where u_i = w_ic - p_c for a
    # row matched to c and 0 for others: longest paths, without positive cycles because the matching is optimal.
    n, m = weights.shape[-2:]
    matched = col_of_row >= 0
    at = jnp.maximum(col_of_row, 0)
    own = jnp.where(matched, jnp.take_along_axis(weights, at[..., None], axis=-1)[..., 0], 0)

    def row_price(price: jax.Array) -> jax.Array:
        return jnp.where(matched, own - jnp.take_along_axis(price, at, axis=-1), 0)

    def raise_prices(state: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array, jax.Array]:
        price, _, step = state
        needed = (weights - row_price(price)[..., None]).max(-2)
        higher = jnp.where(row_of_col >= 0, jnp.maximum(price, needed), 0)
        return higher, (higher > price).any(), step + 1

    # A path visits each matched column once; rounding cannot keep the loop going beyond that.
    start = jnp.zeros_like(weights[..., 0, :])
    state = start, jnp.isfinite(start).any(), jnp.zeros((), jnp.int32)
    price, _, _ = lax.while_loop(lambda s: s[1] & (s[2] <= min(n, m)), raise_prices, state)
    return jnp.maximum(row_price(price), 0), price
