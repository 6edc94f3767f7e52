"""Exact assignment by the compiled library."""

import jax
import numpy as np

from verax import _native

from ._price_rules import PRICES


def assignment_native(
    weights: jax.Array,
    warm: tuple[jax.Array, jax.Array] | None,
    *,
    maximize: bool,
    allow_unmatched: bool,
    prices: str,
) -> tuple[jax.Array, ...]:
    """Solve ``weights [..., n, m]``, ``1 <= n <= m``, float32 or float64.

    ``warm`` is ``(col_of_row [..., n], col_price [..., m])`` to start from. Returns ``(col_of_row [..., n],
    row_of_col [..., m], row_price, col_price, value [...], status [...])``, prices by the rule.
    """
    # Result types derived from the operand keep its sharding and, inside ``shard_map``, the axes over which it varies.
    row, col, one = (jax.typeof(part) for part in (weights[..., 0], weights[..., 0, :], weights[..., 0, 0]))
    integer = [aval.update(dtype=np.dtype(np.int32)) for aval in (row, col, one)]
    call = jax.ffi.ffi_call(
        _native.ASSIGNMENT, [integer[0], integer[1], row, col, one, integer[2]], vmap_method="broadcast_all"
    )
    start = (weights[..., 0, :0].astype(np.int32), weights[..., 0, :0]) if warm is None else warm
    options = {"maximize": np.bool_(maximize), "allow_unmatched": np.bool_(allow_unmatched)}
    return tuple(call(weights, *start, **options, rule=np.int32(PRICES.index(prices))))
