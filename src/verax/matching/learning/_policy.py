"""What a policy is, and how upper bounds on utilities become a match with transfers."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float

from verax._types import AnyArray
from verax.matching._assignment import solve_assignment
from verax.matching._market import Market, Outcome


class Feedback(NamedTuple):
    """Utilities seen after a round, with noise; 0 for agents that were not matched."""

    customer: Float[AnyArray, " n"]
    """What each customer got from its provider."""
    provider: Float[AnyArray, " m"]
    """What each provider got from its customer."""


class Policy(NamedTuple):
    """A platform that matches, sets transfers and learns: three pure functions."""

    init: Callable[[int, int, Any], Any]
    """``init(num_customers, num_providers, dtype) -> state``, a pytree of arrays."""
    act: Callable[[Any, jax.Array, jax.Array, jax.Array | None], Outcome]
    """``act(state, time, key, present) -> Outcome``; ``time`` starts at 0, ``present [n + m]`` is None when all are."""
    update: Callable[[Any, jax.Array, Outcome, Feedback], Any]
    """``update(state, time, outcome, feedback) -> state``."""
    fee: float = 0.0
    """What an agent loses by leaving the platform: instability is measured with this friction."""


def allowed_pairs(num_customers: int, present: jax.Array) -> jax.Array:
    """Pairs ``[n, m]`` of which both agents are present."""
    return present[:num_customers, None] & present[None, num_customers:]


def matched_outcome(
    values: Market,
    present: jax.Array | None,
    *,
    prices: str,
    basis: Market | None = None,
    fee: float = 0.0,
) -> Outcome:
    """Stable outcome of the market with these utilities.

    Transfers are the price less the utility of ``basis`` (``values`` itself where it is None), less the fee of matched
    agents.
    """
    weights = jnp.asarray(values.customer_utility) + jnp.asarray(values.provider_utility)
    if present is not None:
        weights = jnp.where(allowed_pairs(weights.shape[0], present), weights, -jnp.inf)
    solved = solve_assignment(weights, prices=prices)
    match, customer_of = jnp.asarray(solved.col_of_row), jnp.asarray(solved.row_of_col)
    got = received(values if basis is None else basis, match)
    return Outcome(
        match,
        solved.row_price - got[0] - jnp.where(match >= 0, fee, 0.0),
        solved.col_price - got[1] - jnp.where(customer_of >= 0, fee, 0.0),
    )


def pair_matrix(match: jax.Array, num_providers: int, dtype: Any) -> jax.Array:
    """The match as a matrix ``[n, m]`` of 0 and 1."""
    return (match[:, None] == jnp.arange(num_providers, dtype=match.dtype)).astype(dtype)


def received(market: Market, match: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Utility of each customer and of each provider from its partner."""
    customer, provider = (jnp.asarray(utility) for utility in market)
    pairs = pair_matrix(match, customer.shape[-1], customer.dtype)
    return (pairs * customer).sum(-1), (pairs * provider).sum(-2)


def unpaid(match: jax.Array, num_providers: int, dtype: Any) -> Outcome:
    """A match without transfers."""
    return Outcome(match, jnp.zeros(match.shape, dtype), jnp.zeros(num_providers, dtype))


def only_present(match: jax.Array, present: jax.Array | None, num_providers: int) -> jax.Array:
    """Dissolve pairs of which one agent is absent."""
    if present is None:
        return match
    n = match.shape[0]
    there = present[:n] & present[n + jnp.clip(match, 0, num_providers - 1)]
    return jnp.where(there, match, -1)
