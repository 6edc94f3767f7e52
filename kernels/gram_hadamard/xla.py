"""The XLA implementation: two matrix products, one elementwise product and a sum over positions."""

import jax
import jax.numpy as jnp
from jax import Array, lax

from .._dtypes import accumulator

_ROW_BYTES = 32 * 2**20  # of one Gram of positions: large enough for the matrix product, small enough for the cache


def gram_hadamard_xla(a1: Array, b1: Array, a2: Array, b2: Array, *, full: bool, precision: str) -> Array:
    """See :func:`verax.kernels.gram_hadamard.gram_hadamard`."""
    num, positions = a1.shape[:2]

    def tile(a: Array, b: Array) -> Array:
        return _tile(a, b, a2, b2, full=full, precision=precision)

    if positions == 1:
        return tile(a1, b1)
    outputs = b1.shape[2] ** 2 if full else 1
    row_bytes = positions * a2.shape[0] * positions * outputs * b1.dtype.itemsize
    rows = max(1, min(num, _ROW_BYTES // max(1, row_bytes)))
    if rows >= num:
        return tile(a1, b1)
    return lax.map(lambda row: tile(row[0][None], row[1][None])[0], (a1, b1), batch_size=rows)


def _tile(a1: Array, b1: Array, a2: Array, b2: Array, *, full: bool, precision: str) -> Array:
    accumulate = accumulator(b1.dtype)
    n, positions, outputs, width = b1.shape
    m = a2.shape[0]
    if jnp.issubdtype(a1.dtype, jnp.integer):
        same = a1[:, :, None, None] == a2[None, None, :, :]
        left = (same & (a1 >= 0)[:, :, None, None]).astype(accumulate)
    else:
        left = _product(a1.reshape(n * positions, -1), a2.reshape(m * positions, -1), precision, accumulate)
        left = left.reshape(n, positions, m, positions)
    if full:
        right = _product(b1.reshape(-1, width), b2.reshape(-1, width), precision, accumulate)
        right = right.reshape(n, positions, outputs, m, positions, outputs)
        return (left[:, :, None, :, :, None] * right).sum((1, 4)).transpose(0, 2, 1, 3)
    right = _product(b1.reshape(n * positions, -1), b2.reshape(m * positions, -1), precision, accumulate)
    product = left * right.reshape(left.shape)
    return product[:, 0, :, 0] if positions == 1 else product.sum((1, 3))


def _product(x: Array, y: Array, precision: str, accumulate: jnp.dtype) -> Array:
    return jax.lax.dot_general(x, y, (((1,), (1,)), ((), ())), precision=precision, preferred_element_type=accumulate)
