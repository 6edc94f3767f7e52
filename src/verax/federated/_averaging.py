"""FedAvg and two variants, FedProx and FedNova; centralized and purely local training for comparison."""

import dataclasses
from typing import Any, Unpack

import jax
import jax.numpy as jnp

from verax._types import PyTree

from ._algorithm import FederatedAlgorithm
from ._local import local_sgd, step_mass
from ._options import (
    FederatedOptions,
    LocalOptions,
    LossFn,
    TrainingOptions,
    check_gradient_descent,
    check_number,
    checked_options,
    describe,
)
from ._state import Reply, Task, Work


@dataclasses.dataclass(frozen=True)
class SendDisplacement:
    """Train from the server's model and send back the displacement."""

    loss_fn: LossFn
    options: LocalOptions
    proximal: float = 0.0

    def __call__(self, sent: PyTree, mine: Any, task: Task, work: Work) -> Reply:
        run = local_sgd(self.loss_fn, sent, task, self.options, proximal=self.proximal, work=work)
        return Reply(difference(run.params, sent), mine, run)


def fedavg(
    loss_fn: LossFn,
    **options: Unpack[FederatedOptions],
) -> FederatedAlgorithm:
    r"""Federated averaging: clients train from the global model, the server averages what they return.

    .. math:: x^{r+1} = x^r + \sum_i \omega_i (y_i - x^r)

    Parameters
    ----------
    loss_fn : callable
        ``loss_fn(params, x, y) -> [n]``, one value per example; a batch's loss is the mean over its examples. Networks
        with dropout or batch normalisation: see `TrainingOptions`.
    **options
        `FederatedOptions`; ``learning_rate`` or ``optimizer`` is required.

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
    A participant receives and sends one model per round.

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
    local, aggregation = checked_options(loss_fn, options)
    return FederatedAlgorithm(
        describe("fedavg", local, aggregation),
        local,
        SendDisplacement(loss_fn, local),
        add_mean,
        aggregation=aggregation,
    )


def fedprox(
    loss_fn: LossFn,
    *,
    mu: float | int,
    **options: Unpack[FederatedOptions],
) -> FederatedAlgorithm:
    r"""FedAvg with a penalty on the distance from the global model: ``loss + mu / 2 ||y - x||^2``.

    Parameters
    ----------
    mu
        Strength of the penalty, >= 0; 0 gives FedAvg.
    loss_fn, **options
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
    local, aggregation = checked_options(loss_fn, options)
    check_number("mu", mu, minimum=0.0)
    return FederatedAlgorithm(
        describe("fedprox", local, aggregation, mu=mu),
        local,
        SendDisplacement(loss_fn, local, float(mu)),
        add_mean,
        aggregation=aggregation,
    )


def fednova(
    loss_fn: LossFn,
    **options: Unpack[FederatedOptions],
) -> FederatedAlgorithm:
    r"""Normalised averaging: each client's displacement is divided by its number of steps before averaging.

    .. math::
        x^{r+1} = x^r + \Bigl(\sum_i \omega_i a_i\Bigr) \sum_i \omega_i \frac{y_i - x^r}{a_i}, \qquad
        a_i = \tau_i \ \text{ or }\ \frac{\tau_i - \rho (1 - \rho^{\tau_i}) / (1 - \rho)}{1 - \rho}
        \text{ with momentum } \rho

    Parameters
    ----------
    loss_fn, **options
        As for `fedavg`, which it equals where all clients take equally many steps; without ``optimizer``.

    Returns
    -------
    FederatedAlgorithm

    Examples
    --------
    >>> from verax.federated import fednova
    >>> fednova(lambda w, x, y: (x @ w - y) ** 2, learning_rate=0.1, local_epochs=2)
    fednova(learning_rate=0.1, local_epochs=2)

    References
    ----------
    Wang, Liu, Liang, Joshi, Poor, "Tackling the Objective Inconsistency Problem in Heterogeneous Federated
    Optimization", NeurIPS 2020.
    """
    local, aggregation = checked_options(loss_fn, options)
    check_gradient_descent(local, "fednova")
    return FederatedAlgorithm(
        describe("fednova", local, aggregation),
        local,
        _SendDirection(loss_fn, local),
        _move_by_mean_mass,
        aggregation=aggregation,
    )


@dataclasses.dataclass(frozen=True)
class _SendDirection:
    """Train from the server's model and send the displacement per unit of step mass, and the mass."""

    loss_fn: LossFn
    options: LocalOptions

    def __call__(self, sent: PyTree, mine: Any, task: Task, work: Work) -> Reply:
        run = local_sgd(self.loss_fn, sent, task, self.options, work=work)
        mass = jnp.maximum(step_mass(run.num_steps, self.options.momentum), 1.0)
        moved = jax.tree.map(lambda leaf: leaf / mass.astype(leaf.dtype), difference(run.params, sent))
        return Reply({"direction": moved, "mass": mass}, mine, run)


def _move_by_mean_mass(params: PyTree, server: Any, mean: Any, share: jax.Array) -> tuple[PyTree, Any]:
    del share
    step = mean["mass"]
    return jax.tree.map(lambda p, d: p + step.astype(p.dtype) * d, params, mean["direction"]), server


def centralized(
    loss_fn: LossFn,
    **options: Unpack[TrainingOptions],
) -> FederatedAlgorithm:
    """Gradient descent on the pooled data with as many passes per round: the aim of federated learning.

    Parameters
    ----------
    loss_fn, **options
        `TrainingOptions`, as for `fedavg`; one "client" holds all the data. ``local_steps`` are those that each client
        would take: the pooled run takes all of them, and so processes as many examples.

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
    local, aggregation = checked_options(loss_fn, options, accepted=TrainingOptions)
    return FederatedAlgorithm(
        describe("centralized", local, aggregation),
        local,
        SendDisplacement(loss_fn, local),
        add_mean,
        aggregation=aggregation,
        kind="pooled",
    )


def local_only(
    loss_fn: LossFn,
    **options: Unpack[TrainingOptions],
) -> FederatedAlgorithm:
    """Every client trains alone from the common start: what federated learning has to beat.

    Parameters
    ----------
    loss_fn, **options
        `TrainingOptions`, as for `fedavg`.

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
    local, aggregation = checked_options(loss_fn, options, accepted=TrainingOptions)
    return FederatedAlgorithm(
        describe("local_only", local, aggregation),
        local,
        _TrainAlone(loss_fn, local),
        _keep,
        init_client=_itself,
        aggregation=aggregation._replace(weights="uniform"),
        kind="local",
    )


@dataclasses.dataclass(frozen=True)
class _TrainAlone:
    """Train from the client's own model and send nothing."""

    loss_fn: LossFn
    options: LocalOptions

    def __call__(self, sent: PyTree, mine: Any, task: Task, work: Work) -> Reply:
        del sent
        run = local_sgd(self.loss_fn, mine, task, self.options, work=work)
        return Reply((), run.params, run)


def _keep(params: PyTree, server: Any, mean: Any, share: jax.Array) -> tuple[PyTree, Any]:
    del mean, share
    return params, server


def _itself(params: PyTree) -> PyTree:
    return params


def difference(a: PyTree, b: PyTree) -> PyTree:
    """``a - b``."""
    return jax.tree.map(jnp.subtract, a, b)


def add_mean(params: PyTree, server: Any, mean: PyTree, share: jax.Array) -> tuple[PyTree, Any]:
    """Move the global model by the mean displacement."""
    del share
    return jax.tree.map(jnp.add, params, mean), server
