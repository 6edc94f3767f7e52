"""Policies, and the match with transfers that upper bounds on utilities give."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float

from verax._results import result
from verax._types import AnyArray
from verax.matching._market import Market, Outcome
from verax.matching._stable_outcome import compute_match


@result()
class Feedback(NamedTuple):
    """Utilities observed after a round, with noise; 0 for unmatched agents."""

    customer: Float[AnyArray, " n"]
    """Utility of each customer from its provider."""
    provider: Float[AnyArray, " m"]
    """Utility of each provider from its customer."""


class NativeRounds(NamedTuple):
    """Parameters with which compiled code plays a policy: MatchUCB with unstructured preferences."""

    scale: float
    prices: str
    horizon: Any


@result()
class Policy(NamedTuple):
    """A platform that matches, sets transfers and learns: three pure functions."""

    init: Callable[[int, int, Any], Any]
    """``init(num_customers, num_providers, dtype) -> state``, a pytree of arrays."""
    act: Callable[[Any, jax.Array, jax.Array, jax.Array | None], Outcome]
    """``act(state, time, key, present) -> Outcome``; ``time`` starts at 0, ``present [n + m]`` is None when all are."""
    update: Callable[[Any, jax.Array, Outcome, Feedback], Any]
    """``update(state, time, outcome, feedback) -> state``."""
    fee: float = 0.0
    """Cost to an agent of leaving the platform; instability is measured with this friction."""
    native: NativeRounds | None = None
    """How compiled code can play it, None where it cannot."""


def allowed_pairs(num_customers: int, present: jax.Array) -> jax.Array:
    """Pairs ``[n, m]`` of which both agents are present."""
    return present[:num_customers, None] & present[None, num_customers:]


def matched_outcome(
    upper: Market, present: jax.Array | None, *, prices: str, lower: Market | None = None, fee: float = 0.0
) -> Outcome:
    """:func:`compute_match` among the agents that are present."""
    n = jnp.shape(upper.customer_utility)[0]
    masks = (None, None) if present is None else (present[:n], present[n:])
    return compute_match(upper, lower=lower, prices=prices, fee=fee, row_mask=masks[0], column_mask=masks[1])


def pair_matrix(match: jax.Array, num_providers: int, dtype: Any) -> jax.Array:
    """The match as a matrix ``[n, m]`` of 0 and 1."""
    return (match[:, None] == jnp.arange(num_providers, dtype=match.dtype)).astype(dtype)


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
