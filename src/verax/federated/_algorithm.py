"""A federated algorithm as a value: initial state, one round, and the model."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from verax._arrays import to_tree
from verax._errors import check, check_finite, check_integer, fail, is_traced
from verax._programs import has_convolution
from verax._tree import leaf_paths
from verax._types import PyTree

from ._clients import check_backend
from ._options import Aggregation, LocalOptions
from ._partition import ClientData, to_clients
from ._round import round_body
from ._state import FederatedState, Reply, RoundMetrics, Task, Variables, Work


def nothing(params: PyTree) -> tuple[()]:
    """Return the empty state, of servers and clients that keep none."""
    del params
    return ()


def send_model(params: PyTree, server: Any) -> PyTree:
    """Broadcast the global model alone."""
    del server
    return params


_DEFAULT = Aggregation()


@dataclasses.dataclass(frozen=True)
class FederatedAlgorithm:
    """A federated algorithm: ``init``, ``round`` and ``params``.

    The server sees only weighted sums over clients of their messages, so every algorithm here can run under secure
    aggregation. `fedavg` and its siblings make these values; build one by hand for an algorithm of your own. Equal
    values share compiled programs, so a method is best a frozen dataclass or a function of a module.

    Attributes
    ----------
    name : str
        Name and options, for reports.
    options : LocalOptions
        Options of the local training.
    local : callable
        ``local(broadcast, client_state, task, work) -> Reply``, with a `Task` and a `Work`.
    server_update : callable
        ``server_update(params, server, mean_message, participating_share) -> (params, server)``.
    broadcast : callable
        ``broadcast(params, server)``: the server's message.
    init_server, init_client : callable
        From the initial parameters to the extra state of the server, and of one client.
    aggregation : Aggregation
        Weights, participants, and the treatment of non-finite messages.
    kind : str
        "federated"; "pooled": the data of all clients as one; "local": no communication.
    needs_equal_steps : bool
        Whether unequal numbers of local steps are an error.
    """

    name: str
    options: LocalOptions
    local: Callable[..., Reply]
    server_update: Callable[..., tuple[Any, Any]]
    broadcast: Callable[[Any, Any], Any] = send_model
    init_server: Callable[[Any], Any] = nothing
    init_client: Callable[[Any], Any] = nothing
    aggregation: Aggregation = _DEFAULT
    kind: str = "federated"
    needs_equal_steps: bool = False

    def __repr__(self) -> str:
        return self.name

    @property
    def has_client_networks(self) -> bool:
        """Whether each client keeps its own state of the network."""
        return self.options.state == "local" or (self.kind == "local" and self.options.state == "average")

    def init(self, params: PyTree, num_clients: int) -> FederatedState:
        """State before the first round; ``params`` are arrays, or `Variables` of a network with state."""
        check_integer("num_clients", num_clients, minimum=1)
        num = 1 if self.kind == "pooled" else int(num_clients)
        params, network = self._split(params)
        stack = functools.partial(jax.tree.map, lambda leaf: jnp.repeat(jnp.asarray(leaf)[None], num, axis=0))
        return FederatedState(
            params,
            self.init_server(params),
            stack(self.init_client(params)),
            stack(network) if self.has_client_networks else network,
            jnp.zeros((), jnp.int32),
        )

    def _split(self, params: PyTree) -> tuple[PyTree, PyTree]:
        network: Any = ()
        if isinstance(params, Variables):
            params, network = params
            has_state = bool(jax.tree.leaves(network))
            if has_state and self.options.state is None:
                fail("state", "None for a network with state", "'average', 'local' or 'frozen'")
        elif self.options.state in ("average", "local"):
            fail("params", f"{type(params).__name__} with state={self.options.state!r}", "Variables(params, state)")
        params, network = jax.tree.map(jnp.asarray, (params, network))
        for path, leaf in zip(leaf_paths(params), jax.tree.leaves(params), strict=True):
            check(
                jnp.issubdtype(leaf.dtype, jnp.floating),
                "params",
                f"{leaf.dtype} at {path!r}",
                "real floating-point leaves; what is not trained belongs to the state of Variables(params, state)",
            )
        return params, network

    def params(self, state: FederatedState) -> PyTree:
        """Return the global model, or for `local_only` those of all clients on a leading axis.

        For a network with state these are `Variables`; with ``state="local"`` one model per client on a leading axis,
        as `mean_over_clients` takes them.
        """
        model = state.clients if self.kind == "local" else state.params
        if not jax.tree.leaves(state.network):
            return model
        if self.has_client_networks and self.kind != "local":
            num = len(jax.tree.leaves(state.network)[0])
            model = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (num, *leaf.shape)), model)
        return Variables(model, state.network)

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
            clients and steps (not under ``jit``); "auto": on accelerators "vmap", but "map" where the loss has XLA's
            convolutions, which become grouped ones under "vmap"; on a CPU "loop" where it has, since they are tens of
            times slower inside XLA's loops there, and "map" otherwise.
        chunk_size
            For "map"; 1 by default.
        mesh
            A mesh with an axis "clients", over which they are divided; their number is filled up with copies of weight
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
        clients = check_client_data(clients, self)
        compiled = is_traced((state, clients, key))
        backend = resolve_backend(
            self, state.params, clients, backend, chunk_size, mesh, compiled=compiled, network=state.network
        )
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
        return one_client.trace(self, params, clients).out_info if self.kind == "federated" else ((), ())


_jitted_round = jax.jit(round_body, static_argnums=(0, 4, 5, 6))


@functools.partial(jax.jit, static_argnums=0)
def one_client(algorithm: FederatedAlgorithm, params: PyTree, clients: ClientData) -> tuple[Any, Any]:
    """Messages to and from the first client; only ever traced, and the trace is kept by ``jit``."""
    state = algorithm.init(params, 1)
    sent = algorithm.broadcast(state.params, state.server)
    data, mine = jax.tree.map(lambda leaf: leaf[0], (clients, state.clients))
    network = jax.tree.map(lambda leaf: leaf[0], state.network) if algorithm.has_client_networks else state.network
    task = Task(data, jax.random.key(0), state.round, None, network)
    reply = algorithm.local(sent, mine, task, Work())
    shared = network if algorithm.options.state == "average" else ()
    return (sent, shared), (reply.message, shared)


def resolve_backend(
    algorithm: FederatedAlgorithm,
    params: PyTree,
    clients: ClientData,
    backend: str,
    chunk_size: int | None,
    mesh: Mesh | None,
    *,
    compiled: bool,
    network: Any = (),
) -> str:
    """Check the options that say how clients run, and turn "auto" into what is fast here; no loop if ``compiled``."""
    check_backend(backend, chunk_size, mesh)
    if backend != "auto":
        return backend
    if chunk_size is not None:
        return "map"
    on_cpu = jax.default_backend() == "cpu"
    # On a CPU one client after the other keeps the working set small and skips the steps that filler adds; measured by
    # benchmarks/federated.py.
    if on_cpu and (compiled or mesh is not None):
        return "map"
    if jax.tree.leaves(network):
        own = jax.tree.map(lambda leaf: leaf[0], network) if algorithm.has_client_networks else network
        params = Variables(params, own)
    if not has_convolution(one_client.trace(algorithm, params, clients).jaxpr.jaxpr):
        return "map" if on_cpu else "vmap"
    return "loop" if on_cpu else "map"


def num_bytes(tree: Any) -> int:
    """Total bytes of the arrays of a tree."""
    return sum(int(np.prod(leaf.shape)) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def checked_params(params: Any) -> PyTree:
    """Return initial parameters as arrays, which must be concrete and finite."""
    check(not is_traced(params), "params", "traced arrays", "concrete ones: this is a host entry point")
    params = to_tree("params", params, finite=False)
    check(bool(jax.tree.leaves(params)), "params", "no arrays", "the parameters of a network")
    check_finite("params", params)
    return params


def check_client_data(clients: Any, algorithm: FederatedAlgorithm, argument: str = "clients") -> ClientData:
    """Return the data as arrays if they fit together and every client has some, as far as that can be seen."""
    clients = to_clients(argument, clients)
    mask = clients.mask
    most, per_round, steps = clients.num_clients, algorithm.aggregation.clients_per_round, algorithm.options.local_steps
    check(per_round is None or per_round <= most, "clients_per_round", per_round, f"at most {most} clients")
    fits = not isinstance(steps, tuple) or len(steps) == most
    check(fits, "local_steps", f"{len(steps) if isinstance(steps, tuple) else 1} numbers", f"{most}, one per client")
    if not is_traced(mask) and algorithm.needs_equal_steps and not algorithm.options.has_equal_steps:
        if isinstance(steps, tuple):
            counts = np.asarray(steps)
        else:
            counts = -(-np.asarray(mask).sum(1) // algorithm.options.batch_size)
        check(
            len(set(counts.tolist())) == 1,
            "local_epochs" if steps is None else "local_steps",
            f"{counts.min()} to {counts.max()} steps per round and epoch",
            "one local_steps for all, or form='textbook': this form needs equal numbers of steps",
        )
    return clients
