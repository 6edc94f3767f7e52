"""Markets with transfers: instability against its definitions, price rules against marginal products."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from verax.matching import (
    Market,
    Outcome,
    Status,
    is_stable,
    solve_assignment,
    stable_outcome,
    subset_instability,
    utility_gap,
)

pytestmark = pytest.mark.double

SHAPES = [(3, 3), (2, 4)]


def random_market(shape, count, seed=0):
    rng = np.random.default_rng(seed)
    dtype = np.float64 if jax.config.jax_enable_x64 else np.float32
    n, m = shape
    market = Market(*(rng.uniform(-1, 1, (2, count, n, m)).astype(dtype)))
    match = np.stack([rng.permutation(max(n, m))[:n] for _ in range(count)])
    match = np.where((match < m) & (rng.uniform(size=match.shape) < 0.7), match, -1)
    transfers = [rng.uniform(-0.7, 0.7, (count, k)).astype(dtype) for k in shape]
    return market, Outcome(match, *transfers), 1e-12 if dtype == np.float64 else 3e-6


def net_utility(customer, provider, match, *transfers):
    q = np.concatenate(transfers).astype(np.float64)
    for i, j in enumerate(match):
        if j >= 0:
            q[i] += customer[i, j]
            q[len(match) + j] += provider[i, j]
    return q


def best_total(weights):
    row, col = scipy.optimize.linear_sum_assignment(np.maximum(weights, 0), maximize=True)
    return np.maximum(weights, 0)[row, col].sum()


@pytest.mark.costly
@pytest.mark.parametrize("shape", SHAPES)
def test_instability_is_the_linear_programme_and_the_worst_coalition(shape):
    market, outcome, tolerance = random_market(shape, 40)
    result = subset_instability(market, outcome)
    assert (np.asarray(result.status) == Status.OK).all()
    n, m = shape
    for k in range(40):
        weights = np.asarray(market[0][k] + market[1][k], np.float64)
        q = net_utility(market[0][k], market[1][k], *(field[k] for field in outcome))
        pairs = [(i, n + j) for i in range(n) for j in range(m)]
        rows = np.zeros((len(pairs), n + m))
        for r, (i, j) in enumerate(pairs):
            rows[r, [i, j]] = -1
        limits = np.array([q[i] + q[j] - weights[i, j - n] for i, j in pairs])
        programme = scipy.optimize.linprog(np.ones(n + m), rows, limits, bounds=[(max(0, -x), None) for x in q])
        gains = [
            best_total(weights[np.ix_(s[:n], s[n:])]) - q[s].sum()
            for s in (np.array(s, bool) for s in itertools.product([0, 1], repeat=n + m))
        ]
        np.testing.assert_allclose(result.value[k], programme.fun, atol=tolerance)
        np.testing.assert_allclose(result.value[k], max(gains), atol=tolerance)
        s = np.asarray(result.coalition[k])
        np.testing.assert_allclose(best_total(weights[np.ix_(s[:n], s[n:])]) - q[s].sum(), max(gains), atol=tolerance)
        subsidy = np.asarray(result.subsidy[k])
        assert (rows @ subsidy <= limits + tolerance).all()
        assert (q + subsidy >= -tolerance).all()
        np.testing.assert_allclose(subsidy.sum(), programme.fun, atol=tolerance)
    # The whole population is one coalition; it gains the utility gap, less what transfers pay in on balance.
    paid = outcome.customer_transfer.sum(-1) + outcome.provider_transfer.sum(-1)
    assert (np.asarray(result.value) >= np.asarray(utility_gap(market, outcome)) - paid - tolerance).all()


def test_gradient_by_transfers_is_the_worst_coalition():
    market, outcome, _ = random_market((3, 3), 40)

    def total(transfers):
        return subset_instability(market, Outcome(jnp.asarray(outcome.match), *transfers)).value.sum()

    gradient = jax.jit(jax.grad(total))((outcome.customer_transfer, outcome.provider_transfer))
    expected = -np.asarray(subset_instability(market, outcome).coalition, float)
    np.testing.assert_array_equal(np.concatenate(gradient, -1), expected)


@pytest.mark.parametrize("prices", ["any", "row_optimal", "column_optimal", "midpoint"])
@pytest.mark.parametrize("shape", SHAPES)
def test_stable_outcomes_are_stable(shape, prices):
    market, outcome, tolerance = random_market(shape, 40)
    stable = stable_outcome(market, prices=prices)
    assert np.asarray(is_stable(market, stable, tolerance=tolerance)).all()
    np.testing.assert_allclose(subset_instability(market, stable).value, 0, atol=tolerance * 10)
    assert not np.asarray(is_stable(market, outcome)).all()
    for k in range(40):
        partner = np.asarray(stable.match[k])
        paid = np.asarray(stable.provider_transfer[k]).copy()
        matched = partner >= 0
        paid[partner[matched]] += np.asarray(stable.customer_transfer[k])[matched]
        np.testing.assert_allclose(paid, 0, atol=tolerance)


@pytest.mark.costly
@pytest.mark.parametrize("implementation", ["native", "xla"])
@pytest.mark.parametrize("shape", SHAPES)
def test_extreme_prices_are_marginal_products(shape, implementation):
    market, _, tolerance = random_market(shape, 40, seed=1)
    weights = market[0] + market[1]
    n, m = shape
    rows = np.stack([[best_total(w) - best_total(np.delete(w, i, 0)) for i in range(n)] for w in weights])
    cols = np.stack([[best_total(w) - best_total(np.delete(w, j, 1)) for j in range(m)] for w in weights])
    low_rows = solve_assignment(weights, prices="column_optimal", implementation=implementation)
    low_cols = solve_assignment(weights, prices="row_optimal", implementation=implementation)
    middle = solve_assignment(weights, prices="midpoint", implementation=implementation)
    np.testing.assert_allclose(low_cols.row_price, rows, atol=tolerance)
    np.testing.assert_allclose(low_rows.col_price, cols, atol=tolerance)
    np.testing.assert_allclose(middle.row_price, (rows + low_rows.row_price) / 2, atol=tolerance)


@pytest.mark.costly
def test_a_market_that_is_not_finite_or_empty():
    market, outcome, _ = random_market((3, 3), 2)
    market[0][0, 1, 1] = np.nan
    result = subset_instability(market, outcome)
    assert np.asarray(result.status).tolist() == [Status.NON_FINITE, Status.OK]
    assert np.isnan(result.value[0])
    assert np.isfinite(result.value[1])
    assert not np.asarray(result.coalition[0]).any()
    empty = Market(np.zeros((0, 2), np.float32), np.zeros((0, 2), np.float32))
    alone = Outcome(np.zeros(0, int), np.zeros(0, np.float32), np.array([-1.0, 1.0], np.float32))
    assert float(subset_instability(empty, alone).value) == 1.0


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"match": np.array([0, 0])}, r"outcome\.match: got an index outside or twice"),
        ({"match": np.array([0, 2])}, r"outcome\.match: got an index outside or twice"),
        ({"match": np.array([0.0, 0.5])}, r"outcome\.match: got 0.5 at \[1\]; need whole numbers"),
        ({"customer_transfer": np.zeros(3, np.float32)}, r"outcome.customer_transfer: got shape \(3,\)"),
        ({"provider_transfer": ["a", "b"]}, r"outcome\.provider_transfer: got text"),
    ],
)
def test_outcomes_that_do_not_fit(changes, message):
    market = Market(np.eye(2, dtype=np.float32), np.eye(2, dtype=np.float32))
    outcome = Outcome(np.array([0, 1]), np.zeros(2, np.float32), np.zeros(2, np.float32))
    with pytest.raises(ValueError, match=message):
        subset_instability(market, outcome._replace(**changes))


@pytest.mark.bad_input
def test_markets_and_rules_that_do_not_fit():
    square = np.eye(2, dtype=np.float32)
    with pytest.raises(ValueError, match=r"market\.provider_utility: got shape \(1, 2\); need shape \(2, 2\)"):
        stable_outcome(Market(square, square[:1]))
    with pytest.raises(ValueError, match=r"market\.customer_utility: got nan at \[0, 1\]"):
        stable_outcome(Market(np.array([[0.0, np.nan]]), np.zeros((1, 2))))
    with pytest.raises(ValueError, match="prices: got 'low'"):
        stable_outcome(Market(square, square), prices="low")
    with pytest.raises(ValueError, match="prices: got 'midpoint'; need 'any'"):
        solve_assignment(square, prices="midpoint", allow_unmatched=False)
    with pytest.raises(ValueError, match="tolerance: got -1"):
        is_stable(Market(square, square), stable_outcome(Market(square, square)), tolerance=-1)
