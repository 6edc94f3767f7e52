"""Random linear maps of a network's gradient to few features, with unbiased inner products."""

import dataclasses
import functools
import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from verax._errors import check_integer


@dataclasses.dataclass(frozen=True)
class Sketch:
    """A random linear map of gradients to ``num_features`` numbers."""

    num_features: int

    def __post_init__(self) -> None:
        check_integer("num_features", self.num_features, minimum=1)


class Coordinates(Sketch):
    """One random coordinate of the gradient from each of m equal stretches of it, scaled by the stretch's length.

    Exact when m is the number of parameters. The error depends on how evenly the gradient's energy is spread over its
    coordinates; it is the cheapest sketch and the least accurate.

    Examples
    --------
    >>> from verax.ntk import Coordinates
    >>> Coordinates(256)
    Coordinates(num_features=256)
    """


class Rademacher(Sketch):
    """Signed sums: every coordinate of the gradient is added, with a random sign, to one of m features at random.

    Entry ij of the kernel has standard error at most ``sqrt((K_ii K_jj + K_ij^2) / m)``, that of a dense projection by
    m random sign vectors, at the cost of one pass over the gradient.
    """


class Kronecker(Sketch):
    """Random signs on both sides of each layer's gradient: ``sum_s (P_a a_s)(P_b b_s)^T``, summed over layers.

    Layers that are matrix products or convolutions never form their gradient: memory and operations grow with
    ``sqrt(m)`` times the sum of a layer's sides, not with their product. The price is accuracy: where a layer's
    gradient has rank one, both sides are compared through only ``sqrt(m)`` signs. Other parameters are sketched as by
    `Rademacher`.
    """


class Draws(NamedTuple):
    """The random numbers of a sketch, drawn once for all blocks of examples."""

    signs: Array
    """Signs, one run for each array that is sketched; for `Coordinates` the scales."""
    places: Array
    """Offsets of the rows of `signed_sums`; for `Coordinates` the chosen coordinates."""


@functools.partial(jax.jit, static_argnames=("size", "num_features", "dtype"))
def draw_coordinates(size: int, num_features: int, dtype: Any, key: Array) -> Draws:
    """Choose one of each of ``num_features`` stretches of ``size`` coordinates."""
    edges = [index * size // num_features for index in range(num_features + 1)]
    lengths = jnp.asarray([after - before for before, after in itertools.pairwise(edges)], jnp.int32)
    chosen = jnp.asarray(edges[:-1], jnp.int32) + jax.random.randint(key, (num_features,), 0, lengths, jnp.int32)
    return Draws(jnp.sqrt(lengths.astype(dtype)), chosen)


@functools.partial(jax.jit, static_argnames=("num_signs", "num_offsets", "num_features", "dtype"))
def draw_signs(num_signs: int, num_offsets: int, num_features: int, dtype: Any, key: Array) -> Draws:
    """Draw signs, and offsets below ``num_features``."""
    sign_key, offset_key = jax.random.split(key)
    signs = jax.random.rademacher(sign_key, (num_signs,), dtype)
    return Draws(signs, jax.random.randint(offset_key, (num_offsets,), 0, num_features, jnp.int32))


def select_coordinates(gradient: Sequence[Array], draws: Draws) -> Array:
    """Chosen coordinates of gradients given as leaves ``[n, size]``."""
    return jnp.concatenate(gradient, axis=1)[:, draws.places] * draws.signs


def num_rows(sizes: Sequence[int], num_features: int) -> int:
    """Count the offsets that `signed_sums` reads."""
    return sum(math.ceil(size / num_features) for size in sizes)


def signed_sums(gradient: Sequence[Array], num_features: int, draws: Draws) -> Array:
    """Signed random sums of gradients given as leaves ``[n, size]``.

    A leaf is cut into rows of m coordinates, each turned by a random offset: two coordinates of different rows meet in
    a feature with probability 1/m, as under independent choices, and two of the same row never.
    """
    signs, offsets = draws
    total = None
    for leaf in gradient:
        num, size = leaf.shape
        rows = math.ceil(size / num_features)
        # Parameters may be of several dtypes; the signs have that of the network's output.
        padded = jnp.pad(leaf.astype(signs.dtype) * signs[:size], ((0, 0), (0, rows * num_features - size)))
        turned = (jnp.arange(num_features, dtype=jnp.int32) + offsets[:rows, None]) % jnp.int32(num_features)
        source = turned + num_features * jnp.arange(rows, dtype=jnp.int32)[:, None]
        part = jnp.sum(padded[:, source.reshape(-1)].reshape(num, rows, num_features), axis=1)
        total = part if total is None else total + part
        signs, offsets = signs[size:], offsets[rows:]
    assert total is not None
    return total


def sides(num_features: int) -> tuple[int, int]:
    """Sizes of the two projections of a layer; their product is at least ``num_features``."""
    left = math.isqrt(num_features - 1) + 1
    return left, math.ceil(num_features / left)


def kronecker_layer(inputs: Array, cotangents: Array, num_inputs: int, num_features: int, signs: Array) -> Array:
    """Project a layer's inputs ``[n, S, a]`` and cotangents ``[n, S, O, b]`` by random signs, summed over S and O.

    Integer inputs ``[n, S]`` stand for rows of the identity of size ``num_inputs``; negative ones for zero. The signs
    number ``num_inputs * left + O * b * right`` for ``(left, right) = sides(num_features)``.
    """
    num_left, num_right = sides(num_features)
    left = signs[: num_inputs * num_left].reshape(num_inputs, num_left)
    right = signs[num_inputs * num_left :].reshape(*cotangents.shape[-2:], num_right)
    if jnp.issubdtype(inputs.dtype, jnp.integer):
        projected_left = jnp.where((inputs >= 0)[..., None], left[inputs], jnp.zeros((), left.dtype))
    else:
        projected_left = jnp.einsum("nsa,ak->nsk", inputs, left)
    projected_right = jnp.einsum("nsob,obl->nsl", cotangents, right)
    features = jnp.einsum("nsk,nsl->nkl", projected_left, projected_right).reshape(inputs.shape[0], -1)
    # Every feature has the same expectation, so a few may be left out when m is not a product of the two sizes.
    return features[:, :num_features] * jnp.asarray(num_features**-0.5, features.dtype)
