"""Values that pass between rounds, clients and the server."""

import enum
from typing import Any, NamedTuple

import jax

from verax._results import raise_if_failed, result
from verax._types import PyTree

from ._partition import ClientData


class Status(enum.IntEnum):
    """Outcome of a round."""

    OK = 0
    CLIENTS_EXCLUDED = 1
    """Some clients sent non-finite numbers and were left out."""
    REFUSED = 2
    """Some client sent non-finite numbers; the state is as it was before the round."""


SENTENCES = {
    Status.CLIENTS_EXCLUDED: "clients sent non-finite numbers and were left out: the field ``finite`` says which",
    Status.REFUSED: "a client sent non-finite numbers, and the round changed nothing: the field ``finite`` says which; "
    "or leave such clients out by non_finite='exclude'",
}


@result()
class Variables(NamedTuple):
    """Parameters of a network, which are trained, beside its state, which is not.

    Attributes
    ----------
    params
        Trainable arrays.
    state
        What the network updates by itself as it trains, such as the running statistics of batch normalisation.
    """

    params: Any
    state: Any


@result()
class FederatedState(NamedTuple):
    """State of an algorithm between rounds.

    Attributes
    ----------
    params
        Global model; for `local_only` the initial one.
    server
        The server's own state: control variate, optimizer state.
    clients
        Each client's own state, leading axes ``[K]``.
    network
        State of the network beside its parameters (`Variables`); leading axes ``[K]`` where it is local to the clients.
    round : int32 []
        Number of rounds completed, for schedules.
    """

    params: Any
    server: Any
    clients: Any
    network: Any
    round: jax.Array


@result(SENTENCES)
class RoundMetrics(NamedTuple):
    """Measurements of a round; ``S`` is the number of participants.

    Attributes
    ----------
    loss : []
        Mean over the participants, by weight, of their mean batch loss.
    drift : []
        Mean over the participants, by weight, of the squared distance that a client's model moved.
    status : []
        `Status`.
    participants : [S]
        Indices of the participating clients.
    finite : [S]
        Whether a participant's message was finite.
    client_loss : [S]
        Mean batch loss of each participant.
    num_steps : [S]
        Number of local steps of each participant.
    """

    loss: jax.Array
    drift: jax.Array
    status: jax.Array
    participants: jax.Array
    finite: jax.Array
    client_loss: jax.Array
    num_steps: jax.Array

    raise_if_failed = raise_if_failed


@result()
class Task(NamedTuple):
    """Everything a client trains on in a round.

    Attributes
    ----------
    data : ClientData
        ``x [n, ...]``, ``y [n, ...]``, ``mask [n]`` of this client.
    key
        A random key, another one per client and round.
    round : int32 []
        Number of the round, from 0.
    num_steps : int32 [] or None
        The client's own number of steps, where clients differ.
    network
        State of the network that the client starts from.
    """

    data: ClientData
    key: jax.Array
    round: jax.Array
    num_steps: jax.Array | None = None
    network: Any = ()


@result()
class Work(NamedTuple):
    """Execution of local work: ``unrolled`` in Python; on the data of ``num_pooled`` clients."""

    unrolled: bool = False
    num_pooled: int = 1


@result()
class LocalRun(NamedTuple):
    """Outcome of local training: parameters, number of steps, mean loss of the batches, state of the network."""

    params: PyTree
    num_steps: jax.Array
    loss: jax.Array
    network: Any = ()


@result()
class Reply(NamedTuple):
    """Outcome of local work: the message to the server, the client's new state, and the local run."""

    message: PyTree
    state: PyTree
    run: LocalRun
