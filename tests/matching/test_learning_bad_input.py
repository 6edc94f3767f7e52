"""Learning: invalid arguments are answered with the argument's name, what came and what is needed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from verax.matching import (
    Market,
    SeparableLinear,
    Typed,
    Unstructured,
    epsilon_greedy,
    explore_then_commit,
    linear_market,
    match_ucb,
    minimax_market,
    random_arrivals,
    random_market,
    simulate,
    thompson,
    ucb_without_transfers,
)

pytestmark = pytest.mark.bad_input

PLAIN = Unstructured()
KEY = jax.random.key(0)
ZEROS = np.zeros((2, 2), np.float32)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: match_ucb(PLAIN, horizon=0), "horizon: got 0; need a number of rounds >= 1, or None"),
        (lambda: match_ucb(PLAIN, confidence_scale=0.0), "confidence_scale: got 0.0; need a number > 0"),
        (lambda: match_ucb(PLAIN, prices="fair"), "prices: got 'fair'; need one of 'any'"),
        (lambda: match_ucb(PLAIN, fee=-0.1), "fee: got -0.1; need a number >= 0"),
        (lambda: ucb_without_transfers(PLAIN, confidence_scale=-1), "confidence_scale: got -1"),
        (lambda: explore_then_commit(PLAIN, horizon=0), "horizon: got 0; need an integer >= 1"),
        (lambda: explore_then_commit(PLAIN, horizon=9, plays=0), "plays: got 0; need an integer >= 1"),
        (lambda: explore_then_commit(PLAIN, horizon=9, prices=None), "prices: got None"),
        (lambda: epsilon_greedy(PLAIN, exploration=0), "exploration: got 0; need a number > 0"),
        (lambda: thompson(PLAIN, prices=1), "prices: got 1"),
        (lambda: Typed([], [0]), "customer_types: got an empty array"),
        (lambda: Typed([0], [0.0, 0.5]), "provider_types: got 0.5 at"),
        (lambda: Typed([0, -1], [0]), r"customer_types: got -1 at \[1\]; need entries in"),
        (lambda: Typed([0], [0]).init(2, 1, "float32"), "customer_types: got 1 types; need one for each of 2 agents"),
        (lambda: SeparableLinear(np.zeros(3, np.float32), ZEROS), r"customer_contexts: got shape \(3,\)"),
        (lambda: SeparableLinear(ZEROS, np.zeros((2, 3), np.float32)), r"provider_contexts: got shape \(2, 3\)"),
        (lambda: SeparableLinear(ZEROS + 1, ZEROS), "customer_contexts: got a vector of length 1.414"),
        (lambda: SeparableLinear(ZEROS + np.nan, ZEROS), "customer_contexts: got 4 non-finite entries of 4"),
        (lambda: SeparableLinear(ZEROS, ZEROS).init(2, 1, "float32"), "provider_contexts: got 2 contexts"),
        (lambda: random_market(0, 1, key=KEY), "num_customers: got 0; need an integer >= 1"),
        (lambda: minimax_market(0, horizon=9.0, key=KEY), "num_customers: got 0"),
        (lambda: linear_market(1, 1, 0, key=KEY), "dimension: got 0"),
        (lambda: random_arrivals(2, 3, present=3, horizon=1, key=KEY), "present: got 3; need at most 2"),
        (lambda: random_arrivals(2, 3, present=1, horizon=0, key=KEY), "horizon: got 0"),
    ],
)
def test_constructors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("market", "options", "message"),
    [
        (Market(np.zeros((1, 2, 2), np.float32), ZEROS), {}, r"market.customer_utility: got shape \(1, 2, 2\)"),
        (
            Market(np.zeros((0, 2), np.float32), ZEROS),
            {},
            r"market.customer_utility: got an empty array of shape \(0, 2\)",
        ),
        (Market(ZEROS, ZEROS + np.inf), {}, "market.provider_utility: got inf at"),
        (Market(ZEROS, ZEROS - 1.5), {}, r"market.provider_utility: got 1.5; need utilities in \[-1, 1\]"),
        (Market(ZEROS, ZEROS[:1]), {}, r"market.provider_utility: got shape \(1, 2\); need shape \(2, 2\)"),
        (Market(ZEROS, ZEROS), {"horizon": 0}, "horizon: got 0; need an integer >= 1"),
        (Market(ZEROS, ZEROS), {"horizon": 2.0}, "horizon: got 2.0"),
        (Market(ZEROS, ZEROS), {"noise": -1.0}, r"noise: got -1.0; need one number in \[0, inf\)"),
        (Market(ZEROS, ZEROS), {"implementation": "gpu"}, "implementation: got 'gpu'; need one of 'auto'"),
        (Market(ZEROS, ZEROS), {"arrivals": np.ones((9, 3), bool)}, r"arrivals: got shape \(9, 3\)"),
    ],
)
def test_simulate(market, options, message):
    with pytest.raises(ValueError, match=message):
        simulate(match_ucb(PLAIN), market, **{"horizon": 9, "key": KEY} | options)


def test_arrivals_are_bool():
    with pytest.raises((ValueError, TypeError), match="arrivals"):
        simulate(match_ucb(PLAIN), Market(ZEROS, ZEROS), horizon=9, arrivals=jnp.full((9, 4), 0.5), key=KEY)
