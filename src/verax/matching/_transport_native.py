"""Exact transport by the compiled library."""

import jax
import numpy as np

from verax import _native


def transport_native(cost: jax.Array, supply: jax.Array, demand: jax.Array) -> tuple[jax.Array, ...]:
    """Solve ``cost [..., n, m]``, n and m >= 1, all of one dtype, float32 or float64.

    Returns ``(plan [..., n, m], row_price [..., n], col_price [..., m], status [...])``.
    """
    plan, row, col = jax.typeof(cost), jax.typeof(supply), jax.typeof(demand)
    status = jax.typeof(cost[..., 0, 0]).update(dtype=np.dtype(np.int32))
    call = jax.ffi.ffi_call(_native.TRANSPORT, [plan, row, col, status], vmap_method="broadcast_all")
    return tuple(call(cost, supply, demand))
