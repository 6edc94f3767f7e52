"""FedOpt: an optimizer on the server that takes the mean displacement for a gradient; FedAdam, FedYogi, FedAvgM."""

import dataclasses
import functools
from typing import Any, NamedTuple, Unpack

import jax
import jax.numpy as jnp
import optax

from verax._types import PyTree

from ._algorithm import FederatedAlgorithm
from ._averaging import SendDisplacement
from ._options import FederatedOptions, LossFn, check_number, check_optimizer, checked_options, describe


def fedopt(
    loss_fn: LossFn,
    *,
    server_optimizer: optax.GradientTransformation,
    name: str = "fedopt",
    **options: Unpack[FederatedOptions],
) -> FederatedAlgorithm:
    r"""FedAvg whose server feeds ``-sum_i omega_i (y_i - x)`` to an optimizer as if it were a gradient.

    Parameters
    ----------
    server_optimizer
        Any optax optimizer; ``optax.sgd(1.0)`` gives FedAvg.
    loss_fn, **options
        As for `fedavg`.
    name
        For reports and checkpoints; an optimizer does not tell its own.

    Returns
    -------
    FederatedAlgorithm

    Examples
    --------
    >>> import optax
    >>> from verax.federated import fedopt
    >>> algorithm = fedopt(lambda w, x, y: (x @ w - y) ** 2, server_optimizer=optax.adagrad(0.1), learning_rate=0.1)

    References
    ----------
    Reddi et al., "Adaptive Federated Optimization", ICLR 2021.
    """
    local, aggregation = checked_options(loss_fn, options)
    check_optimizer("server_optimizer", server_optimizer)
    return FederatedAlgorithm(
        describe(name, local, aggregation),
        local,
        SendDisplacement(loss_fn, local),
        _ServerUpdate(server_optimizer),
        init_server=_ServerInit(server_optimizer),
        aggregation=aggregation,
    )


@dataclasses.dataclass(frozen=True)
class _ServerInit:
    """State of an optimizer; a method bound to an object would not equal that of an equal object."""

    optimizer: optax.GradientTransformation

    def __call__(self, params: PyTree) -> Any:
        with jax.numpy_dtype_promotion("standard"):
            return self.optimizer.init(params)


@dataclasses.dataclass(frozen=True)
class _ServerUpdate:
    """Feed the negative mean displacement to an optimizer."""

    optimizer: optax.GradientTransformation

    def __call__(self, params: PyTree, server: Any, mean: PyTree, share: jax.Array) -> tuple[PyTree, Any]:
        del share
        with jax.numpy_dtype_promotion("standard"):  # optax mixes dtypes
            updates, server = self.optimizer.update(jax.tree.map(jnp.negative, mean), server, params)
            return optax.apply_updates(params, updates), server


def fedadam(
    loss_fn: LossFn,
    *,
    server_learning_rate: float | int = 0.1,
    b1: float = 0.9,
    b2: float = 0.99,
    tau: float = 1e-3,
    **options: Unpack[FederatedOptions],
) -> FederatedAlgorithm:
    r"""FedOpt with Adam on the server, as its authors define it: no bias correction, ``v`` starting from ``tau^2``.

    .. math::
        m \leftarrow \beta_1 m + (1-\beta_1) \Delta, \quad v \leftarrow \beta_2 v + (1-\beta_2) \Delta^2, \quad
        x \leftarrow x + \eta\, m / (\sqrt v + \tau), \qquad \Delta = \sum_i \omega_i (y_i - x)

    Parameters
    ----------
    server_learning_rate
        ``eta``.
    b1, b2, tau
        Decay rates and adaptivity; the paper's defaults.
    loss_fn, **options
        As for `fedavg`.

    Returns
    -------
    FederatedAlgorithm

    Examples
    --------
    >>> from verax.federated import fedadam
    >>> fedadam(lambda w, x, y: (x @ w - y) ** 2, learning_rate=0.1).name.split("(")[0]
    'fedadam'

    References
    ----------
    Reddi et al., "Adaptive Federated Optimization", ICLR 2021, Algorithm 2.
    """
    optimizer = _adaptive_optimizer("adam", server_learning_rate, b1, b2, tau)
    name = f"fedadam({server_learning_rate}, {b1}, {b2}, {tau})"
    return fedopt(loss_fn, server_optimizer=optimizer, name=name, **options)


def fedyogi(
    loss_fn: LossFn,
    *,
    server_learning_rate: float | int = 0.1,
    b1: float = 0.9,
    b2: float = 0.99,
    tau: float = 1e-3,
    **options: Unpack[FederatedOptions],
) -> FederatedAlgorithm:
    r"""FedOpt with Yogi on the server: `fedadam` with ``v <- v - (1 - b2) D^2 sign(v - D^2)``, ``D`` the displacement.

    Parameters
    ----------
    server_learning_rate, b1, b2, tau
        As for `fedadam`.
    loss_fn, **options
        As for `fedavg`.

    Returns
    -------
    FederatedAlgorithm

    Examples
    --------
    >>> from verax.federated import fedyogi
    >>> fedyogi(lambda w, x, y: (x @ w - y) ** 2, learning_rate=0.1).name.split("(")[0]
    'fedyogi'

    References
    ----------
    Reddi et al., "Adaptive Federated Optimization", ICLR 2021, Algorithm 2.
    """
    optimizer = _adaptive_optimizer("yogi", server_learning_rate, b1, b2, tau)
    name = f"fedyogi({server_learning_rate}, {b1}, {b2}, {tau})"
    return fedopt(loss_fn, server_optimizer=optimizer, name=name, **options)


def fedavgm(
    loss_fn: LossFn,
    *,
    server_learning_rate: float | int = 1.0,
    server_momentum: float = 0.9,
    **options: Unpack[FederatedOptions],
) -> FederatedAlgorithm:
    r"""FedOpt with momentum on the server: ``v <- rho v + D``, ``x <- x + eta v``, ``D`` the mean displacement.

    Parameters
    ----------
    server_learning_rate, server_momentum
        ``eta`` and ``rho``; 1 and 0 give FedAvg.
    loss_fn, **options
        As for `fedavg`.

    Returns
    -------
    FederatedAlgorithm

    Examples
    --------
    >>> from verax.federated import fedavgm
    >>> fedavgm(lambda w, x, y: (x @ w - y) ** 2, learning_rate=0.1).name.split("(")[0]
    'fedavgm'

    References
    ----------
    Hsu, Qi, Brown, "Measuring the Effects of Non-Identical Data Distribution for Federated Visual Classification",
    2019.
    """
    check_number("server_learning_rate", server_learning_rate, above=0.0)
    check_number("server_momentum", server_momentum, minimum=0.0, below=1.0)
    optimizer = _heavy_ball(float(server_learning_rate), float(server_momentum))
    return fedopt(
        loss_fn,
        server_optimizer=optimizer,
        name=f"fedavgm({server_learning_rate}, {server_momentum})",
        **options,
    )


# One object for each setting, so that equal algorithms are equal values.
_heavy_ball = functools.lru_cache(optax.sgd)


class _Moments(NamedTuple):
    first: Any
    second: Any


def _adaptive_optimizer(kind: str, rate: Any, b1: Any, b2: Any, tau: Any) -> optax.GradientTransformation:
    check_number("server_learning_rate", rate, above=0.0)
    check_number("b1", b1, minimum=0.0, below=1.0)
    check_number("b2", b2, minimum=0.0, below=1.0)
    check_number("tau", tau, above=0.0)
    return _adaptive(kind, float(rate), float(b1), float(b2), float(tau))


@functools.lru_cache
def _adaptive(kind: str, rate: float, b1: float, b2: float, tau: float) -> optax.GradientTransformation:
    """Adam or Yogi as in the paper; optax's own correct the bias, and start ``v`` elsewhere."""

    def init(params: PyTree) -> _Moments:
        return _Moments(jax.tree.map(jnp.zeros_like, params), jax.tree.map(lambda p: jnp.full_like(p, tau**2), params))

    def update(updates: PyTree, state: Any, params: PyTree | None = None) -> tuple[PyTree, Any]:
        del params
        first = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, state.first, updates)
        if kind == "adam":
            second = jax.tree.map(lambda v, g: b2 * v + (1 - b2) * g**2, state.second, updates)
        else:
            second = jax.tree.map(lambda v, g: v - (1 - b2) * g**2 * jnp.sign(v - g**2), state.second, updates)
        return jax.tree.map(lambda m, v: -rate * m / (jnp.sqrt(v) + tau), first, second), _Moments(first, second)

    return optax.GradientTransformation(init, update)
