"""Policies that explore without optimism."""

from typing import Any

import jax
import jax.numpy as jnp

from verax._errors import check, check_integer, check_option
from verax.matching._market import Outcome
from verax.matching._price_rules import PRICES

from ._policy import Feedback, Policy, matched_outcome, only_present, unpaid
from ._preferences import Preferences, learning


def explore_then_commit(
    preferences: Preferences, *, horizon: int, plays: int | None = None, prices: str = "midpoint"
) -> Policy:
    r"""Match every pair equally often, then keep the stable outcome of the averages.

    .. math:: h = \left\lceil \tfrac12 (T / \max(n, m))^{2/3} \right\rceil \text{ plays of each pair by default}

    Parameters
    ----------
    preferences
        As for :func:`match_ucb`.
    horizon
        Number of rounds T.
    plays
        Observations of each pair before the commitment; None for the formula, which gives regret of order T^(2/3).
    prices
        Price rule of :func:`solve_assignment`.

    Returns
    -------
    Policy
        For :func:`simulate`. Without transfers while it explores; pairs come in turns, so that with n = m all are
        matched in every round.

    Raises
    ------
    ValueError
        On a horizon or a number of plays below 1, and an unknown price rule.

    References
    ----------
    As :class:`Unstructured`.

    Examples
    --------
    >>> import jax
    >>> from verax.matching import Unstructured, explore_then_commit
    >>> policy = explore_then_commit(Unstructured(), horizon=100, plays=4)
    >>> state = policy.init(2, 2, "float32")
    >>> policy.act(state, jax.numpy.asarray(1), jax.random.key(0), None).match.tolist()
    [1, 0]
    """
    check_integer("horizon", horizon, minimum=1)
    if plays is not None:
        check_integer("plays", plays, minimum=1)
    check_option("prices", prices, PRICES)

    def rounds(n: int, m: int) -> int:
        larger = max(n, m)
        return larger * (int(-(-((horizon / larger) ** (2 / 3)) // 2)) if plays is None else plays)

    def init(n: int, m: int, dtype: Any) -> Any:
        return preferences.init(n, m, dtype), jnp.asarray(rounds(n, m), jnp.int32)

    def act(state: Any, time: jax.Array, _key: jax.Array, present: jax.Array | None) -> Outcome:
        beliefs, last = state
        values = preferences.mean(beliefs)
        settled = matched_outcome(values, present, prices=prices)
        n, m = jnp.shape(values.customer_utility)
        turn = (jnp.arange(n, dtype=jnp.int32) + time) % max(n, m)
        return _either(time < last, jnp.where(turn < m, turn, -1), settled, present)

    def update(state: Any, time: jax.Array, outcome: Outcome, feedback: Feedback) -> Any:
        beliefs, last = state
        learned = preferences.update(beliefs, outcome, feedback)
        return jax.tree.map(lambda new, old: jnp.where(time < last, new, old), learned, beliefs), last

    return Policy(init, act, update)


def epsilon_greedy(preferences: Preferences, *, exploration: float = 1.0, prices: str = "midpoint") -> Policy:
    r"""Match at random now and then, ever less often; otherwise the stable outcome of the averages.

    .. math:: \varepsilon_t = \min(1, c\, t^{-1/3})

    Parameters
    ----------
    preferences
        As for :func:`match_ucb`.
    exploration
        The constant c, positive.
    prices
        Price rule of :func:`solve_assignment`.

    Returns
    -------
    Policy
        For :func:`simulate`. Without transfers while it explores.

    Raises
    ------
    ValueError
        On a constant that is not positive, and an unknown price rule.

    References
    ----------
    As :class:`Unstructured`.

    Examples
    --------
    >>> import jax
    >>> from verax.matching import Unstructured, epsilon_greedy
    >>> policy = epsilon_greedy(Unstructured())
    >>> state = policy.init(2, 2, "float32")
    >>> policy.act(state, jax.numpy.asarray(0), jax.random.key(0), None).customer_transfer.tolist()
    [0.0, 0.0]
    """
    check(exploration > 0, "exploration", exploration, "a number > 0")
    check_option("prices", prices, PRICES)

    def act(state: Any, time: jax.Array, key: jax.Array, present: jax.Array | None) -> Outcome:
        values = preferences.mean(state)
        settled = matched_outcome(values, present, prices=prices)
        n, m = jnp.shape(values.customer_utility)
        coin, order = jax.random.split(key)
        drawn = jax.random.permutation(order, max(n, m))[:n].astype(jnp.int32)
        probability = exploration * (time + 1).astype(jnp.float32) ** (-1 / 3)
        return _either(
            jax.random.uniform(coin, dtype=jnp.float32) < probability, jnp.where(drawn < m, drawn, -1), settled, present
        )

    return Policy(preferences.init, act, learning(preferences))


def thompson(preferences: Preferences, *, prices: str = "midpoint") -> Policy:
    r"""Stable outcome of utilities drawn from their posterior.

    .. math:: u \sim \mathcal N\!\left(\tfrac{s}{n + 1}, \tfrac{1}{n + 1}\right), \quad
        s \text{ the sum of } n \text{ observations}

    Parameters
    ----------
    preferences
        As for :func:`match_ucb`.
    prices
        Price rule of :func:`solve_assignment`.

    Returns
    -------
    Policy
        For :func:`simulate`.

    Raises
    ------
    ValueError
        On an unknown price rule.

    Notes
    -----
    The argument for optimism does not cover it: no bound on its regret is known here.

    References
    ----------
    As :class:`Unstructured`.

    Examples
    --------
    >>> from verax.matching import Unstructured, thompson
    >>> thompson(Unstructured()).init(2, 3, "float32").plays.shape
    (2, 3)
    """
    check_option("prices", prices, PRICES)

    def act(state: Any, _time: jax.Array, key: jax.Array, present: jax.Array | None) -> Outcome:
        return matched_outcome(preferences.sample(state, key), present, prices=prices)

    return Policy(preferences.init, act, learning(preferences))


def _either(explore: jax.Array, match: jax.Array, settled: Outcome, present: jax.Array | None) -> Outcome:
    transfers = jnp.asarray(settled.provider_transfer)
    trial = unpaid(only_present(match, present, transfers.shape[-1]), transfers.shape[-1], transfers.dtype)
    return Outcome(*(jnp.where(explore, a, b) for a, b in zip(trial, settled, strict=True)))
