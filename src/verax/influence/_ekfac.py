r"""Influence by an eigenvalue-corrected Kronecker-factored Fisher matrix.

Per layer with inputs a and output cotangents b: ``A = E[a a^T]``, ``B = E[b b^T]``, eigenbases ``Q_A``, ``Q_B``, and
corrected eigenvalues ``Lambda = E[(Q_A^T G Q_B)^2]`` of the gradients G under labels drawn from the model. The score is

.. math:: \sum_{\text{layers}} \Bigl\langle Q_A^\top G_t Q_B,
    \frac{Q_A^\top G_i Q_B}{\Lambda + \text{damping}} \Bigr\rangle .

Tables that are read by tokens have ``Q_A = I``; parameters that belong to no layer have a diagonal Fisher matrix.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from verax._types import PyTree
from verax.gradients._loss import Loss, read_loss, renamed, take
from verax.ntk._factors import UseFactors, use_factors
from verax.ntk._network import Network
from verax.ntk._routes import Routes


class _Bases(NamedTuple):
    """Eigenbases of every layer: ``[g, a, a]`` (None for tables) and ``[g, b, b]``."""

    inputs: list[Array | None]
    outputs: list[Array]


def ekfac_scores(
    loss_fn: Any, measure_fn: Any, params: PyTree, train: PyTree, test: PyTree, drawn: PyTree, damping: float
) -> np.ndarray:
    """Scores ``[m, n]``; ``drawn`` is ``train`` with labels drawn from the model."""
    with renamed(batch="train"):
        losses = read_loss(loss_fn, params, train, param_filter=None)
    with renamed(batch="sample_fn"):
        sampled = read_loss(loss_fn, params, drawn, param_filter=None)
    moments = _sum_blocks(_moments, sampled)
    bases = _Bases(
        [None if a is None else jnp.asarray(np.linalg.eigh(np.asarray(a))[1]) for a in moments[0]],
        [jnp.asarray(np.linalg.eigh(np.asarray(b))[1]) for b in moments[1]],
    )
    squares = _sum_blocks(functools.partial(_squares, bases), sampled)
    scales = []
    for total in squares:
        mean = total / sampled.num
        scales.append(1 / jnp.sqrt(mean + damping * jnp.mean(mean) + jnp.finfo(mean.dtype).tiny))
    with renamed(batch="test"):
        explained = read_loss(loss_fn if measure_fn is None else measure_fn, params, test, param_filter=None)
    sign = 1.0 if measure_fn is None else -1.0
    left = jnp.concatenate([_features(explained, bases, scales, rows) for rows in explained.blocks(None)])
    parts = [
        np.asarray(jnp.matmul(left, _features(losses, bases, scales, rows).T, precision="highest"))
        for rows in losses.blocks(None)
    ]
    return sign * np.concatenate(parts, axis=1)


def _sum_blocks(function: Any, loss: Loss) -> Any:
    total = None
    for rows in loss.blocks(None):
        part = function(loss.network, loss.routes, loss.leaves, loss.frozen, take(loss.batch, rows))
        total = part if total is None else jax.tree.map(jnp.add, total, part)
    return total


def _factors(network: Network, routes: Routes, leaves: list[Array], frozen: list[Array], block: PyTree) -> UseFactors:
    return use_factors(network.uses, routes, leaves, frozen, block, jnp.ones((1, 1), network.output_dtype))


@functools.partial(jax.jit, static_argnames=("network", "routes"))
def _moments(
    network: Network, routes: Routes, leaves: list[Array], frozen: list[Array], block: PyTree
) -> tuple[list[Array | None], list[Array]]:
    """Sums of ``a a^T`` and ``b b^T`` over examples and positions; eigenbases do not depend on their scale."""
    with jax.default_matmul_precision("highest"):
        factors = _factors(network, routes, leaves, frozen, block)
        inputs = [
            None if layer.is_lookup else jnp.einsum("nsga,nsgc->gac", a, a)
            for layer, (a, _) in zip(routes.layers, factors.layers, strict=True)
        ]
        return inputs, [jnp.einsum("nosgb,nosgc->gbc", b, b) for _, b in factors.layers]


def _rotated(routes: Routes, bases: _Bases, factors: UseFactors) -> list[Array]:
    """Gradients of every layer in its eigenbases, and those of the other leaves, ``[n, ...]``."""
    found = []
    for layer, (a, b), left, right in zip(routes.layers, factors.layers, bases.inputs, bases.outputs, strict=True):
        turned = jnp.einsum("nosgb,gbc->nsgc", b, right)
        if left is None:
            rows = layer.contractions[0].a
            places = jnp.where(a < 0, rows, a)
            dense = jnp.zeros((a.shape[0], rows, turned.shape[-1]), turned.dtype)
            batch = jnp.arange(a.shape[0], dtype=jnp.int32)[:, None]
            found.append(dense.at[batch, places].add(turned[:, :, 0], mode="drop"))
        else:
            found.append(jnp.einsum("nsga,gac,nsgb->ngcb", a, left, turned))
    return [*found, *(rows[:, 0] for rows in factors.rows)]


@functools.partial(jax.jit, static_argnames=("network", "routes"))
def _squares(
    bases: _Bases, network: Network, routes: Routes, leaves: list[Array], frozen: list[Array], block: PyTree
) -> list[Array]:
    with jax.default_matmul_precision("highest"):
        factors = _factors(network, routes, leaves, frozen, block)
        return [jnp.sum(rotated**2, axis=0) for rotated in _rotated(routes, bases, factors)]


def _features(loss: Loss, bases: _Bases, scales: list[Array], rows: slice) -> Array:
    block = take(loss.batch, rows)
    return _scaled(bases, scales, loss.network, loss.routes, loss.leaves, loss.frozen, block)


@functools.partial(jax.jit, static_argnames=("network", "routes"))
def _scaled(
    bases: _Bases,
    scales: list[Array],
    network: Network,
    routes: Routes,
    leaves: list[Array],
    frozen: list[Array],
    block: PyTree,
) -> Array:
    """Rotated gradients divided by the root of the damped eigenvalues, ``[n, P]``."""
    with jax.default_matmul_precision("highest"):
        rotated = _rotated(routes, bases, _factors(network, routes, leaves, frozen, block))
        parts = [(g * scale).reshape(g.shape[0], -1) for g, scale in zip(rotated, scales, strict=True)]
        return jnp.concatenate(parts, axis=1)
