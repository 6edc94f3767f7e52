"""Runs of a policy in a market."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Bool, Float, Int

from verax import _native
from verax._arrays import to_array, to_key, to_number
from verax._errors import check, check_integer, is_traced
from verax._results import raise_if_failed, result
from verax._types import AnyArray
from verax.matching._assignment import solve_assignment
from verax.matching._market import Market, Outcome, check_market, matched_utility
from verax.matching._status import SENTENCES

from ._evaluate import instability_of_rounds
from ._match_ucb_native import match_ucb_native
from ._policy import Feedback, Policy, allowed_pairs
from ._preferences import log_term
from ._ucb import rounds_counted, tie_break

# Noise is drawn for so many rounds at a time: one call of the generator costs more than a round's numbers.
_BLOCK = 256


@result(SENTENCES)
class History(NamedTuple):
    """Outcome and quality of each round."""

    instability: Float[AnyArray, " horizon"]
    """Subset instability of the outcome among those present; with a fee, if leaving costs each agent the fee."""
    utility_gap: Float[AnyArray, " horizon"]
    """Total utility short of the best match of those present."""
    revenue: Float[AnyArray, " horizon"]
    """Revenue of the platform: minus the sum of transfers."""
    outcome: Outcome
    """Match ``[horizon, n]`` and transfers ``[horizon, n]`` and ``[horizon, m]``."""
    changed: Bool[AnyArray, " horizon"]
    """Whether match, transfers or the agents present differ from the round before."""
    status: Int[AnyArray, " horizon"]
    """:class:`Status` of the round's instability."""
    state: Any
    """State of the policy at the end."""

    raise_if_failed = raise_if_failed


def simulate(
    policy: Policy,
    market: Market,
    *,
    horizon: int,
    noise: float = 1.0,
    arrivals: Bool[AnyArray, "horizon k"] | None = None,
    implementation: str = "auto",
    key: jax.Array,
) -> History:
    r"""Let a policy learn a market from noisy utilities of the pairs it matches.

    .. math:: y_{a,t} = u_a(\mu_t(a)) + \sigma \epsilon_{a,t}, \qquad R_T = \sum_t I(\mu_t, \tau_t; u)

    Parameters
    ----------
    policy
        From :func:`match_ucb` or another; or three functions of your own.
    market
        True utilities ``[n, m]`` in [-1, 1], at least one agent per side.
    horizon
        Number of rounds T.
    noise
        Standard deviation of the Gaussian noise; the confidence sets are made for 1.
    arrivals
        ``[horizon, n + m]`` of bool, customers first: the agents present in each round; None for all.
    implementation
        ``"xla"``: one ``lax.scan``; ``"native"``: compiled rounds on a CPU, for :func:`match_ucb` with
        :class:`Unstructured` preferences, a price rule of :func:`solve_assignment`, and all agents present; ``"auto"``:
        native where that is possible. Both play the same rounds, up to rounding.
    key
        A ``jax.random.key``; ``vmap`` over keys (and markets) for many runs.

    Returns
    -------
    History
        Regret is ``history.instability.cumsum()``.

    Raises
    ------
    ValueError
        On utilities that are not ``[n, m]`` floating, empty, not finite or outside [-1, 1]; on a horizon below 1,
        negative noise, and arrivals of another shape or dtype; on ``"native"`` for what compiled code cannot play.
    RuntimeError
        If ``implementation="native"`` and native code is not in use; the message says why.

    Notes
    -----
    Policies that explore cost one :func:`solve_assignment` per round. Instability is
    evaluated afterwards, only in rounds where the outcome changed, in batched solves of at most 256 MiB; under ``vmap``
    one run after the other. Results that are not used cost nothing under ``jit``. Each call outside ``jit`` compiles
    anew.

    References
    ----------
    As :class:`Unstructured`.

    Examples
    --------
    >>> import jax
    >>> import numpy as np
    >>> from verax.matching import Unstructured, explore_then_commit, random_market, simulate
    >>> market = random_market(2, 2, key=jax.random.key(0))
    >>> policy = explore_then_commit(Unstructured(), horizon=60, plays=20)
    >>> history = simulate(policy, market, horizon=60, key=jax.random.key(1))
    >>> int(history.changed[40:].sum()), np.asarray(history.utility_gap[-1]).round(3).tolist()
    (1, 0.0)
    """
    customer, provider = _check_market(market)
    n, m = customer.shape
    check_integer("horizon", horizon, minimum=1)
    noise = to_number("noise", noise, "[0, inf)")
    implementation = _native.chosen(implementation)
    shape = (horizon, n + m)
    present = None if arrivals is None else to_array("arrivals", arrivals, shape=shape, dtype="bool")
    key = to_key("key", key)

    if policy.native is None or present is not None:
        need = "match_ucb with Unstructured preferences, all agents present"
        check(implementation != "native", "implementation", "'native'", need)
        implementation = "xla"

    truth = Market(customer, provider)
    state, outcomes = _run(policy, truth, horizon, noise, present, key, implementation)
    match, customer_transfer, provider_transfer = (jnp.asarray(part) for part in outcomes)
    changed = _changes(match, customer_transfer, provider_transfer, *(() if present is None else (present,)))
    # Leaving costs each agent the fee, as if each had received it.
    paid = Outcome(match, customer_transfer + policy.fee, provider_transfer + policy.fee)
    instability, status = instability_of_rounds(truth, paid, present, changed)
    total = sum(side.sum(-1) for side in jax.vmap(lambda x: matched_utility(customer, provider, x))(match))
    revenue = -customer_transfer.sum(-1) - provider_transfer.sum(-1)
    gap = _best(truth, present) - total
    return History(instability, gap, revenue, outcomes, changed, status, state)


def _run(
    policy: Policy,
    truth: Market,
    horizon: int,
    noise: float,
    present: jax.Array | None,
    key: jax.Array,
    implementation: str,
) -> tuple[Any, Outcome]:
    customer, provider = (jnp.asarray(utility) for utility in truth)
    n, m = customer.shape
    dtype = customer.dtype
    draws, choices = jax.random.split(key)

    def one_round(state: Any, inputs: tuple[jax.Array, jax.Array]) -> tuple[Any, Outcome]:
        shock, time = inputs
        here = None if present is None else present[jnp.minimum(time, horizon - 1)]
        outcome = policy.act(state, time, jax.random.fold_in(choices, time), here)
        match = jnp.asarray(outcome.match)
        seen = matched_utility(customer, provider, match)
        # The shock of an unmatched agent is not observed.
        matched = matched_utility(jnp.ones((n, m), dtype), jnp.ones((n, m), dtype), match)
        feedback = Feedback(seen[0] + shock[:n] * matched[0], seen[1] + shock[n:] * matched[1])
        learned = policy.update(state, time, outcome, feedback)
        within = time < horizon  # the last block is full, whatever the horizon
        return jax.tree.map(lambda new, old: jnp.where(within, new, old), learned, state), outcome

    def portable(state: Any, shocks: jax.Array, times: jax.Array) -> tuple[Any, Outcome]:
        return lax.scan(one_round, state, (shocks, times))

    def native(state: Any, shocks: jax.Array, times: jax.Array) -> tuple[Any, Outcome]:
        return _native_rounds(policy, truth, horizon, state, shocks, times)

    def block(state: Any, number: jax.Array) -> tuple[Any, Outcome]:
        shocks = noise * jax.random.normal(jax.random.fold_in(draws, number), (_BLOCK, n + m), dtype)
        times = number * _BLOCK + jnp.arange(_BLOCK, dtype=jnp.int32)
        if implementation == "auto":
            return lax.platform_dependent(state, shocks, times, cpu=native, default=portable)
        return (native if implementation == "native" else portable)(state, shocks, times)

    blocks = jnp.arange(-(-horizon // _BLOCK), dtype=jnp.int32)
    state, outcomes = lax.scan(block, policy.init(n, m, dtype), blocks)
    return state, jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:horizon], outcomes)


def _native_rounds(
    policy: Policy, truth: Market, horizon: int, state: Any, shocks: jax.Array, times: jax.Array
) -> tuple[Any, Outcome]:
    customer, provider = (jnp.asarray(utility) for utility in truth)
    n, m = customer.shape
    rounds = policy.native
    assert rounds is not None
    logarithm = log_term(n + m, rounds_counted(rounds.horizon, times), customer.dtype)
    tally, *outcome = match_ucb_native(
        customer,
        provider,
        jnp.asarray(tie_break(n, m), customer.dtype),
        shocks,
        jnp.broadcast_to(logarithm, times.shape),
        horizon - times[0],
        jnp.stack(state),
        scale=rounds.scale,
        fee=policy.fee,
        prices=rounds.prices,
    )
    return type(state)(*tally), Outcome(*outcome)


def _changes(*parts: jax.Array) -> jax.Array:
    """Whether any part differs from the round before; the first round is a change."""
    differ = [(part[1:] != part[:-1]).any(-1) for part in parts]
    first = jnp.ones(1, bool)
    return jnp.concatenate([first, jnp.stack(differ).any(0)])


def _best(truth: Market, present: jax.Array | None) -> jax.Array:
    weights = jnp.asarray(truth.customer_utility) + jnp.asarray(truth.provider_utility)
    if present is None:
        return jnp.asarray(solve_assignment(weights).value)
    n = weights.shape[0]

    def value(here: jax.Array) -> jax.Array:
        return jnp.asarray(solve_assignment(jnp.where(allowed_pairs(n, here), weights, -1)).value)

    return lax.map(value, present, batch_size=min(_BLOCK, present.shape[0]))


def _check_market(market: Market) -> tuple[jax.Array, jax.Array]:
    sides = check_market(market, known=True, single=True)
    for name, array in zip(("customer_utility", "provider_utility"), sides, strict=True):
        if not is_traced(array):
            with jax.ensure_compile_time_eval():
                largest = float(jnp.abs(array).max())
            check(largest <= 1 + 1e-5, f"market.{name}", f"{largest:g}", "utilities in [-1, 1]")
    return sides
