"""SCAFFOLD: control variates that cancel the drift of clients."""

import dataclasses
from typing import Any, Unpack

import jax
import jax.numpy as jnp

from verax._errors import check, check_option
from verax._types import PyTree

from ._algorithm import FederatedAlgorithm
from ._averaging import add_mean, difference
from ._local import local_sgd, step_mass
from ._options import (
    FederatedOptions,
    LocalOptions,
    LossFn,
    check_gradient_descent,
    check_number,
    checked_options,
    describe,
)
from ._state import LocalRun, Reply, Task, Work


def scaffold(
    loss_fn: LossFn,
    *,
    server_learning_rate: float | int = 1.0,
    form: str = "auto",
    **options: Unpack[FederatedOptions],
) -> FederatedAlgorithm:
    r"""SCAFFOLD, option II: local gradients are corrected by ``c - c_i``.

    .. math::
        y \leftarrow y - \eta\,(\nabla f_i(y) + c - c_i), \qquad c_i^+ = c_i - c + \frac{x - y_i}{a_i \eta}, \qquad
        x^+ = x + \eta_s \sum_i \omega_i (y_i - x), \qquad c^+ = c + \sum_{i \in S} p_i (c_i^+ - c_i)

    with ``a_i`` the number of local steps (their total coefficient with momentum, as in `fednova`) and ``p_i`` the
    client's weight among all clients.

    The "delta" form keeps ``h_i = c_i - c`` on the client, which finds it from two models it has anyway,

    .. math:: h_i \leftarrow h_i + (x^r - y_i^{r-1}) / (a \eta)

    and makes the same iterates with the traffic of FedAvg, half that of the textbook. It needs full participation, a
    server learning rate of 1 and equal numbers of local steps.

    Parameters
    ----------
    server_learning_rate
        ``eta_s``; 1 for the delta form.
    form
        "delta", "textbook", or "auto": delta where the options allow it for any data (``local_steps``, or no
        ``batch_size``), textbook otherwise.
    loss_fn, **options
        As for `fedavg`, without ``optimizer``. The delta form has to refuse a round with a non-finite client, and takes
        all clients.

    Returns
    -------
    FederatedAlgorithm

    Raises
    ------
    ValueError
        For options out of range or that the form cannot serve; from ``round``, for unequal numbers of local steps in
        the delta form (visible outside of ``jit`` only).

    Notes
    -----
    On networks with strong label skew SCAFFOLD often fails; on convex problems its fixed point is the pooled minimum.

    Examples
    --------
    Two clients with different curvature. The pooled minimum is ``(1 * 1 + 9 * 3) / 10 = 2.8``; FedAvg stops short.

    >>> import jax, jax.numpy as jnp
    >>> from verax.federated import ClientData, fedavg, run, scaffold
    >>> loss_fn = lambda w, x, y: (x @ w - y) ** 2 / 2
    >>> x = jnp.array([[[1.0]], [[3.0]]])
    >>> clients = ClientData(x, jnp.array([[1.0], [9.0]]), jnp.ones((2, 1), bool))
    >>> for make in (fedavg, scaffold):
    ...     algorithm = make(loss_fn, learning_rate=0.1, local_steps=10)
    ...     params, _ = run(algorithm, jnp.zeros(1), clients, rounds=200, key=jax.random.key(0))
    ...     print(params.round(2))
    [2.21]
    [2.8]

    References
    ----------
    Karimireddy et al., "SCAFFOLD: Stochastic Controlled Averaging for Federated Learning", ICML 2020; the delta form is
    that of Mishchenko et al., "ProxSkip", ICML 2022, with regular communication.
    """
    local, aggregation = checked_options(loss_fn, options)
    check_gradient_descent(local, "scaffold")
    check_number("server_learning_rate", server_learning_rate, above=0.0)
    check_option("form", form, ("auto", "delta", "textbook"))
    rate = float(server_learning_rate)
    if form == "auto":
        possible = rate == 1 and aggregation.clients_per_round is None and aggregation.non_finite == "refuse"
        form = "delta" if possible and local.has_equal_steps else "textbook"
    name = describe("scaffold", local, aggregation, form=form, server_learning_rate=server_learning_rate)
    if form == "delta":
        check(rate == 1, "server_learning_rate", server_learning_rate, "1 for form='delta'")
        check(
            aggregation.clients_per_round is None,
            "clients_per_round",
            aggregation.clients_per_round,
            "None for form='delta'",
        )
        check(
            aggregation.non_finite == "refuse", "non_finite", repr(aggregation.non_finite), "'refuse' for form='delta'"
        )
        return FederatedAlgorithm(
            name,
            local,
            _DeltaClient(loss_fn, local),
            add_mean,
            init_client=_init_delta,
            aggregation=aggregation,
            needs_equal_steps=True,
        )
    return FederatedAlgorithm(
        name,
        local,
        _TextbookClient(loss_fn, local),
        _TextbookServer(rate),
        broadcast=_model_and_control,
        init_server=_zeros,
        init_client=_zeros,
        aggregation=aggregation,
    )


def _displacement(start: PyTree, end: PyTree, mass: jax.Array) -> PyTree:
    """``(start - end) / (a eta)``, the mean corrected gradient along the way."""
    return jax.tree.map(lambda x, y: (x - y) / mass.astype(x.dtype), start, end)


def _zeros(params: PyTree) -> PyTree:
    return jax.tree.map(jnp.zeros_like, params)


def _mass(options: LocalOptions, run: LocalRun, task: Task) -> jax.Array:
    """``a eta``."""
    mass = jnp.maximum(step_mass(run.num_steps, options.momentum), 1.0)
    return mass * jnp.asarray(options.rate(task.round), mass.dtype)


@dataclasses.dataclass(frozen=True)
class _DeltaClient:
    loss_fn: LossFn
    options: LocalOptions

    def __call__(self, sent: PyTree, mine: Any, task: Task, work: Work) -> Reply:
        control = jax.tree.map(jnp.add, mine["control"], _displacement(sent, mine["model"], mine["mass"]))
        correction = jax.tree.map(jnp.negative, control)
        run = local_sgd(self.loss_fn, sent, task, self.options, correction=correction, work=work)
        state = {"control": control, "model": run.params, "mass": _mass(self.options, run, task)}
        return Reply(difference(run.params, sent), state, run)


def _init_delta(params: PyTree) -> dict[str, Any]:
    # Before the first round the client's model is the server's, so that h stays zero.
    return {"control": _zeros(params), "model": params, "mass": jnp.ones(())}


@dataclasses.dataclass(frozen=True)
class _TextbookClient:
    loss_fn: LossFn
    options: LocalOptions

    def __call__(self, sent: PyTree, mine: Any, task: Task, work: Work) -> Reply:
        correction = difference(sent["control"], mine)
        run = local_sgd(self.loss_fn, sent["model"], task, self.options, correction=correction, work=work)
        moved = _displacement(sent["model"], run.params, _mass(self.options, run, task))
        change = difference(moved, sent["control"])
        message = {"model": difference(run.params, sent["model"]), "control": change}
        return Reply(message, jax.tree.map(jnp.add, mine, change), run)


def _model_and_control(params: PyTree, server: Any) -> dict[str, Any]:
    return {"model": params, "control": server}


@dataclasses.dataclass(frozen=True)
class _TextbookServer:
    learning_rate: float

    def __call__(self, params: PyTree, server: Any, mean: Any, share: jax.Array) -> tuple[PyTree, Any]:
        params = jax.tree.map(lambda p, d: p + self.learning_rate * d, params, mean["model"])
        return params, jax.tree.map(lambda c, d: c + share.astype(c.dtype) * d, server, mean["control"])
