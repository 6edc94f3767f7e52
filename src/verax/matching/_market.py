"""Markets with transferable utility: outcomes, stability, instability."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from verax._errors import check, check_floating, is_traced
from verax._types import AnyArray

from ._assignment import solve_assignment
from ._status import Status


class Market(NamedTuple):
    """Two-sided market; staying unmatched is worth 0."""

    customer_utility: Float[AnyArray, "*b n m"]
    """What customer i gets from provider j."""
    provider_utility: Float[AnyArray, "*b n m"]
    """What provider j gets from customer i."""


class Outcome(NamedTuple):
    """Who is matched to whom, and what is paid."""

    match: Int[AnyArray, "*b n"]
    """Provider of each customer, -1 = unmatched."""
    customer_transfer: Float[AnyArray, "*b n"]
    """Amount each customer receives."""
    provider_transfer: Float[AnyArray, "*b m"]
    """Amount each provider receives."""


class Instability(NamedTuple):
    """How far an outcome is from stable."""

    value: Float[AnyArray, "*b"]
    """Least total subsidy that makes the outcome stable; differentiable in utilities and transfers."""
    subsidy: Float[AnyArray, "*b k"]
    """Such a subsidy of each agent, customers first."""
    coalition: Bool[AnyArray, "*b k"]
    """Agents who together gain ``value`` by leaving, customers first."""
    status: Int[AnyArray, "*b"]
    """:class:`Status` of each market."""


def utility_gap(market: Market, outcome: Outcome) -> Float[AnyArray, "*b"]:
    r"""Total utility that the match of an outcome leaves on the table, whatever its transfers.

    .. math:: \max_{\mu'} \sum_a u_a(\mu'(a)) - \sum_a u_a(\mu(a))

    Parameters
    ----------
    market, outcome
        As for :func:`subset_instability`.

    Returns
    -------
    Array
        ``[*b]``, non-negative up to rounding; NaN where utilities are not finite.

    Raises
    ------
    ValueError
        As :func:`subset_instability`.

    Notes
    -----
    Cost of :func:`solve_assignment`.

    References
    ----------
    As :func:`stable_outcome`.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.matching import Market, Outcome, utility_gap
    >>> market = Market(np.array([[9.0, 12.0]], np.float32), np.array([[-5.0, -10.0]], np.float32))
    >>> outcome = Outcome(np.array([1]), np.array([-11.0], np.float32), np.array([0.0, 11.0], np.float32))
    >>> float(utility_gap(market, outcome))
    2.0
    """
    customer, provider = check_market(market)
    match, _, _ = check_outcome(outcome, customer)
    got_customer, got_provider = matched_utility(customer, provider, match)
    return solve_assignment(customer + provider).value - got_customer.sum(-1) - got_provider.sum(-1)


def subset_instability(market: Market, outcome: Outcome) -> Instability:
    r"""Largest gain that any coalition can make by leaving; equally, the least subsidy that makes an outcome stable.

    .. math:: I = \sum_a (-q_a)^+ + \max_{x} \sum_{ij} \left(w_{ij} - q_i^+ - q_j^+\right)^+ x_{ij}

    where q is net utility, transfers included, w the two utilities of a pair together, and x runs over matchings: one
    assignment problem, in place of a linear programme.

    Parameters
    ----------
    market
        Utilities ``[*b, n, m]``, both of one dtype, float32 or float64.
    outcome
        ``match [*b, n]`` of integers and transfers ``[*b, n]`` and ``[*b, m]`` in the dtype of the utilities. Transfers
        need not cancel.

    Returns
    -------
    Instability
        0 exactly for stable outcomes, up to rounding. NaN, with ``Status.NON_FINITE``, where anything is not finite.

    Raises
    ------
    ValueError
        On shapes and dtypes that do not fit, and on a concrete match with an index outside -1..m-1 or a provider
        matched twice (under ``jit`` these cannot be seen).

    Notes
    -----
    Cost of :func:`solve_assignment`. The gradient is that of the worst coalition: by the transfer of an agent it is
    -1 for its members and 0 for others.

    References
    ----------
    As :func:`stable_outcome`, which defines the measure; the closed form is derived here from its linear programme.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.matching import Market, Outcome, subset_instability
    >>> market = Market(np.array([[9.0, 12.0]], np.float32), np.array([[-5.0, -10.0]], np.float32))
    >>> outcome = Outcome(np.array([1]), np.array([-11.0], np.float32), np.array([0.0, 11.0], np.float32))
    >>> instability = subset_instability(market, outcome)
    >>> float(instability.value), instability.coalition.tolist()
    (3.0, [True, True, False])
    """
    customer, provider = check_market(market)
    match, customer_transfer, provider_transfer = check_outcome(outcome, customer)
    got_customer, got_provider = matched_utility(customer, provider, match)
    net_customer, net_provider = got_customer + customer_transfer, got_provider + provider_transfer
    loss_customer, loss_provider = (jnp.where(q < 0, -q, 0) for q in (net_customer, net_provider))
    gain_customer, gain_provider = (jnp.where(q < 0, 0, q) for q in (net_customer, net_provider))
    residual = customer + provider - gain_customer[..., :, None] - gain_provider[..., None, :]
    solved = solve_assignment(residual)

    net = jnp.concatenate([net_customer, net_provider], -1)
    finite = jnp.isfinite(net).all(-1) & jnp.isfinite(residual).all((-1, -2))
    status = jnp.where(finite, solved.status, Status.NON_FINITE).astype(jnp.int32)
    loss = jnp.concatenate([loss_customer, loss_provider], -1)
    nan = jnp.where(status == Status.OK, 0, np.nan).astype(net.dtype)
    value = loss.sum(-1) + solved.value + nan
    subsidy = loss + jnp.concatenate([solved.row_price, solved.col_price], -1) + nan[..., None]

    n, m = residual.shape[-2:]
    if n == 0 or m == 0:
        return Instability(value, subsidy, net < 0, status)
    leave_customer = _at(residual, jnp.asarray(solved.col_of_row)) > 0
    leave_provider = _at(jnp.swapaxes(residual, -1, -2), jnp.asarray(solved.row_of_col)) > 0
    coalition = (net < 0) | jnp.concatenate([leave_customer, leave_provider], -1)
    return Instability(value, subsidy, coalition & (status == Status.OK)[..., None], status)


def is_stable(market: Market, outcome: Outcome, *, tolerance: float = 1e-6) -> Bool[AnyArray, "*b"]:
    r"""Whether no agent and no pair can gain more than a tolerance by leaving.

    .. math:: q_a \ge -\text{tolerance}, \qquad q_i + q_j \ge w_{ij} - \text{tolerance}

    Parameters
    ----------
    market, outcome
        As for :func:`subset_instability`.
    tolerance
        In units of utility, at least 0.

    Returns
    -------
    Array
        ``[*b]`` of bool; False where anything is NaN.

    Raises
    ------
    ValueError
        As :func:`subset_instability`, and on a negative tolerance.

    Notes
    -----
    O(n m): no assignment problem is solved.

    References
    ----------
    As :func:`stable_outcome`.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.matching import Market, is_stable, stable_outcome
    >>> market = Market(np.array([[9.0, 12.0]], np.float32), np.array([[-5.0, -10.0]], np.float32))
    >>> bool(is_stable(market, stable_outcome(market)))
    True
    """
    check(tolerance >= 0, "tolerance", tolerance, "a number >= 0")
    customer, provider = check_market(market)
    match, customer_transfer, provider_transfer = check_outcome(outcome, customer)
    got_customer, got_provider = matched_utility(customer, provider, match)
    net_customer, net_provider = got_customer + customer_transfer, got_provider + provider_transfer
    pairs = net_customer[..., :, None] + net_provider[..., None, :] >= customer + provider - tolerance
    return pairs.all((-1, -2)) & (net_customer >= -tolerance).all(-1) & (net_provider >= -tolerance).all(-1)


def _at(x: jax.Array, index: jax.Array) -> jax.Array:
    """``x[..., i, index[i]]``, and 0 where the index is -1."""
    if x.shape[-1] == 0:
        return jnp.zeros(index.shape, x.dtype)
    return jnp.where(index >= 0, jnp.take_along_axis(x, jnp.maximum(index, 0)[..., None], axis=-1)[..., 0], 0)


def matched_utility(customer: jax.Array, provider: jax.Array, match: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Utility of each customer and of each provider from its partner, 0 without one."""
    chosen = match[..., None] == jnp.arange(customer.shape[-1], dtype=match.dtype)
    return _at(customer, match), jnp.where(chosen, provider, 0).sum(-2)


def check_market(market: Market) -> tuple[jax.Array, jax.Array]:
    """Return both utilities, floating ``[*b, n, m]`` of one dtype."""
    customer, provider = (jnp.asarray(utility) for utility in market)
    check_floating("market.customer_utility", customer)
    check(customer.ndim >= 2, "market.customer_utility", f"shape {customer.shape}", "[..., n, m]")
    got, need = f"{provider.dtype} {provider.shape}", f"{customer.dtype} {customer.shape}, as customer_utility"
    check(got == f"{customer.dtype} {customer.shape}", "market.provider_utility", got, need)
    return customer, provider


def check_outcome(outcome: Outcome, customer: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return match and transfers that fit the utilities."""
    *batch, n, m = customer.shape
    match, customer_transfer, provider_transfer = (jnp.asarray(field) for field in outcome)
    check(jnp.issubdtype(match.dtype, jnp.signedinteger), "outcome.match", f"dtype {match.dtype}", "signed integers")
    for name, x, shape in (
        ("match", match, (*batch, n)),
        ("customer_transfer", customer_transfer, (*batch, n)),
        ("provider_transfer", provider_transfer, (*batch, m)),
    ):
        check(x.shape == shape, f"outcome.{name}", f"shape {x.shape}", f"shape {shape}")
        if name != "match":
            check(x.dtype == customer.dtype, f"outcome.{name}", f"dtype {x.dtype}", f"{customer.dtype}")
    if not is_traced(match):
        with jax.ensure_compile_time_eval():
            chosen = np.sort(np.asarray(match), axis=-1)
        inside = ((chosen >= -1) & (chosen < m)).all()
        once = not ((np.diff(chosen, axis=-1) == 0) & (chosen[..., 1:] >= 0)).any()
        check(bool(inside) and once, "outcome.match", "an index outside or twice", f"-1 or distinct columns below {m}")
    return match, customer_transfer, provider_transfer
