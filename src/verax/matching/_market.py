"""Markets with transferable utility: outcomes, stability, instability."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from verax._arrays import same_dtype, to_array, to_number
from verax._errors import check, is_traced
from verax._results import raise_if_failed, result
from verax._types import AnyArray

from ._assignment import solve_assignment
from ._status import SENTENCES, Status

_SENTENCES = SENTENCES | {Status.NON_FINITE: "utilities or transfers hold NaN or infinities"}


@result()
class Market(NamedTuple):
    """Two-sided market; staying unmatched is worth 0."""

    customer_utility: Float[AnyArray, "*b n m"]
    """Utility of customer i from provider j."""
    provider_utility: Float[AnyArray, "*b n m"]
    """Utility of provider j from customer i."""


@result()
class Outcome(NamedTuple):
    """A match and its transfers."""

    match: Int[AnyArray, "*b n"]
    """Provider of each customer, -1 = unmatched."""
    customer_transfer: Float[AnyArray, "*b n"]
    """Amount each customer receives."""
    provider_transfer: Float[AnyArray, "*b m"]
    """Amount each provider receives."""


@result(_SENTENCES)
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

    raise_if_failed = raise_if_failed


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
        ``[*b]``, non-negative up to rounding; NaN where traced utilities are not finite.

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
    customer, provider = check_market(market, known=True)
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
        Utilities ``[*b, n, m]``.
    outcome
        ``match [*b, n]`` of integers and transfers ``[*b, n]`` and ``[*b, m]``. Transfers need not cancel.

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
    tolerance = to_number("tolerance", tolerance, "[0, inf)")
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


def check_market(market: Market, *, known: bool = False, single: bool = False) -> tuple[jax.Array, jax.Array]:
    """Return both utilities, floating ``[*b, n, m]`` of one dtype.

    ``known``: neither NaN nor plus infinity; ``single``: one market with at least one agent on each side.
    """
    given = isinstance(market, tuple | list) and len(market) == 2
    check(given, "market", type(market).__name__, "a Market(customer_utility, provider_utility)")
    within = "[-inf, inf)" if known else None
    shape = ("n", "m") if single else ("...", "n", "m")
    options: Any = {"shape": shape, "finite": False, "within": within, "empty": not single}
    names = ("market.customer_utility", "market.provider_utility")
    customer, provider = (to_array(name, side, **options) for name, side in zip(names, market, strict=True))
    check(
        provider.shape == customer.shape, names[1], f"shape {provider.shape}", f"shape {customer.shape}, as customers'"
    )
    customer, provider = same_dtype(customer, provider)
    return customer, provider


def check_outcome(outcome: Outcome, customer: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return match and transfers that fit the utilities."""
    *batch, n, m = customer.shape
    given = isinstance(outcome, tuple | list) and len(outcome) == 3
    check(given, "outcome", type(outcome).__name__, "an Outcome(match, customer_transfer, provider_transfer)")
    match = check_match("outcome.match", outcome[0], customer)
    transfers = []
    for name, x, shape in (("customer", outcome[1], (*batch, n)), ("provider", outcome[2], (*batch, m))):
        transfer = to_array(f"outcome.{name}_transfer", x, shape=shape, finite=False, empty=True)
        transfers.append(transfer.astype(customer.dtype))
    return match, transfers[0], transfers[1]


def check_match(argument: str, match: Any, customer: jax.Array) -> jax.Array:
    """Return the match, in which no provider stands twice as far as that can be seen."""
    *batch, n, m = customer.shape
    array = to_array(argument, match, shape=(*batch, n), dtype="integer", empty=True).astype(jnp.int32)
    if not is_traced(array):
        with jax.ensure_compile_time_eval():
            chosen = np.sort(np.asarray(array), axis=-1)
        inside = ((chosen >= -1) & (chosen < m)).all()
        once = not ((np.diff(chosen, axis=-1) == 0) & (chosen[..., 1:] >= 0)).any()
        check(bool(inside) and once, argument, "an index outside or twice", f"-1 or distinct columns below {m}")
    return array
