"""SCAFFOLD: control variates that cancel the drift of clients."""

from typing import Any

import jax
import jax.numpy as jnp

from verax._errors import check, check_option
from verax._types import PyTree

from ._algorithm import FederatedAlgorithm, Reply, Work, check_round_options
from ._averaging import add_mean, describe, difference
from ._local import LossFn, check_number, local_options, local_sgd, step_mass


def scaffold(
    loss_fn: LossFn,
    *,
    learning_rate: float | int,
    server_learning_rate: float | int = 1.0,
    form: str = "delta",
    batch_size: int | None = None,
    local_epochs: int | None = None,
    local_steps: int | None = None,
    momentum: float | int = 0.0,
    weights: str = "num_examples",
    clients_per_round: int | None = None,
    non_finite: str = "refuse",
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
        "delta" or "textbook".
    loss_fn, learning_rate, batch_size, local_epochs, local_steps, momentum, weights, clients_per_round, non_finite
        As for `fedavg`. The delta form has to refuse a round with a non-finite client, and takes all clients.

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
    options = local_options(loss_fn, learning_rate, batch_size, local_epochs, local_steps, momentum)
    check_round_options(weights, clients_per_round, non_finite)
    check_number("server_learning_rate", server_learning_rate, above=0.0)
    check_option("form", form, ("delta", "textbook"))
    name = describe(
        "scaffold",
        options,
        form=form,
        server_learning_rate=server_learning_rate,
        weights=weights,
        clients_per_round=clients_per_round,
        non_finite=non_finite,
    )
    rate = options.learning_rate

    def displacement(start: PyTree, end: PyTree, mass: jax.Array) -> PyTree:
        """``(start - end) / (a eta)``, the mean corrected gradient along the way."""
        return jax.tree.map(lambda x, y: (x - y) / (mass.astype(x.dtype) * rate), start, end)

    if form == "delta":
        check(float(server_learning_rate) == 1.0, "server_learning_rate", server_learning_rate, "1 for form='delta'")
        check(clients_per_round is None, "clients_per_round", clients_per_round, "None for form='delta'")
        check(non_finite == "refuse", "non_finite", repr(non_finite), "'refuse' for form='delta'")

        def local_delta(sent: PyTree, mine: Any, data: Any, key: jax.Array, work: Work) -> Reply:
            control = jax.tree.map(jnp.add, mine["control"], displacement(sent, mine["model"], mine["mass"]))
            correction = jax.tree.map(jnp.negative, control)
            run = local_sgd(loss_fn, sent, data, key, options, correction=correction, unrolled=work.unrolled)
            mass = jnp.maximum(step_mass(run.num_steps, options.momentum), 1.0)
            return Reply(difference(run.params, sent), {"control": control, "model": run.params, "mass": mass}, run)

        return FederatedAlgorithm(
            name,
            options,
            local_delta,
            add_mean,
            # Before the first round the client's model is the server's, so that h stays zero.
            init_client=lambda params: {
                "control": jax.tree.map(jnp.zeros_like, params),
                "model": params,
                "mass": jnp.ones(()),
            },
            weights=weights,
            needs_equal_steps=True,
        )

    def local(sent: PyTree, mine: Any, data: Any, key: jax.Array, work: Work) -> Reply:
        correction = difference(sent["control"], mine)
        run = local_sgd(loss_fn, sent["model"], data, key, options, correction=correction, unrolled=work.unrolled)
        mass = jnp.maximum(step_mass(run.num_steps, options.momentum), 1.0)
        change = difference(displacement(sent["model"], run.params, mass), sent["control"])
        message = {"model": difference(run.params, sent["model"]), "control": change}
        return Reply(message, jax.tree.map(jnp.add, mine, change), run)

    def server_update(params: PyTree, server: Any, mean: Any, share: jax.Array) -> tuple[PyTree, Any]:
        params = jax.tree.map(lambda p, d: p + float(server_learning_rate) * d, params, mean["model"])
        return params, jax.tree.map(lambda c, d: c + share.astype(c.dtype) * d, server, mean["control"])

    zeros = lambda params: jax.tree.map(jnp.zeros_like, params)  # noqa: E731
    return FederatedAlgorithm(
        name,
        options,
        local,
        server_update,
        broadcast=lambda params, server: {"model": params, "control": server},
        init_server=zeros,
        init_client=zeros,
        weights=weights,
        clients_per_round=clients_per_round,
        non_finite=non_finite,
    )
