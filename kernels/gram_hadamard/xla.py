"""The XLA implementation: two matrix products, one elementwise product and a sum over positions."""

import jax
import jax.numpy as jnp
from jax import Array, lax

from .._dtypes import accumulator

GRAM_BYTES = 32 * 2**20
"""Bytes of one Gram of positions: large enough for the matrix product, small enough for the cache."""


def gram_hadamard_xla(a1: Array, b1: Array, a2: Array, b2: Array, *, full: bool, precision: str) -> Array:
    """See :func:`verax.kernels.gram_hadamard.gram_hadamard`."""
    num, positions = a1.shape[:2]

    def tile(a: Array, b: Array) -> Array:
        return _tile(a, b, a2, b2, full=full, precision=precision)

    if positions == 1:
        return tile(a1, b1)
    outputs = b1.shape[2] ** 2 if full else 1
    position_bytes = a2.shape[0] * a2.shape[1] * outputs * b1.dtype.itemsize
    rows = max(1, min(num, GRAM_BYTES // max(1, positions * position_bytes)))
    if rows >= num and positions * position_bytes <= GRAM_BYTES:
        return tile(a1, b1)
    if positions * position_bytes <= GRAM_BYTES:
        return lax.map(lambda row: tile(row[0][None], row[1][None])[0], (a1, b1), batch_size=rows)
    # Not even one row fits: the positions of the left examples pass in pieces, filled up with zeros, which add nothing.
    size = max(1, GRAM_BYTES // position_bytes)
    pieces = -(-positions // size)
    a1, b1 = (
        _in_pieces(a1, pieces, size, -1 if jnp.issubdtype(a1.dtype, jnp.integer) else 0),
        _in_pieces(b1, pieces, size, 0),
    )
    parts = lax.map(lambda piece: tile(piece[0][None], piece[1][None])[0], (a1, b1))
    return jnp.sum(parts.reshape(num, pieces, *parts.shape[1:]), axis=1)


def _in_pieces(x: Array, pieces: int, size: int, filler: int) -> Array:
    """``[n, S, ...]`` to ``[n * pieces, size, ...]``."""
    widths = [(0, 0), (0, pieces * size - x.shape[1]), *[(0, 0)] * (x.ndim - 2)]
    return jnp.pad(x, widths, constant_values=filler).reshape(-1, size, *x.shape[2:])


def _tile(a1: Array, b1: Array, a2: Array, b2: Array, *, full: bool, precision: str) -> Array:
    accumulate = accumulator(b1.dtype)
    n, positions, outputs, width = b1.shape
    m, others = b2.shape[:2]
    if jnp.issubdtype(a1.dtype, jnp.integer):
        same = a1[:, :, None, None] == a2[None, None, :, :]
        left = (same & (a1 >= 0)[:, :, None, None]).astype(accumulate)
    else:
        left = _product(a1.reshape(n * positions, -1), a2.reshape(m * others, -1), precision, accumulate)
        left = left.reshape(n, positions, m, others)
    if full:
        right = _product(b1.reshape(-1, width), b2.reshape(-1, width), precision, accumulate)
        right = right.reshape(n, positions, outputs, m, others, outputs)
        return (left[:, :, None, :, :, None] * right).sum((1, 4)).transpose(0, 2, 1, 3)
    right = _product(b1.reshape(n * positions, -1), b2.reshape(m * others, -1), precision, accumulate)
    product = left * right.reshape(left.shape)
    return product[:, 0, :, 0] if positions == others == 1 else product.sum((1, 3))


def _product(x: Array, y: Array, precision: str, accumulate: jnp.dtype) -> Array:
    return jax.lax.dot_general(x, y, (((1,), (1,)), ((), ())), precision=precision, preferred_element_type=accumulate)
