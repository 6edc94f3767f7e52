"""FedAvg, and what changes one thing in it: FedProx, FedNova; and the two ends, centralized and local only."""

from typing import Any

import jax
import jax.numpy as jnp

from verax._types import PyTree

from ._algorithm import FederatedAlgorithm, Reply, Work, check_round_options
from ._local import LocalOptions, LossFn, check_number, local_options, local_sgd, step_mass


def fedavg(
    loss_fn: LossFn,
    *,
    learning_rate: float | int,
    batch_size: int | None = None,
    local_epochs: int | None = None,
    local_steps: int | None = None,
    momentum: float | int = 0.0,
    weights: str = "num_examples",
    clients_per_round: int | None = None,
    non_finite: str = "refuse",
) -> FederatedAlgorithm:
    r"""Federated averaging: clients train from the global model, the server averages what they return.

    .. math:: x^{r+1} = x^r + \sum_i \omega_i (y_i - x^r)

    Parameters
    ----------
    loss_fn : callable
        ``loss_fn(params, x, y) -> [n]``, one value an example; a batch's loss is the mean over its examples.
    learning_rate
        Of the local gradient descent.
    batch_size
        Examples a local step; None for all that the client has.
    local_epochs, local_steps
        Passes over the client's examples in a round (1 by default), or steps; not both. Epochs are permutations, the
        last batch of each is smaller where the size does not divide.
    momentum
        ``v = momentum v + g``, ``y = y - learning_rate v``, with ``v = 0`` at the beginning of each round.
    weights
        ``omega_i``: "num_examples" (``n_i`` over the participants' total) or "uniform".
    clients_per_round
        Clients drawn each round without replacement; None for all.
    non_finite
        When a client sends NaN or infinity: "refuse" the round, which leaves the state as it was, or "exclude" the
        client. Either way the status of the round says so.

    Returns
    -------
    FederatedAlgorithm
        With ``init``, ``round`` and ``params``; see `run`.

    Raises
    ------
    ValueError
        For options out of range.

    Notes
    -----
    A participant receives and sends one model a round.

    Examples
    --------
    >>> import jax, jax.numpy as jnp, numpy as np
    >>> from verax.federated import ClientData, fedavg
    >>> loss_fn = lambda w, x, y: (x @ w - y) ** 2 / 2
    >>> x = jnp.ones((2, 4, 1))  # two clients of four examples
    >>> clients = ClientData(x, jnp.stack([jnp.ones(4), 3 * jnp.ones(4)]), jnp.ones((2, 4), bool))
    >>> algorithm = fedavg(loss_fn, learning_rate=0.5, local_steps=20)
    >>> state = algorithm.init(jnp.zeros(1), 2)
    >>> state, metrics = algorithm.round(state, clients, jax.random.key(0))
    >>> algorithm.params(state).round(3).tolist(), algorithm.bytes_up(jnp.zeros(1), clients)
    ([2.0], 4)

    References
    ----------
    McMahan, Moore, Ramage, Hampson, Aguera y Arcas, "Communication-Efficient Learning of Deep Networks from
    Decentralized Data", AISTATS 2017.
    """
    options = local_options(loss_fn, learning_rate, batch_size, local_epochs, local_steps, momentum)
    check_round_options(weights, clients_per_round, non_finite)

    def local(sent: PyTree, mine: Any, data: Any, key: jax.Array, work: Work) -> Reply:
        run = local_sgd(loss_fn, sent, data, key, options, unrolled=work.unrolled)
        return Reply(difference(run.params, sent), mine, run)

    return FederatedAlgorithm(
        describe("fedavg", options, weights=weights, clients_per_round=clients_per_round, non_finite=non_finite),
        options,
        local,
        add_mean,
        weights=weights,
        clients_per_round=clients_per_round,
        non_finite=non_finite,
    )


def fedprox(
    loss_fn: LossFn,
    *,
    mu: float | int,
    learning_rate: float | int,
    batch_size: int | None = None,
    local_epochs: int | None = None,
    local_steps: int | None = None,
    momentum: float | int = 0.0,
    weights: str = "num_examples",
    clients_per_round: int | None = None,
    non_finite: str = "refuse",
) -> FederatedAlgorithm:
    r"""FedAvg with a penalty on the distance from the global model: ``loss + mu / 2 ||y - x||^2``.

    Parameters
    ----------
    mu
        Strength of the penalty, >= 0; 0 gives FedAvg.
    loss_fn, learning_rate, batch_size, local_epochs, local_steps, momentum, weights, clients_per_round, non_finite
        As for `fedavg`.

    Returns
    -------
    FederatedAlgorithm

    Examples
    --------
    >>> from verax.federated import fedprox
    >>> fedprox(lambda w, x, y: (x @ w - y) ** 2, mu=0.1, learning_rate=0.1).name.split("(")[0]
    'fedprox'

    References
    ----------
    Li, Sahu, Zaheer, Sanjabi, Talwalkar, Smith, "Federated Optimization in Heterogeneous Networks", MLSys 2020.
    """
    options = local_options(loss_fn, learning_rate, batch_size, local_epochs, local_steps, momentum)
    check_round_options(weights, clients_per_round, non_finite)
    check_number("mu", mu, minimum=0.0)

    def local(sent: PyTree, mine: Any, data: Any, key: jax.Array, work: Work) -> Reply:
        run = local_sgd(loss_fn, sent, data, key, options, proximal=float(mu), unrolled=work.unrolled)
        return Reply(difference(run.params, sent), mine, run)

    return FederatedAlgorithm(
        describe(
            "fedprox", options, mu=mu, weights=weights, clients_per_round=clients_per_round, non_finite=non_finite
        ),
        options,
        local,
        add_mean,
        weights=weights,
        clients_per_round=clients_per_round,
        non_finite=non_finite,
    )


def fednova(
    loss_fn: LossFn,
    *,
    learning_rate: float | int,
    batch_size: int | None = None,
    local_epochs: int | None = None,
    local_steps: int | None = None,
    momentum: float | int = 0.0,
    weights: str = "num_examples",
    clients_per_round: int | None = None,
    non_finite: str = "refuse",
) -> FederatedAlgorithm:
    r"""Normalised averaging: each client's displacement is divided by its number of steps before averaging.

    .. math::
        x^{r+1} = x^r + \Bigl(\sum_i \omega_i a_i\Bigr) \sum_i \omega_i \frac{y_i - x^r}{a_i}, \qquad
        a_i = \tau_i \ \text{ or }\ \frac{\tau_i - \rho (1 - \rho^{\tau_i}) / (1 - \rho)}{1 - \rho}
        \text{ with momentum } \rho

    Parameters
    ----------
    loss_fn, learning_rate, batch_size, local_epochs, local_steps, momentum, weights, clients_per_round, non_finite
        As for `fedavg`, which it equals where all clients take as many steps.

    Returns
    -------
    FederatedAlgorithm

    Examples
    --------
    >>> from verax.federated import fednova
    >>> fednova(lambda w, x, y: (x @ w - y) ** 2, learning_rate=0.1, local_epochs=2).weights
    'num_examples'

    References
    ----------
    Wang, Liu, Liang, Joshi, Poor, "Tackling the Objective Inconsistency Problem in Heterogeneous Federated
    Optimization", NeurIPS 2020.
    """
    options = local_options(loss_fn, learning_rate, batch_size, local_epochs, local_steps, momentum)
    check_round_options(weights, clients_per_round, non_finite)

    def local(sent: PyTree, mine: Any, data: Any, key: jax.Array, work: Work) -> Reply:
        run = local_sgd(loss_fn, sent, data, key, options, unrolled=work.unrolled)
        mass = jnp.maximum(step_mass(run.num_steps, options.momentum), 1.0)
        moved = jax.tree.map(lambda leaf: leaf / mass.astype(leaf.dtype), difference(run.params, sent))
        return Reply({"direction": moved, "mass": mass}, mine, run)

    def server_update(params: PyTree, server: Any, mean: Any, share: jax.Array) -> tuple[PyTree, Any]:
        del share
        step = mean["mass"]
        return jax.tree.map(lambda p, d: p + step.astype(p.dtype) * d, params, mean["direction"]), server

    return FederatedAlgorithm(
        describe("fednova", options, weights=weights, clients_per_round=clients_per_round, non_finite=non_finite),
        options,
        local,
        server_update,
        weights=weights,
        clients_per_round=clients_per_round,
        non_finite=non_finite,
    )


def centralized(
    loss_fn: LossFn,
    *,
    learning_rate: float | int,
    batch_size: int | None = None,
    local_epochs: int | None = None,
    local_steps: int | None = None,
    momentum: float | int = 0.0,
    non_finite: str = "refuse",
) -> FederatedAlgorithm:
    """Gradient descent on the pooled data with as many passes over it a round: what federated learning tries to reach.

    Parameters
    ----------
    loss_fn, learning_rate, batch_size, local_epochs, momentum, non_finite
        As for `fedavg`; one "client" holds all the data.
    local_steps
        Steps that each client would take: the pooled run takes ``K`` times as many, and so processes as many examples.

    Returns
    -------
    FederatedAlgorithm
        Nothing is communicated.

    Examples
    --------
    >>> from verax.federated import centralized
    >>> centralized(lambda w, x, y: (x @ w - y) ** 2, learning_rate=0.1).kind
    'pooled'
    """
    options = local_options(loss_fn, learning_rate, batch_size, local_epochs, local_steps, momentum)
    check_round_options("uniform", None, non_finite)

    def local(sent: PyTree, mine: Any, data: Any, key: jax.Array, work: Work) -> Reply:
        run = local_sgd(loss_fn, sent, data, key, options, num_repeats=work.num_pooled, unrolled=work.unrolled)
        return Reply(difference(run.params, sent), mine, run)

    name = describe("centralized", options, non_finite=non_finite)
    return FederatedAlgorithm(name, options, local, add_mean, weights="uniform", non_finite=non_finite, kind="pooled")


def local_only(
    loss_fn: LossFn,
    *,
    learning_rate: float | int,
    batch_size: int | None = None,
    local_epochs: int | None = None,
    local_steps: int | None = None,
    momentum: float | int = 0.0,
    non_finite: str = "refuse",
) -> FederatedAlgorithm:
    """Every client trains alone from the common start: what federated learning has to beat.

    Parameters
    ----------
    loss_fn, learning_rate, batch_size, local_epochs, local_steps, momentum, non_finite
        As for `fedavg`.

    Returns
    -------
    FederatedAlgorithm
        Nothing is communicated; ``params(state)`` holds the models of all clients, leading axis K.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from verax.federated import local_only
    >>> algorithm = local_only(lambda w, x, y: (x @ w - y) ** 2, learning_rate=0.1)
    >>> algorithm.params(algorithm.init(jnp.zeros(3), 5)).shape
    (5, 3)
    """
    options = local_options(loss_fn, learning_rate, batch_size, local_epochs, local_steps, momentum)
    check_round_options("uniform", None, non_finite)

    def local(sent: PyTree, mine: Any, data: Any, key: jax.Array, work: Work) -> Reply:
        del sent
        run = local_sgd(loss_fn, mine, data, key, options, unrolled=work.unrolled)
        return Reply((), run.params, run)

    return FederatedAlgorithm(
        describe("local_only", options, non_finite=non_finite),
        options,
        local,
        lambda params, server, mean, share: (params, server),
        init_client=lambda params: params,
        weights="uniform",
        non_finite=non_finite,
        kind="local",
    )


def difference(a: PyTree, b: PyTree) -> PyTree:
    """``a - b``."""
    return jax.tree.map(jnp.subtract, a, b)


def add_mean(params: PyTree, server: Any, mean: PyTree, share: jax.Array) -> tuple[PyTree, Any]:
    """Move the global model by the mean displacement."""
    del share
    return jax.tree.map(jnp.add, params, mean), server


def describe(name: str, options: LocalOptions, **more: Any) -> str:
    """Name and options in one line."""
    given = {**options._asdict(), **more}
    return f"{name}({', '.join(f'{key}={value!r}' for key, value in given.items() if value is not None)})"
