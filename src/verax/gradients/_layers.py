r"""Squared norms and weighted sums of per-example gradients, from each layer's inputs and output cotangents.

A weight ``[a, b]`` used at S positions has the gradient :math:`G = \sum_s a_s b_s^\top`. Its squared norm is

.. math:: \lVert G \rVert^2 = \sum_{st} (a_s \cdot a_t)(b_s \cdot b_t)

in ``2 S^2 (a + b)`` operations, or ``2 S a b`` by forming G: whichever is counted cheaper.
"""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from verax.kernels._dtypes import accumulator
from verax.ntk._factors import UseFactors
from verax.ntk._methods._base import activation_bytes, cotangent_bytes, leaf_avals
from verax.ntk._network import Network
from verax.ntk._routes import LayerGradient, Routes

# Multiplying and summing an S x S tile of two Grams costs memory traffic: counted as this many operations per entry.
_ELEMENTWISE_COST = 12
# A larger intermediate of the norms is computed for a few examples at a time.
_WINDOW_BYTES = {"cpu": 2**22, "gpu": 2**30, "tpu": 2**30}


def example_bytes(network: Network, routes: Routes, num_losses: int) -> int:
    """Bytes per example of the forward and backward pass and of what the norms need beside it."""
    itemsize = max(4, jnp.dtype(network.output_dtype).itemsize)
    avals = leaf_avals(network)
    rows = sum(math.prod(avals[leaf].shape) for leaf in routes.generic)
    windows = max((layer.positions * layer.shape[0] * layer.shape[1] for layer in routes.layers), default=0)
    dense = num_losses * (cotangent_bytes(network) + (rows + windows) * itemsize)
    return activation_bytes(network) + dense


def squared_norms(routes: Routes, factors: UseFactors) -> dict[int, Array]:
    """Squared norm of the gradient with respect to each leaf, ``[n, O]`` by index of the leaf."""
    found: dict[int, Array] = {}

    def add(leaf: int, value: Array) -> None:
        found[leaf] = found[leaf] + value if leaf in found else value

    for layer, (inputs, outer) in zip(routes.layers, factors.layers, strict=True):
        if layer.is_lookup:
            add(layer.leaf, _in_windows(_lookup_norms, layer.positions**2, inputs, outer))
            continue
        width = layer.shape[1] - len(layer.biases)
        weight = inputs[..., :width]
        if _prefers_grams(layer):
            add(layer.leaf, _in_windows(_gram_norms, 2 * layer.positions**2, weight, outer))
        else:
            groups, _, b = layer.shape
            add(layer.leaf, _in_windows(_formed_norms, groups * width * b, weight, outer))
        for place, bias in enumerate(layer.biases):
            summed = jnp.einsum("nsga,nosgb->nogab", inputs[..., width + place, None], outer, precision="highest")
            add(bias.leaf, _sum_of_squares(summed))
    for leaf, rows in zip(routes.generic, factors.rows, strict=True):
        add(leaf, _sum_of_squares(rows))
    return found


def weighted_sums(network: Network, routes: Routes, factors: UseFactors, weights: Array) -> list[Array]:
    """Sum of the gradients of all examples with weights ``[n, O]``, one array per selected leaf.

    Factors of examples whose weights are all zero are not read, so that they may be non-finite.
    """
    used = jnp.any(weights != 0, axis=1)
    totals: list[Array | None] = [None] * network.uses.num_leaves
    avals = leaf_avals(network)

    def add(leaf: int, value: Array) -> None:
        value = value.astype(avals[leaf].dtype)
        known = totals[leaf]
        totals[leaf] = value if known is None else known + value

    for layer, (inputs, outer) in zip(routes.layers, factors.layers, strict=True):
        scaled = jnp.einsum("no...,no->n...", _kept(used, outer), weights.astype(outer.dtype), precision="highest")
        if layer.is_lookup:
            table = _table(layer, inputs, scaled)
            add(layer.leaf, _to_leaf(layer.entries, table[None], avals[layer.leaf].shape))
            continue
        gradient = jnp.einsum("nsga,nsgb->gab", _kept(used, inputs), scaled, precision="highest")
        width = layer.shape[1] - len(layer.biases)
        add(layer.leaf, _to_leaf(layer.entries, gradient[:, :width], avals[layer.leaf].shape))
        for place, bias in enumerate(layer.biases):
            add(bias.leaf, _to_leaf(bias.entries, gradient[0, width + place], avals[bias.leaf].shape))
    for leaf, rows in zip(routes.generic, factors.rows, strict=True):
        kept = _kept(used, rows)
        add(leaf, jnp.tensordot(weights.astype(kept.dtype), kept, 2, precision="highest"))
    return [
        jnp.zeros(aval.shape, aval.dtype) if total is None else total for total, aval in zip(totals, avals, strict=True)
    ]


def _prefers_grams(layer: LayerGradient) -> bool:
    groups, a, b = layer.shape
    if groups != 1:
        return False
    positions = layer.positions
    return 2 * positions**2 * (a + b) + _ELEMENTWISE_COST * positions**2 < 2 * positions * a * b + 2 * a * b


def _gram_norms(inputs: Array, outer: Array) -> Array:
    """Products of the Grams of inputs ``[n, S, 1, a]`` and of cotangents ``[n, O, S, 1, b]``."""
    kind = accumulator(outer.dtype)
    if inputs.shape[1] == 1:
        left = jnp.sum(jnp.square(inputs.astype(kind)), axis=(1, 2, 3))
        return left[:, None] * jnp.sum(jnp.square(outer.astype(kind)), axis=(2, 3, 4))
    left = jnp.einsum("nsga,ntga->nst", inputs, inputs, precision="highest", preferred_element_type=kind)
    right = jnp.einsum("nosgb,notgb->nost", outer, outer, precision="highest", preferred_element_type=kind)
    return jnp.sum(left[:, None] * right, axis=(2, 3))


def _formed_norms(inputs: Array, outer: Array) -> Array:
    kind = accumulator(outer.dtype)
    formed = jnp.einsum("nsga,nosgb->nogab", inputs, outer, precision="highest", preferred_element_type=kind)
    return _sum_of_squares(formed)


def _lookup_norms(tokens: Array, outer: Array) -> Array:
    """Squared norm of the gradient of a table that is read at tokens ``[n, S]``; negative tokens read nothing."""
    kind = accumulator(outer.dtype)
    same = (tokens[:, :, None] == tokens[:, None, :]) & (tokens >= 0)[:, None, :]
    rows = outer[:, :, :, 0].astype(kind)
    gathered = jnp.einsum("nst,notb->nosb", same.astype(kind), rows, precision="highest")
    return jnp.sum(gathered * rows, axis=(2, 3))


def _table(layer: LayerGradient, tokens: Array, outer: Array) -> Array:
    """Gradient ``[rows, b]`` of a table from cotangents ``[n, S, 1, b]``."""
    num_rows, b = layer.contractions[0].a, layer.shape[2]
    places = jnp.where(tokens < 0, num_rows, tokens).reshape(-1)
    return jnp.zeros((num_rows, b), outer.dtype).at[places].add(outer.reshape(-1, b), mode="drop")


def _sum_of_squares(x: Array) -> Array:
    """Over all axes but the first two."""
    return jnp.sum(jnp.square(x.astype(accumulator(x.dtype))), axis=tuple(range(2, x.ndim)))


def _kept(used: Array, x: Array) -> Array:
    """Zero for the examples that are not used, whatever they hold."""
    return jnp.where(used.reshape(-1, *[1] * (x.ndim - 1)), x, jnp.zeros((), x.dtype))


def _in_windows(function: Callable[[Array, Array], Array], size: int, inputs: Array, outer: Array) -> Array:
    """Apply to a few examples at a time, so that ``size`` numbers per example and output stay within the window."""
    num = inputs.shape[0]
    each = size * outer.shape[1] * jnp.dtype(outer.dtype).itemsize
    at_once = max(1, _WINDOW_BYTES.get(jax.default_backend(), 2**22) // each)
    if at_once >= num:
        return function(inputs, outer)
    at_once = max(k for k in range(1, at_once + 1) if num % k == 0)
    split = [x.reshape(num // at_once, at_once, *x.shape[1:]) for x in (inputs, outer)]
    parts = jax.lax.map(lambda pair: function(*pair), tuple(split))
    return parts.reshape(num, -1)


def _to_leaf(entries: np.ndarray, values: Array, shape: Sequence[int]) -> Array:
    """Array of the leaf's shape with ``values`` at the flat places ``entries``, zero elsewhere."""
    size = math.prod(shape)
    if entries.size == size:
        order = np.argsort([-stride for stride in _strides(entries)], kind="stable")
        if np.array_equal(entries.transpose(order).ravel(), np.arange(size)):
            return values.transpose(order).reshape(shape)
        return values.reshape(-1)[np.argsort(entries.ravel())].reshape(shape)
    places = entries.ravel()
    return jnp.zeros(size, values.dtype).at[places].set(values.reshape(-1), unique_indices=True).reshape(shape)


def _strides(entries: np.ndarray) -> list[int]:
    """Step in the leaf from one entry to the next along each axis."""
    origin = (0,) * entries.ndim
    found = []
    for axis, length in enumerate(entries.shape):
        step = (*origin[:axis], 1, *origin[axis + 1 :])
        found.append(int(entries[step] - entries[origin]) if length > 1 else 0)
    return found
