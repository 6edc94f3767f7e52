"""Rounds of MatchUCB by the compiled library."""

import jax
import numpy as np

from verax import _native
from verax.matching._price_rules import PRICES


def match_ucb_native(
    customer_utility: jax.Array,
    provider_utility: jax.Array,
    tie_break: jax.Array,
    shock: jax.Array,
    log_term: jax.Array,
    steps: jax.Array,
    tally: jax.Array,
    *,
    scale: float,
    fee: float,
    prices: str,
) -> tuple[jax.Array, ...]:
    """Play ``steps []`` rounds of MatchUCB, at most ``rounds``, all floating arrays of one dtype.

    ``customer_utility``, ``provider_utility`` and ``tie_break`` are ``[n, m]``, ``shock [rounds, n + m]``, ``log_term
    [rounds]``, ``tally [3, n, m]``. Returns ``(tally, match [rounds, n], customer_transfer, provider_transfer)``.
    """
    n = customer_utility.shape[0]
    customer, provider = (jax.typeof(part) for part in (shock[:, :n], shock[:, n:]))
    results = [jax.typeof(tally), customer.update(dtype=np.dtype(np.int32)), customer, provider]
    call = jax.ffi.ffi_call(_native.MATCH_UCB, results, vmap_method="broadcast_all")
    options = {"scale": np.float64(scale), "fee": np.float64(fee), "rule": np.int32(PRICES.index(prices))}
    return tuple(call(customer_utility, provider_utility, tie_break, shock, log_term, steps, tally, **options))
