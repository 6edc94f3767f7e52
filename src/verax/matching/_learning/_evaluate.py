"""Instability of all rounds of a run, after it, in batched solves of bounded memory."""

import functools

import jax
import jax.numpy as jnp
from jax import lax

from verax.matching._market import Market, Outcome, subset_instability

from ._policy import allowed_pairs

BUDGET = 256 * 2**20
"""Bytes that one batched solve may take."""

# Copies of the utilities that a solve holds at the same time, counted generously.
_COPIES = 12
# Few enough that rounds without a change cost little, many enough to keep all threads busy.
_LARGEST_BATCH = 1024


def rounds_per_solve(num_customers: int, num_providers: int, itemsize: int) -> int:
    """Rounds that fit the budget."""
    each = _COPIES * itemsize * num_customers * num_providers
    return max(1, min(_LARGEST_BATCH, BUDGET // each))


def instability_of_rounds(
    market: Market, outcome: Outcome, present: jax.Array | None, changed: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Instability and status ``[T]`` of the outcomes ``[T, ...]`` of one run in the market ``[n, m]``.

    Rounds that are not ``changed`` have the outcome, the agents and so the instability of the round before.
    """
    everyone = present is None
    if present is None:
        present = jnp.zeros((changed.shape[0], 0), bool)
    return _evaluate(everyone, *market, *outcome, present, changed)


@functools.partial(jax.jit, static_argnums=0)
def _evaluate(everyone: bool, *arrays: jax.Array) -> tuple[jax.Array, jax.Array]:
    # Under vmap the runs are evaluated one after the other, so that memory stays within the budget however many.
    return jax.custom_batching.sequential_vmap(functools.partial(_one_run, everyone))(*arrays)


def _one_run(
    everyone: bool,
    customer: jax.Array,
    provider: jax.Array,
    match: jax.Array,
    customer_transfer: jax.Array,
    provider_transfer: jax.Array,
    present: jax.Array,
    changed: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    n, m = customer.shape
    horizon = changed.shape[0]
    size = min(rounds_per_solve(n, m, customer.dtype.itemsize), horizon)
    slot = jnp.cumsum(changed, dtype=jnp.int32) - 1  # of the latest change
    rounds = jnp.nonzero(changed, size=horizon + size, fill_value=horizon - 1)[0].astype(jnp.int32)

    def solve(state: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array, jax.Array]:
        start, values, statuses = state
        at = lax.dynamic_slice(rounds, (start,), (size,))
        # Whoever is absent has nothing to gain from anybody.
        there = None if everyone else jax.vmap(functools.partial(allowed_pairs, n))(present[at])
        sides = [
            jnp.broadcast_to(u, (size, n, m)) if there is None else jnp.where(there, u, -1)
            for u in (customer, provider)
        ]
        result = subset_instability(
            Market(sides[0], sides[1]), Outcome(match[at], customer_transfer[at], provider_transfer[at])
        )
        return (
            start + size,
            lax.dynamic_update_slice(values, jnp.asarray(result.value), (start,)),
            lax.dynamic_update_slice(statuses, jnp.asarray(result.status), (start,)),
        )

    state = jnp.zeros((), jnp.int32), jnp.zeros(horizon + size, customer.dtype), jnp.zeros(horizon + size, jnp.int32)
    _, values, statuses = lax.while_loop(lambda s: s[0] <= slot[-1], solve, state)
    return values[slot], statuses[slot]
