"""Optimism: match as if utilities were at the upper ends of their confidence sets."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from verax._errors import check, check_option, is_traced
from verax.matching._market import Market, Outcome
from verax.matching._price_rules import PRICES
from verax.matching._stable_outcome import MARKET_PRICES
from verax.matching._without_transfers import deferred_acceptance

from ._policy import NativeRounds, Policy, allowed_pairs, matched_outcome, unpaid
from ._preferences import Confidence, Preferences, Unstructured, learning

# Clipped at 1, the upper ends of pairs that are hardly known all tie, and then the match depends on how a solver breaks
# ties. A fixed pattern raises each by up to this share of its half-width: still an upper bound, and one best match.
TIE_BREAK = 1e-3


def match_ucb(
    preferences: Preferences,
    *,
    horizon: Any = None,
    confidence_scale: float = 2.0,
    prices: str = "midpoint",
    fee: float = 0.0,
) -> Policy:
    r"""Learn a stable outcome by optimism: the stable outcome of the upper confidence bounds.

    .. math:: \tau_a = p_a - u_a^{\mathrm{UCB}}(\mu(a)), \qquad I(\mu, \tau) \le \sum_{a \text{ matched}}
        \left(u_a^{\mathrm{UCB}} - u_a\right)(\mu(a))

    where the match and the prices p solve the assignment problem of the upper bounds. Regret, the instability summed
    over rounds, is of order :math:`N^{3/2} \sqrt{T \log(N T)}` for unstructured preferences.

    Parameters
    ----------
    preferences
        :class:`Unstructured`, :class:`Typed` or :class:`SeparableLinear`.
    horizon
        Number of rounds in the logarithm of the confidence sets. None: the round so far, an anytime variant.
    confidence_scale
        8 is the paper's, 2 the smallest that is valid for every horizon, 1 a heuristic that learns faster.
    prices
        Price rule of :func:`compute_match`.
    fee
        Of search frictions, as for :func:`compute_match`.

    Returns
    -------
    Policy
        For :func:`simulate`.

    Raises
    ------
    ValueError
        On a horizon below 1, a confidence scale that is not positive, an unknown price rule or a negative fee.

    Notes
    -----
    A round costs one :func:`compute_match`. Ties among clipped upper bounds are broken by a fixed pattern of at most
    a thousandth of each half-width, so that every solver finds the same match.

    References
    ----------
    As :class:`Unstructured`.

    Examples
    --------
    >>> import jax
    >>> from verax.matching import Unstructured, match_ucb, random_market, simulate
    >>> market = random_market(2, 2, key=jax.random.key(0))
    >>> policy = match_ucb(Unstructured(), horizon=64, confidence_scale=1.0)
    >>> history = simulate(policy, market, horizon=64, key=jax.random.key(1))
    >>> bool(history.instability[-16:].mean() < history.instability[:16].mean())
    True
    """
    check_option("prices", prices, MARKET_PRICES)
    check(fee >= 0, "fee", fee, "a number >= 0")
    optimistic = _optimist(preferences, horizon, confidence_scale)

    def act(state: Any, time: jax.Array, _key: jax.Array, present: jax.Array | None) -> Outcome:
        lower, upper = optimistic(state, time)
        return matched_outcome(upper, present, prices=prices, lower=lower, fee=fee)

    native = None
    if isinstance(preferences, Unstructured) and prices in PRICES:
        native = NativeRounds(float(confidence_scale), prices, horizon)
    return Policy(preferences.init, act, learning(preferences), fee, native)


def ucb_without_transfers(preferences: Preferences, *, horizon: Any = None, confidence_scale: float = 2.0) -> Policy:
    r"""Match as :func:`match_ucb` does, and pay nothing: what learning is worth without transfers.

    .. math:: \tau_a = 0

    Parameters
    ----------
    preferences, horizon, confidence_scale
        As for :func:`match_ucb`.

    Returns
    -------
    Policy
        For :func:`simulate`. The match becomes optimal, the outcome in general does not become stable.

    Raises
    ------
    ValueError
        As :func:`match_ucb`.

    References
    ----------
    As :class:`Unstructured`.

    Examples
    --------
    >>> from verax.matching import Unstructured, ucb_without_transfers
    >>> ucb_without_transfers(Unstructured(), horizon=100).fee
    0.0
    """
    optimistic = _optimist(preferences, horizon, confidence_scale)

    def act(state: Any, time: jax.Array, _key: jax.Array, present: jax.Array | None) -> Outcome:
        _, upper = optimistic(state, time)
        outcome = matched_outcome(upper, present, prices="any")
        provider = jnp.asarray(outcome.provider_transfer)
        return unpaid(jnp.asarray(outcome.match), provider.shape[-1], provider.dtype)

    return Policy(preferences.init, act, learning(preferences))


def ntu_ucb(preferences: Preferences, *, horizon: Any = None, confidence_scale: float = 2.0) -> Policy:
    r"""Learn a stable match where agents cannot pay one another: deferred acceptance on the upper bounds.

    .. math:: \sum_t I_{\mathrm{NTU}}(\mu_t) \le \sum_t \sum_{a \text{ matched}}
        \left(u_a^{\mathrm{UCB}} - u_a\right)(\mu_t(a))

    Parameters
    ----------
    preferences, horizon, confidence_scale
        As for :func:`match_ucb`.

    Returns
    -------
    Policy
        For :func:`simulate`, whose instability is that with transfers; that without them is
        ``ntu_subset_instability(market, match)`` of the rounds' matches.

    Raises
    ------
    ValueError
        As :func:`match_ucb`.

    References
    ----------
    As :class:`Unstructured`; L. T. Liu, H. Mania, M. I. Jordan, "Competing bandits in matching markets", AISTATS 2020,
    for the algorithm. The bound follows from the definition of :func:`ntu_subset_instability`.

    Examples
    --------
    >>> from verax.matching import Unstructured, ntu_ucb
    >>> ntu_ucb(Unstructured(), horizon=100).fee
    0.0
    """
    optimistic = _optimist(preferences, horizon, confidence_scale)

    def act(state: Any, time: jax.Array, _key: jax.Array, present: jax.Array | None) -> Outcome:
        _, upper = optimistic(state, time)
        n, m = jnp.shape(upper.customer_utility)
        if present is not None:  # a negative utility is refused
            there = allowed_pairs(n, present)
            upper = Market(*(jnp.where(there, utility, -1) for utility in upper))
        return unpaid(jnp.asarray(deferred_acceptance(upper)), m, jnp.asarray(upper.customer_utility).dtype)

    return Policy(preferences.init, act, learning(preferences))


def _optimist(preferences: Preferences, horizon: Any, scale: float) -> Any:
    if horizon is not None and not is_traced(horizon):
        check(bool(np.ndim(horizon) == 0 and horizon >= 1), "horizon", horizon, "a number of rounds >= 1, or None")
    check(scale > 0, "confidence_scale", scale, "a number > 0")

    def optimistic(state: Any, time: jax.Array) -> Confidence:
        lower, upper = preferences.confidence(state, rounds_counted(horizon, time), scale)
        customer = jnp.asarray(upper.customer_utility)
        extra = tie_break(*customer.shape).astype(customer.dtype) * (customer - lower.customer_utility)
        return Confidence(lower, Market(customer + extra, upper.provider_utility))

    return optimistic


def rounds_counted(horizon: Any, time: jax.Array) -> Any:
    """Rounds over which the union bound of the confidence sets goes: the horizon, or those so far."""
    return time + 1 if horizon is None else horizon


def tie_break(num_customers: int, num_providers: int) -> np.ndarray:
    """Fixed share ``[n, m]`` of the width of each interval by which its upper end is raised."""
    return TIE_BREAK / 2 * np.random.default_rng(0).random((num_customers, num_providers))
