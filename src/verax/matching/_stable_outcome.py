"""From utilities, or bounds on them, to a match with transfers."""

import jax.numpy as jnp
from jaxtyping import Bool

from verax._arrays import to_number
from verax._errors import check, check_option
from verax._types import AnyArray

from ._assignment import solve_assignment
from ._market import Market, Outcome, check_market, matched_utility
from ._masks import Masks, forbid
from ._price_rules import PRICES
from ._width_slack import width_slack

MARKET_PRICES = (*PRICES, "width_slack")
"""Price rules of markets whose utilities are known within intervals."""


def stable_outcome(market: Market, *, prices: str = "midpoint") -> Outcome:
    r"""Match customers and providers for maximal total utility, with transfers that make the outcome stable.

    .. math:: \tau_a = p_a - u_a(\mu(a))

    with optimal dual prices p of the assignment problem with weights ``customer_utility + provider_utility``.

    Parameters
    ----------
    market
        Utilities ``[*b, n, m]``; minus infinity forbids a pair.
    prices
        ``"any"``, ``"row_optimal"`` (best for every customer), ``"column_optimal"`` (for every provider) or
        ``"midpoint"`` of these two.

    Returns
    -------
    Outcome
        Transfers cancel within each pair and are 0 for unmatched agents. Where traced utilities are NaN or plus
        infinity, nothing is matched and transfers are NaN.

    Raises
    ------
    ValueError
        On utilities of unequal shape, concrete ones that are NaN or plus infinity, and an unknown price rule.

    Notes
    -----
    Cost of :func:`solve_assignment`.

    References
    ----------
    M. Jagadeesan, A. Wei, Y. Wang, M. I. Jordan, J. Steinhardt, "Learning equilibria in matching markets from bandit
    feedback", NeurIPS 2021. L. S. Shapley and M. Shubik, "The assignment game I: the core" (1971).

    Examples
    --------
    >>> import numpy as np
    >>> from verax.matching import Market, stable_outcome
    >>> market = Market(np.array([[9.0, 12.0]], np.float32), np.array([[-5.0, -10.0]], np.float32))
    >>> outcome = stable_outcome(market)
    >>> outcome.match.tolist(), outcome.customer_transfer.tolist(), outcome.provider_transfer.tolist()
    ([0], [-6.0], [6.0, 0.0])
    """
    check_option("prices", prices, PRICES)
    return compute_match(market, prices=prices)


def compute_match(
    upper: Market,
    *,
    lower: Market | None = None,
    prices: str = "midpoint",
    fee: float = 0.0,
    row_mask: Bool[AnyArray, "*b n"] | None = None,
    column_mask: Bool[AnyArray, "*b m"] | None = None,
) -> Outcome:
    r"""Stable outcome of the upper bounds on utilities, the paper's ComputeMatch.

    .. math:: \tau_a = p_a - u_a^{\mathrm{UCB}}(\mu(a)), \qquad
        I(\mu, \tau) \le \sum_{a \text{ matched}} \left(u_a^{\mathrm{UCB}} - u_a\right)(\mu(a))

    Parameters
    ----------
    upper
        Upper ends of the intervals that hold the utilities, ``[*b, n, m]``.
    lower
        Their lower ends. Needed for a fee and for ``"width_slack"``.
    prices
        A rule of :func:`solve_assignment`, or ``"width_slack"``: prices for which the constraints of stability have the
        largest total slack, each counted up to the width of the intervals that could use it up.
    fee
        With search frictions, where leaving costs each agent this much: matched agents pay it, and are paid the width
        of their interval, which keeps the outcome stable up to the fee:
        :math:`\tau_a = p_a - u_a^{\mathrm{LCB}}(\mu(a)) - \text{fee}`. 0 means no frictions: transfers cancel.
    row_mask, column_mask
        Customers and providers that are present; None: all.

    Returns
    -------
    Outcome
        As :func:`stable_outcome` of ``upper``.

    Raises
    ------
    ValueError
        As :func:`stable_outcome`; on a negative fee; where ``lower`` is needed and missing.

    Notes
    -----
    Cost of :func:`solve_assignment`. ``"width_slack"`` solves a linear programme of n + n m variables per problem,
    on the host.

    References
    ----------
    M. Jagadeesan, A. Wei, Y. Wang, M. I. Jordan, J. Steinhardt, "Learning equilibria in matching markets from bandit
    feedback", NeurIPS 2021. The fee and the rule ``"width_slack"`` are derived here.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.matching import Market, compute_match
    >>> upper = Market(np.array([[1.0, 0.5]], np.float32), np.array([[0.2, 1.0]], np.float32))
    >>> outcome = compute_match(upper)
    >>> outcome.match.tolist(), round(float(outcome.customer_transfer[0]), 3)
    ([1], 0.85)
    """
    check_option("prices", prices, MARKET_PRICES)
    fee = to_number("fee", fee, "[0, inf)")
    needed = bool(fee) or prices == "width_slack"
    check(lower is not None or not needed, "lower", None, "lower ends, for a fee and for 'width_slack'")
    customer, provider = check_market(upper, known=True)
    slack = prices == "width_slack"
    solved = solve_assignment(
        customer + provider, row_mask=row_mask, column_mask=column_mask, prices="midpoint" if slack else prices
    )
    match, customer_of = jnp.asarray(solved.col_of_row), jnp.asarray(solved.row_of_col)
    got = matched_utility(customer, provider, match)
    row_price, col_price = solved.row_price, solved.col_price
    basis = got
    if lower is not None and needed:
        low = matched_utility(*check_market(lower), match)
        basis = low if fee else got
        if slack:
            masks = Masks(*(None if mask is None else jnp.asarray(mask) for mask in (row_mask, column_mask)))
            weights = forbid(customer + provider, masks, maximize=True)
            widths = tuple(a - b for a, b in zip(got, low, strict=True))
            row_price, col_price = width_slack(weights, solved, *widths)
    return Outcome(
        match,
        row_price - basis[0] - jnp.where(match >= 0, fee, 0.0),
        col_price - basis[1] - jnp.where(customer_of >= 0, fee, 0.0),
    )
