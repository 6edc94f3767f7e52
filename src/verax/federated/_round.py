"""One round: broadcast, local work, sums over the clients, update of the server."""

import functools
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from ._clients import client_sums
from ._partition import ClientData
from ._state import FederatedState, RoundMetrics, Status, Task, Work

if TYPE_CHECKING:
    from ._algorithm import FederatedAlgorithm

_PARTICIPATION = 2**31 - 1
"""Folded into the round's key to draw the participants; no client has this index."""


def round_body(
    algorithm: "FederatedAlgorithm",
    state: FederatedState,
    clients: ClientData,
    key: jax.Array,
    backend: str,
    chunk_size: int | None,
    mesh: Mesh | None,
) -> tuple[FederatedState, RoundMetrics]:
    """One round as a pure function; traceable unless the backend is "loop"."""
    work = Work(backend == "loop", clients.mask.shape[0] if algorithm.kind == "pooled" else 1)
    if algorithm.kind == "pooled":
        clients = jax.tree.map(lambda leaf: leaf.reshape(1, -1, *leaf.shape[2:]), clients)
        mesh = None
    weights, per_round, non_finite = algorithm.aggregation
    num_clients = clients.mask.shape[0]
    counts = jnp.sum(clients.mask, axis=1, dtype=float)
    share = counts / jnp.sum(counts) if weights == "num_examples" else jnp.full(num_clients, 1 / num_clients)
    chosen = jnp.arange(num_clients, dtype=jnp.int32)
    per_client = algorithm.has_client_networks
    steps = algorithm.options.local_steps
    own_steps = jnp.asarray(steps, jnp.int32) if isinstance(steps, tuple) and algorithm.kind != "pooled" else None
    mapped = (share, state.clients, clients, own_steps, state.network if per_client else ())
    partial = per_round is not None and per_round < num_clients
    if partial:
        order = jax.random.permutation(jax.random.fold_in(key, _PARTICIPATION), num_clients)
        chosen = jnp.sort(order[:per_round]).astype(jnp.int32)
        mapped = jax.tree.map(lambda leaf: leaf[chosen], mapped)
    share, *rest = mapped
    keys = jax.vmap(lambda client: jax.random.fold_in(key, client))(chosen)
    sent = algorithm.broadcast(state.params, state.server)

    def one(shared: Any, weight: jax.Array, client: Any) -> tuple[Any, Any]:
        sent, params, network, number = shared
        mine, data, own_steps, own_network, key = client
        network = own_network if per_client else network
        reply = algorithm.local(sent, mine, Task(data, key, number, own_steps, network), work)
        finite = _all_finite((reply.message, reply.state, reply.run.loss, reply.run.network))
        weight = jnp.where(finite, weight, 0)
        drift = _square_distance(reply.run.params, mine if algorithm.kind == "local" else params)
        averaged = _floating(reply.run.network) if algorithm.options.state == "average" else []
        # Zero times NaN is NaN: what is left out is replaced, not only given weight zero.
        to_sum = jax.tree.map(
            lambda leaf: jnp.where(finite, weight.astype(leaf.dtype) * leaf, 0), (reply.message, averaged)
        )
        scalars = tuple(
            jnp.where(finite, weight * value, 0) for value in (jnp.ones((), weight.dtype), reply.run.loss, drift)
        )
        new = jax.tree.map(
            lambda now, before: jnp.where(finite, now, before),
            (reply.state, reply.run.network if per_client else ()),
            (mine, own_network),
        )
        return (to_sum, scalars), (new, finite, reply.run.loss, reply.run.num_steps)

    (total, (weight, loss, drift)), (new, finite, client_loss, num_steps) = client_sums(
        one,
        (sent, state.params, () if per_client else state.network, state.round),
        share,
        (*rest, keys),
        backend=backend,
        chunk_size=chunk_size,
        mesh=mesh,
    )
    # Without any message to average, loss and drift are missing and the round is refused.
    (mean, averaged), loss, drift = jax.tree.map(lambda leaf: leaf / weight.astype(leaf.dtype), (total, loss, drift))
    params, server = algorithm.server_update(state.params, state.server, mean, weight)
    good = jnp.any(finite) if non_finite == "exclude" else jnp.all(finite)
    if partial:
        before = (state.clients, state.network if per_client else ())
        new = jax.tree.map(lambda leaf, part: leaf.at[chosen].set(part), before, new)
    network = new[1] if per_client else _with_floating(state.network, averaged)
    after = FederatedState(params, server, new[0], network, state.round)
    state = jax.tree.map(lambda now, before: jnp.where(good, now, before), after, state)
    status = jnp.where(good, jnp.where(jnp.all(finite), Status.OK, Status.CLIENTS_EXCLUDED), Status.REFUSED)
    return state._replace(round=state.round + 1), RoundMetrics(
        loss, drift, status.astype(jnp.int32), chosen, finite, client_loss, num_steps.astype(jnp.int32)
    )


def _floating(tree: Any) -> list[jax.Array]:
    return [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.floating)]


def _with_floating(tree: Any, new: list[jax.Array]) -> Any:
    """The tree with its floating-point leaves replaced in order, if there are replacements."""
    if not new:
        return tree
    leaves, structure = jax.tree.flatten(tree)
    rest = iter(new)
    return jax.tree.unflatten(
        structure, [next(rest) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf for leaf in leaves]
    )


def _all_finite(tree: Any) -> jax.Array:
    flags = [jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    return functools.reduce(jnp.logical_and, flags, jnp.asarray(True))


def _square_distance(a: Any, b: Any) -> jax.Array:
    parts = jax.tree.map(lambda x, y: jnp.sum(jnp.square(x.astype(float) - y.astype(float))), a, b)
    return functools.reduce(jnp.add, jax.tree.leaves(parts), jnp.zeros(()))
