import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from verax.online import ski_rental as sr

pytestmark = pytest.mark.double

GAMMAS = np.array([1.6, 1.8, 2.0, 3.0, 6.0])
GOLDEN = {
    5: [1.41515625, 1.3175, 1.246875, 1.1, 1.0],
    10: [1.491295125, 1.387398735, 1.3183235768, 1.156515775, 1.0444444444],
    100: [1.561486446, 1.4523832342, 1.379354428, 1.2103371714, 1.0884870604],
    1000: [1.5685421899, 1.4589446549, 1.3856012581, 1.2157873157, 1.0933828171],
    None: [1.5693268048, 1.4596743892, 1.3862943611, 1.2163953243, 1.0939293408],
}


@pytest.fixture
def tolerance(x64):
    return 2e-10 if x64 else 3e-5


@pytest.mark.parametrize("buy_cost", GOLDEN)
def test_golden_consistencies(buy_cost, tolerance):
    np.testing.assert_allclose(sr.consistency_lower_bound(GAMMAS, buy_cost), GOLDEN[buy_cost], atol=tolerance, rtol=0)


@pytest.mark.parametrize(("buy_cost", "value"), [(1, 1.0), (2, 4 / 3), (5, 1.4873869586), (100, 1.5773675301)])
def test_golden_minimum_robustness(buy_cost, value):
    assert sr.minimum_robustness(buy_cost) == pytest.approx(value, abs=1e-10)


@pytest.mark.parametrize("buy_cost", [1, 2, 5, 10])
def test_the_optimal_policy_attains_its_bound(buy_cost, tolerance):
    gammas = np.append(sr.minimum_robustness(buy_cost), GAMMAS)
    worst = sr.worst_case(sr.optimal_distribution(gammas, buy_cost), buy_cost)
    assert (np.asarray(worst.robustness) <= gammas * (1 + tolerance)).all()
    np.testing.assert_allclose(worst.consistency, sr.consistency_lower_bound(gammas, buy_cost), rtol=tolerance)


def test_the_limit_formula_is_no_bound_at_a_finite_price():
    assert sr.consistency_lower_bound(2.0, 10) < sr.consistency_lower_bound(2.0) - 0.05


def test_vertices_are_on_the_frontier_and_the_policies_of_the_source(tolerance):
    robustness, consistency = sr.frontier_vertices(10)
    np.testing.assert_allclose(consistency, sr.consistency_lower_bound(robustness, 10), rtol=tolerance)
    for k in range(1, 11):
        worst = sr.worst_case(sr.buy_distribution(None, 10, k / 10), 10)
        np.testing.assert_allclose(worst.robustness, robustness[k - 1], rtol=tolerance)
        np.testing.assert_allclose(worst.consistency, consistency[k - 1], rtol=tolerance)


def test_between_the_vertices_the_source_is_not_optimal():
    robustness, consistency = sr.frontier_vertices(10)
    middle = (robustness[4] + robustness[5]) / 2
    chord = (consistency[4] + consistency[5]) / 2
    assert sr.consistency_lower_bound(middle, 10) == pytest.approx(float(chord), rel=1e-5)  # a straight edge
    assert sr.consistency_lower_bound(middle, 10) < consistency[4] + 1e-9 or consistency[4] < consistency[5]


@pytest.mark.parametrize(("prediction", "lam"), list(itertools.product([2, 7, 30], [0.2, 0.3, 0.55, 1.0])))
def test_closed_form_of_the_randomized_policy(prediction, lam, tolerance):
    pmf = sr.buy_distribution(prediction, 7, lam) if lam * 7 >= 1 else None
    days = np.arange(1, pmf.shape[0] + 1)
    cost = sr.buy_distribution_cost(days, prediction, 7, lam)
    np.testing.assert_allclose(sr.expected_cost(pmf, 7), cost, rtol=10 * tolerance)


@pytest.mark.parametrize(("prediction", "support"), [(30, 5), (2, 20)])
def test_exact_robustness_and_consistency_of_the_randomized_policy(prediction, support, tolerance):
    worst = sr.worst_case(sr.buy_distribution(prediction, 10, 0.5), 10, prediction=prediction)
    mass = 1 - 0.9**support
    expected = (1 / mass, support / 10 / mass) if prediction >= 10 else (support / 10 / mass, 1 / mass)
    np.testing.assert_allclose((worst.robustness, worst.consistency), expected, rtol=10 * tolerance)


def test_expected_cost_is_the_definition(rng, tolerance):
    pmf, price = rng.dirichlet(np.ones(9), size=3), 4
    days = np.arange(1, 10)
    table = np.where(days[:, None] < days, days[:, None], days + price - 1)  # season x day
    np.testing.assert_allclose(sr.expected_cost(pmf, price), pmf @ table.T, rtol=10 * tolerance)
    np.testing.assert_array_equal(sr.buy_day_cost(days, days[:, None], price), table)
    worst = sr.worst_case(pmf, price)
    ratio = (pmf @ table.T) / np.minimum(days, price)
    np.testing.assert_allclose(worst.robustness, ratio.max(1), rtol=10 * tolerance)
    np.testing.assert_array_equal(worst.witness, ratio.argmax(1) + 1)


def test_the_deterministic_policy_keeps_its_guarantees():
    for price, lam in itertools.product([2, 10, 37], [0.1, 0.3, 0.5, 0.9, 1.0]):
        seasons = np.arange(1, 4 * price)
        predictions = np.array([1, price - 1, price, 3 * price])[:, None]
        day = sr.buy_day(predictions, price, lam)
        ratio = sr.buy_day_cost(day, seasons, price) / np.minimum(seasons, price)
        assert (np.asarray(ratio) <= 1 + 1 / lam + 1e-6).all()
        if price <= 10:
            right = sr.buy_day_cost(sr.buy_day(seasons, price, lam), seasons, price) / np.minimum(seasons, price)
            assert (np.asarray(right) <= 1 + lam + 1e-6).all()


@pytest.mark.parametrize(("lam", "buy_cost", "day"), [(0.3, 10, 3), (0.1, 30, 3), (0.7, 10, 7), (0.29, 100, 29)])
def test_whole_products_are_not_rounded_up(lam, buy_cost, day):
    assert sr.buy_day(10 * buy_cost, buy_cost, lam) == day
    assert int((np.asarray(sr.buy_distribution(None, buy_cost, lam)) > 0).sum()) == day


@pytest.mark.parametrize("buy_cost", [1, 2, 10, 300])
@pytest.mark.parametrize("gamma", [1.6, 2.0, 17.0])
def test_certificates_prove_the_bound(buy_cost, gamma, tolerance):
    certificate = sr.lower_bound_certificate(gamma, buy_cost)
    assert sr.verify(certificate) >= 0
    assert certificate.bound == pytest.approx(float(sr.consistency_lower_bound(gamma, buy_cost)), abs=10 * tolerance)


@pytest.mark.parametrize(
    "change",
    [
        lambda c: {"bound": c.bound + 1e-12},
        lambda c: {"weights": -c.weights},
        lambda c: {"weights": c.weights * np.nan},
        lambda c: {"weights": c.weights * 3},
        lambda c: {"robustness": c.robustness + 0.1},
        lambda c: {"bound": float("nan")},
        lambda c: {"buy_cost": 9},
    ],
)
def test_a_false_certificate_is_refused(change):
    certificate = sr.lower_bound_certificate(2.0, 10)
    with pytest.raises(ValueError, match="certificate"):
        sr.verify(dataclasses.replace(certificate, **change(certificate)))


def test_a_weaker_claim_leaves_slack():
    certificate = sr.lower_bound_certificate(2.0, 10)
    assert sr.verify(dataclasses.replace(certificate, bound=certificate.bound - 0.25)) == pytest.approx(0.25)


def test_a_price_so_large_that_powers_overflow(tolerance):
    price = 1_000_000
    np.testing.assert_allclose(
        sr.consistency_lower_bound(GAMMAS, price), sr.consistency_lower_bound(GAMMAS), rtol=10 * tolerance + 1e-6
    )
    assert np.isfinite(np.asarray(sr.frontier_vertices(100_000)[0])).all()


def test_calibrated_rule_jumps_at_four_fifths():
    day, bound = sr.calibrated_buy_day(np.array([0.0, 0.79, 0.81, 1.0]), 100)
    np.testing.assert_array_equal(day, [100, 100, 49, 1])
    assert float(bound[0]) == 1.0
    # The expected ratio of the rule, over seasons of the worst length for each outcome, stays below its bound.
    for v in np.linspace(0.01, 0.99, 33):
        day, bound = sr.calibrated_buy_day(v, 1000)
        tau = float(day) / 1000
        ratio = v * (1 + tau) + (1 - v) * (1 + 1 / tau if tau < 1 else 1)
        assert ratio <= float(bound) + 2e-3


def test_policies_transform(tolerance):
    gammas = jnp.asarray(GAMMAS, jnp.result_type(float))
    looped = jnp.stack([sr.optimal_distribution(g, 10) for g in gammas])
    np.testing.assert_allclose(jax.jit(sr.optimal_distribution, static_argnums=1)(gammas, 10), looped, atol=tolerance)
    np.testing.assert_allclose(jax.vmap(lambda g: sr.optimal_distribution(g, 10))(gammas), looped, atol=tolerance)
    traced = jax.jit(lambda y: sr.buy_distribution(y, 10, 0.5))
    np.testing.assert_allclose(traced(3), sr.buy_distribution(3, 10, 0.5), atol=tolerance)
    np.testing.assert_allclose(traced(30)[:10], sr.buy_distribution(30, 10, 0.5), atol=tolerance)
    slope = jax.grad(lambda g: sr.consistency_lower_bound(g, 10))(2.0)
    step = sr.consistency_lower_bound(np.array([1.99, 2.01]), 10)
    assert slope == pytest.approx(float(step[1] - step[0]) / 0.02, rel=2e-2)
