"""Valid calls of verax.matching."""

import jax
import numpy as np

from support.border import call
from verax import matching as m

CUSTOMER = np.array([[0.5, 0.25, -0.5], [1, 0.75, 0.5]], np.float32)
PROVIDER = np.array([[0.25, -0.25, 1], [0.5, 0, -1]], np.float32)
WEIGHTS = np.array([[4.0, 1, 3], [2, 0, 5]], np.float32)
SOLVED = m.solve_assignment(WEIGHTS)
KEY = jax.random.key(0)
CACHED = {"policy": m.explore_then_commit(m.Unstructured(), horizon=4)}


def outcome_of(function):
    def run(customer_utility, provider_utility, match, customer_transfer, provider_transfer, market=None, outcome=None):
        outcome = m.Outcome(match, customer_transfer, provider_transfer)
        return function(m.Market(customer_utility, provider_utility), outcome)

    given = m.stable_outcome(m.Market(CUSTOMER, PROVIDER))
    return call(run, CUSTOMER, PROVIDER, *map(np.asarray, given), traceable=True)


def market_of(function, *more, traceable=True, **exempt):
    def run(customer_utility, provider_utility, match=None, market=None):
        market = m.Market(customer_utility, provider_utility)
        return function(market) if match is None else function(market, match)

    return call(run, CUSTOMER, PROVIDER, *more, traceable=traceable, exempt=exempt)


def warm(weights, warm_col_of_row, warm=None):
    start = SOLVED._replace(col_of_row=warm_col_of_row)
    return m.solve_assignment(weights, warm=start)


def simulate(customer_utility, provider_utility, arrivals, market=None):
    market = m.Market(customer_utility, provider_utility)
    return m.simulate(CACHED["policy"], market, horizon=4, arrivals=arrivals, key=KEY).instability


def typed(customer_types, provider_types):
    return m.Typed(customer_types, provider_types).init(3, 2, np.float32)


def linear(customer_contexts, provider_contexts):
    return m.SeparableLinear(customer_contexts, provider_contexts).init(2, 2, np.float32)


MASKS = {"row_mask": np.array([True, True]), "column_mask": np.array([True, False, True])}
ARRIVALS = np.array([[1, 1, 1, 0, 1], [1, 0, 1, 1, 1], [0, 1, 1, 1, 1], [1, 1, 1, 1, 0]], bool)

CALLS = {
    "verax.matching.solve_assignment": call(m.solve_assignment, WEIGHTS, traceable=True, **MASKS),
    "verax.matching.check_certificate": call(
        lambda weights: m.check_certificate(weights, SOLVED),
        WEIGHTS,
        traceable=True,
        # Prices are checked, not trusted: a bound of infinity is true of a forbidden pair.
        exempt={"weights": dict.fromkeys(("infinity", "minus infinity", "NaN", "all NaN"), "no certificate exists")},
    ),
    "verax.matching.linear_sum_assignment": call(
        m.linear_sum_assignment,
        WEIGHTS,
        # SciPy's contract, its exceptions and their texts included.
        exempt={
            "cost": dict.fromkeys(
                [
                    *("NaN", "all NaN", "infinity", "minus infinity", "text", "list of text", "objects", "complex"),
                    *("objects of another kind", "0-d", "another axis", "dates", "ragged", "string", "None", "masked"),
                    *("dictionary", "function", "class", "model", "sparse", "2**63"),
                ],
                "SciPy's own exceptions",
            )
        },
    ),
    "verax.matching.solve_transport": call(
        m.solve_transport,
        np.array([[0.0, 1], [0.25, 0.5], [1, 0]], np.float32),
        np.array([1.0, 1, 1], np.float32),
        np.array([0.5, 2.5], np.float32),
        traceable=True,
    ),
    "verax.matching.k_best_assignments": call(m.k_best_assignments, WEIGHTS, 3),
    "verax.matching.solve_many_to_one": call(m.solve_many_to_one, WEIGHTS, np.array([1, 0, 2])),
    "verax.matching.from_rankings": call(lambda: m.from_rankings([[0, 1], [0]], [[1, 0], [0, 1]])),
    "verax.matching.stable_outcome": market_of(m.stable_outcome),
    "verax.matching.compute_match": market_of(m.compute_match),
    "verax.matching.is_stable": outcome_of(m.is_stable),
    "verax.matching.utility_gap": outcome_of(m.utility_gap),
    "verax.matching.subset_instability": outcome_of(m.subset_instability),
    "verax.matching.deferred_acceptance": market_of(m.deferred_acceptance),
    "verax.matching.ntu_subset_instability": market_of(
        m.ntu_subset_instability, np.array([0, 2], np.int32), traceable=False
    ),
    "verax.matching.match_ucb": call(lambda: m.match_ucb(m.Unstructured(), horizon=10).fee),
    "verax.matching.ucb_without_transfers": call(lambda: m.ucb_without_transfers(m.Unstructured()).fee),
    "verax.matching.ntu_ucb": call(lambda: m.ntu_ucb(m.Unstructured()).fee),
    "verax.matching.explore_then_commit": call(lambda: m.explore_then_commit(m.Unstructured(), horizon=9).fee),
    "verax.matching.epsilon_greedy": call(lambda: m.epsilon_greedy(m.Unstructured()).fee),
    "verax.matching.thompson": call(lambda: m.thompson(m.Unstructured()).fee),
    "verax.matching.random_market": call(lambda: m.random_market(2, 2, key=KEY)),
    "verax.matching.minimax_market": call(lambda: m.minimax_market(2, horizon=10, key=KEY)),
    "verax.matching.linear_market": call(lambda: m.linear_market(2, 2, 2, key=KEY)[0]),
    "verax.matching.random_arrivals": call(lambda: m.random_arrivals(2, 2, present=1, horizon=2, key=KEY)),
    "verax.matching.typed_market": call(
        lambda customer_types, provider_types: m.typed_market(customer_types, provider_types, key=KEY),
        np.array([0, 1, 1]),
        np.array([1, 0]),
    ),
    "verax.matching.simulate": call(simulate, CUSTOMER, PROVIDER, ARRIVALS),
    "verax.matching.Typed": call(typed, np.array([0, 0, 1]), np.array([0, 1])),
    "verax.matching.SeparableLinear": call(linear, np.eye(2, dtype=np.float32), np.eye(2, dtype=np.float32) / 2),
    "verax.matching.solve_assignment (warm)": call(warm, WEIGHTS, np.array([0, 2], np.int32), traceable=True),
}
