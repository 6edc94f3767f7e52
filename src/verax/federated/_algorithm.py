"""What a federated algorithm is, and one round of it."""

import dataclasses
import enum
import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core
from jax.sharding import Mesh

from verax._errors import check, check_integer, check_option, is_traced
from verax._tree import leading_size
from verax._types import PyTree

from ._clients import check_backend, client_sums
from ._local import LocalOptions, LocalRun
from ._partition import ClientData, check_clients_have_data


class Status(enum.IntEnum):
    """What became of a round."""

    OK = 0
    CLIENTS_EXCLUDED = 1
    """Some clients sent non-finite numbers and were left out."""
    REFUSED = 2
    """Some client sent non-finite numbers; the state is as it was before the round."""


class FederatedState(NamedTuple):
    """State of an algorithm between rounds.

    Attributes
    ----------
    params
        Global model; for `local_only` the initial one.
    server
        What else the server keeps: control variate, optimizer state.
    clients
        What each client keeps, leading axes ``[K]``.
    """

    params: Any
    server: Any
    clients: Any


class RoundMetrics(NamedTuple):
    """What a round reports; ``S`` is the number of participants.

    Attributes
    ----------
    loss : []
        Mean over the participants, by weight, of their mean batch loss.
    drift : []
        Mean over the participants, by weight, of the squared distance that a client's model moved.
    status : []
        `Status`.
    participants : [S]
        Indices of the clients that took part.
    finite : [S]
        Whether what a participant sent was finite.
    client_loss : [S]
        Mean batch loss of each.
    num_steps : [S]
        Local steps of each.
    """

    loss: jax.Array
    drift: jax.Array
    status: jax.Array
    participants: jax.Array
    finite: jax.Array
    client_loss: jax.Array
    num_steps: jax.Array


class Work(NamedTuple):
    """How local work is carried out: ``unrolled`` in Python; on the data of ``num_pooled`` clients."""

    unrolled: bool = False
    num_pooled: int = 1


class Reply(NamedTuple):
    """What local work gives: the message to the server, the client's new state, and the local run."""

    message: PyTree
    state: PyTree
    run: LocalRun


@dataclasses.dataclass(frozen=True, eq=False)
class FederatedAlgorithm:
    """A federated algorithm: ``init``, ``round`` and ``params``.

    The server sees only weighted sums over clients of what they send, so every algorithm here can run under secure
    aggregation. `fedavg` and its siblings make these values; build one by hand for an algorithm of your own.

    Attributes
    ----------
    name : str
        Name and options, for reports and checkpoints.
    options
        Options of the local training.
    local : callable
        ``local(broadcast, client_state, (x, y, mask), key, work) -> Reply``.
    server_update : callable
        ``server_update(params, server, mean_message, participating_share) -> (params, server)``.
    broadcast : callable
        ``broadcast(params, server)``: what the server sends.
    init_server, init_client : callable
        From the initial parameters to the extra state of the server, and of one client.
    weights : str
        "num_examples" (``n_i / n``) or "uniform".
    clients_per_round : int or None
        Number of clients drawn each round without replacement; None for all.
    non_finite : str
        "refuse" the round, or "exclude" the client.
    kind : str
        "federated"; "pooled": the data of all clients as one; "local": no communication.
    needs_equal_steps : bool
        Whether unequal numbers of local steps are an error.
    """

    name: str
    options: LocalOptions
    local: Callable[..., Reply]
    server_update: Callable[..., tuple[Any, Any]]
    broadcast: Callable[[Any, Any], Any] = lambda params, server: params
    init_server: Callable[[Any], Any] = lambda params: ()
    init_client: Callable[[Any], Any] = lambda params: ()
    weights: str = "num_examples"
    clients_per_round: int | None = None
    non_finite: str = "refuse"
    kind: str = "federated"
    needs_equal_steps: bool = False

    def init(self, params: PyTree, num_clients: int) -> FederatedState:
        """State before the first round."""
        check_integer("num_clients", num_clients, minimum=1)
        num = 1 if self.kind == "pooled" else int(num_clients)
        params = jax.tree.map(jnp.asarray, params)
        stack = functools.partial(jax.tree.map, lambda leaf: jnp.repeat(jnp.asarray(leaf)[None], num, axis=0))
        return FederatedState(params, self.init_server(params), stack(self.init_client(params)))

    def params(self, state: FederatedState) -> PyTree:
        """Return the global model, or for `local_only` those of all clients on a leading axis."""
        return state.clients if self.kind == "local" else state.params

    def round(
        self,
        state: FederatedState,
        clients: ClientData,
        key: jax.Array,
        *,
        backend: str = "auto",
        chunk_size: int | None = None,
        mesh: Mesh | None = None,
    ) -> tuple[FederatedState, RoundMetrics]:
        """Broadcast, train locally, aggregate.

        Parameters
        ----------
        state
            From ``init`` or the round before.
        clients
            Data of all clients.
        key
            A ``jax.random.key``, another one each round. Client i uses ``fold_in(key, i)``, so that results do not
            depend on the backend or on the order of the work.
        backend
            "vmap": all clients at once; "map": ``chunk_size`` at a time, in bounded memory; "loop": a Python loop over
            clients and steps (not under ``jit``); "auto": "vmap" on accelerators, on a CPU "loop" where the loss has
            XLA's convolutions, which are tens of times slower inside its loops there, and "map" otherwise.
        chunk_size
            For "map"; 1 by default.
        mesh
            A mesh with an axis "clients", over which they are divided; their number is filled up with clients of weight
            zero.

        Returns
        -------
        state : FederatedState
        metrics : RoundMetrics

        Raises
        ------
        ValueError
            For data that do not fit together, a client without data, or bad options.
        """
        check_client_data(clients, self)
        compiled = is_traced((state, clients, key))
        backend = resolve_backend(self, state.params, clients, backend, chunk_size, mesh, compiled=compiled)
        if backend == "loop":
            return round_body(self, state, clients, key, backend, chunk_size, mesh)
        return _jitted_round(self, state, clients, key, backend, chunk_size, mesh)

    def bytes_up(self, params: PyTree, clients: ClientData) -> int:
        """Bytes that one participant sends in a round, counted from the arrays of its message."""
        return num_bytes(self._traffic(params, clients)[1])

    def bytes_down(self, params: PyTree, clients: ClientData) -> int:
        """Bytes that the server sends to one participant in a round."""
        return num_bytes(self._traffic(params, clients)[0])

    def _traffic(self, params: PyTree, clients: ClientData) -> tuple[Any, Any]:
        return _one_client.trace(self, params, clients).out_info if self.kind == "federated" else ((), ())


@functools.partial(jax.jit, static_argnums=0)
def _one_client(algorithm: FederatedAlgorithm, params: PyTree, clients: ClientData) -> tuple[Any, Any]:
    """What the first client receives and sends; only ever traced, and the trace is kept by ``jit``."""
    state = algorithm.init(params, 1)
    sent = algorithm.broadcast(state.params, state.server)
    data, mine = jax.tree.map(lambda leaf: leaf[0], (tuple(clients), state.clients))
    return sent, algorithm.local(sent, mine, data, jax.random.key(0), Work()).message


def resolve_backend(
    algorithm: FederatedAlgorithm,
    params: PyTree,
    clients: ClientData,
    backend: str,
    chunk_size: int | None,
    mesh: Mesh | None,
    *,
    compiled: bool,
) -> str:
    """Check the options that say how clients run, and turn "auto" into what is fast here; no loop if ``compiled``."""
    check_backend(backend, chunk_size, mesh)
    if backend != "auto":
        return backend
    if chunk_size is not None:
        return "map"
    if jax.default_backend() != "cpu":
        return "vmap"
    # One client after the other keeps the working set small and skips the steps that padding adds; measured by
    # benchmarks/federated.py.
    if compiled or mesh is not None:
        return "map"
    return "loop" if _has_convolution(_one_client.trace(algorithm, params, clients).jaxpr.jaxpr) else "map"


def _has_convolution(jaxpr: core.Jaxpr) -> bool:
    """Whether a program has one of XLA's convolutions, in its loops and branches too."""

    def inner(eqn: core.JaxprEqn) -> Iterator[core.Jaxpr]:
        for value in jax.tree.leaves(tuple(eqn.params.values())):
            if isinstance(value, core.Jaxpr | core.ClosedJaxpr):
                yield value.jaxpr if isinstance(value, core.ClosedJaxpr) else value

    return any(
        eqn.primitive.name == "conv_general_dilated" or any(map(_has_convolution, inner(eqn))) for eqn in jaxpr.eqns
    )


def num_bytes(tree: Any) -> int:
    """Total bytes of the arrays of a tree."""
    return sum(int(np.prod(leaf.shape)) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def check_client_data(clients: Any, algorithm: FederatedAlgorithm) -> None:
    """Raise unless the data fit together and every client has some, as far as that can be seen."""
    check(isinstance(clients, ClientData), "clients", type(clients).__name__, "ClientData, from gather_clients")
    mask = clients.mask
    shape: tuple[int, ...] = np.shape(mask)
    check(len(shape) == 2 and mask.dtype == bool, "clients", f"a mask of shape {shape}", "a boolean mask [K, n]")
    for name in ("x", "y"):
        check(
            leading_size(getattr(clients, name), name) == shape[0],
            "clients",
            f"another number of clients in {name}",
            f"{shape[0]}, as the mask has",
        )
        for leaf in jax.tree.leaves(getattr(clients, name)):
            check(
                leaf.shape[1:2] == shape[1:],
                "clients",
                f"{name} of shape {leaf.shape}",
                f"[{shape[0]}, {shape[1]}, ...], as the mask has",
            )
    if algorithm.clients_per_round is not None:
        most = shape[0]
        check(
            algorithm.clients_per_round <= most,
            "clients_per_round",
            algorithm.clients_per_round,
            f"at most {most} clients",
        )
    if is_traced(mask):
        return
    check_clients_have_data(mask, "clients")
    if algorithm.needs_equal_steps and algorithm.options.local_steps is None and algorithm.options.batch_size:
        steps = -(-np.asarray(mask).sum(1) // algorithm.options.batch_size)
        check(
            len(set(steps.tolist())) == 1,
            "local_epochs",
            f"{steps.min()} to {steps.max()} steps an epoch",
            "local_steps, or form='textbook': this form needs equal numbers of steps",
        )


def check_round_options(weights: Any, clients_per_round: Any, non_finite: Any) -> None:
    """Check the options of the aggregation that every algorithm shares."""
    check_option("weights", weights, ("num_examples", "uniform"))
    check_option("non_finite", non_finite, ("refuse", "exclude"))
    if clients_per_round is not None:
        check_integer("clients_per_round", clients_per_round, minimum=1)


_PARTICIPATION = 2**31 - 1
"""Folded into the round's key to draw the participants; no client has this index."""


def round_body(
    algorithm: FederatedAlgorithm,
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
    num_clients = clients.mask.shape[0]
    counts = jnp.sum(clients.mask, axis=1, dtype=float)
    share = counts / jnp.sum(counts) if algorithm.weights == "num_examples" else jnp.full(num_clients, 1 / num_clients)
    chosen = jnp.arange(num_clients, dtype=jnp.int32)
    old, data = state.clients, tuple(clients)
    partial = algorithm.clients_per_round is not None and algorithm.clients_per_round < num_clients
    if partial:
        order = jax.random.permutation(jax.random.fold_in(key, _PARTICIPATION), num_clients)
        chosen = jnp.sort(order[: algorithm.clients_per_round]).astype(jnp.int32)
        share, old, data = jax.tree.map(lambda leaf: leaf[chosen], (share, old, data))
    keys = jax.vmap(lambda client: jax.random.fold_in(key, client))(chosen)
    sent = algorithm.broadcast(state.params, state.server)

    def one(shared: Any, client: Any) -> tuple[Any, Any]:
        sent, params = shared
        weight, mine, data, key = client
        reply = algorithm.local(sent, mine, data, key, work)
        finite = _all_finite((reply.message, reply.state, reply.run.loss))
        weight = jnp.where(finite, weight, 0)
        drift = _square_distance(reply.run.params, mine if algorithm.kind == "local" else params)
        # Zero times NaN is NaN: what is left out is replaced, not only given weight zero.
        to_sum = jax.tree.map(lambda leaf: jnp.where(finite, weight.astype(leaf.dtype) * leaf, 0), reply.message)
        scalars = tuple(
            jnp.where(finite, weight * value, 0) for value in (jnp.ones((), weight.dtype), reply.run.loss, drift)
        )
        new = jax.tree.map(lambda now, before: jnp.where(finite, now, before), reply.state, mine)
        return (to_sum, scalars), (new, finite, reply.run.loss, reply.run.num_steps)

    (total, (weight, loss, drift)), (new, finite, client_loss, num_steps) = client_sums(
        one, (sent, state.params), (share, old, data, keys), backend=backend, chunk_size=chunk_size, mesh=mesh
    )
    mean, loss, drift = jax.tree.map(lambda leaf: leaf / weight.astype(leaf.dtype), (total, loss, drift))
    params, server = algorithm.server_update(state.params, state.server, mean, weight)
    good = jnp.any(finite) if algorithm.non_finite == "exclude" else jnp.all(finite)
    if partial:
        new = jax.tree.map(lambda leaf, part: leaf.at[chosen].set(part), state.clients, new)
    state = jax.tree.map(lambda now, before: jnp.where(good, now, before), FederatedState(params, server, new), state)
    status = jnp.where(good, jnp.where(jnp.all(finite), Status.OK, Status.CLIENTS_EXCLUDED), Status.REFUSED)
    return state, RoundMetrics(
        loss, drift, status.astype(jnp.int32), chosen, finite, client_loss, num_steps.astype(jnp.int32)
    )


_jitted_round = jax.jit(round_body, static_argnums=(0, 4, 5, 6))


def _all_finite(tree: Any) -> jax.Array:
    flags = [jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    return functools.reduce(jnp.logical_and, flags, jnp.asarray(True))


def _square_distance(a: Any, b: Any) -> jax.Array:
    parts = jax.tree.map(lambda x, y: jnp.sum(jnp.square(x - y)).astype(float), a, b)
    return functools.reduce(jnp.add, jax.tree.leaves(parts), jnp.zeros(()))
