"""Kernel tiles from factors: matrix products of gradients and Hadamard products of Grams."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from verax.kernels._dtypes import accumulator
from verax.kernels.gram_hadamard import GRAM_BYTES, gram_hadamard

# Symmetric tiles below twice this are computed whole: smaller matrix products lose more speed than halving saves.
_SMALLEST = 128


class Factors(NamedTuple):
    """Factors of a block of examples."""

    gradients: list[Array]
    """Explicit gradients ``[n, D]`` (``[n, O, D]`` for all pairs of outputs)."""
    hadamard: list[tuple[Array, Array]]
    """Inputs ``[n, S, a]`` (or tokens ``[n, S]``) and cotangents ``[n, S, O, b]`` of a layer."""


def gram(left: Factors, right: Factors, *, full: bool, precision: str) -> Array:
    """Tile ``[n, m]`` (``[n, m, O, O]`` when full) between two blocks of factors."""
    total = None
    for g1, g2 in zip(left.gradients, right.gradients, strict=True):
        total = _add(total, _product(g1, g2, full=full, precision=precision))
    for (a1, b1), (a2, b2) in zip(left.hadamard, right.hadamard, strict=True):
        total = _add(total, gram_hadamard(a1, b1, a2, b2, full=full, precision=precision))
    assert total is not None
    return total


def gram_symmetric(factors: Factors, *, full: bool, precision: str) -> Array:
    """Tile of a block with itself; halves are computed once, which saves up to half of the work."""
    num = jax.tree.leaves(factors)[0].shape[0]
    if num < 2 * _SMALLEST:
        return gram(factors, factors, full=full, precision=precision)
    half = num // 2
    top = jax.tree.map(lambda f: f[:half], factors)
    bottom = jax.tree.map(lambda f: f[half:], factors)
    corner = gram(bottom, top, full=full, precision=precision)
    upper = gram_symmetric(top, full=full, precision=precision)
    lower = gram_symmetric(bottom, full=full, precision=precision)
    return jnp.concatenate(
        [jnp.concatenate([upper, mirrored(corner)], axis=1), jnp.concatenate([corner, lower], axis=1)]
    )


def mirrored(tile: Array) -> Array:
    """The tile below the diagonal from the one above: examples and outputs exchanged."""
    return tile.T if tile.ndim == 2 else tile.transpose(1, 0, 3, 2)


def gram_diagonal(factors: Factors, *, full: bool) -> Array:
    """``K_ii`` of every example, ``[n]`` (``[n, O, O]`` when full), without any pair."""

    def one(example: Factors) -> Array:
        single = jax.tree.map(lambda f: f[None], example)
        return gram(single, single, full=full, precision="highest")[0, 0]

    num = jax.tree.leaves(factors)[0].shape[0]
    entries = max((b.shape[1] ** 2 * (b.shape[2] ** 2 if full else 1) for _, b in factors.hadamard), default=0)
    at_once = GRAM_BYTES // max(1, 4 * entries)
    if at_once >= num:
        return jax.vmap(one)(factors)
    return jax.lax.map(one, factors, batch_size=max(1, at_once))


def _add(total: Array | None, tile: Array) -> Array:
    return tile if total is None else total + tile


def _product(g1: Array, g2: Array, *, full: bool, precision: str) -> Array:
    accumulate = accumulator(g1.dtype)
    if not full:
        return jnp.einsum("ip,jp->ij", g1, g2, precision=precision, preferred_element_type=accumulate)
    return jnp.einsum("iop,jqp->ijoq", g1, g2, precision=precision, preferred_element_type=accumulate)
