"""Real prices, and predictions of which only the order or a comparison counts."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from verax.online import learning, scheduling, ski_rental

pytestmark = pytest.mark.double


@pytest.mark.bad_input  # values that no annotation of arrays names: without the run-time type checker
@pytest.mark.parametrize("price", [10, 10.0, np.float64(10), np.int64(10), jnp.int32(10), jnp.float32(10)])
def test_a_whole_price_in_any_type(price):
    assert int(ski_rental.buy_day(20, price, 0.5)) == 5
    assert ski_rental.frontier_vertices(price)[0].shape == (10,)
    assert ski_rental.optimal_cost(np.array([3, 30]), price).tolist() == [3, 10]
    assert ski_rental.optimal_cost(np.array([3, 30]), price).dtype == jnp.result_type(int)


@pytest.mark.bad_input  # values that no annotation of arrays names: without the run-time type checker
@pytest.mark.parametrize(("prediction", "day"), [(20, 6), (10.5, 6), (10.4, 21), (0, 21), (-3.5, 21), (np.inf, 6)])
def test_a_price_between_whole_days(prediction, day):
    assert int(ski_rental.buy_day(prediction, 10.5, 0.5)) == day
    assert float(ski_rental.optimal_cost(30, 10.5)) == 10.5
    assert float(ski_rental.buy_day_cost(3, 30, 10.5)) == 12.5
    policy = ski_rental.buy_distribution(prediction, 10.5, 0.5)
    np.testing.assert_allclose(policy.sum(), 1, rtol=1e-6)
    cost = ski_rental.expected_cost(policy, 10.5)
    days = np.arange(1, len(cost) + 1)
    by_hand = [
        sum(float(p) * (10.5 + j if j < x else x) for j, p in enumerate(np.asarray(policy))) for x in days.tolist()
    ]
    np.testing.assert_allclose(cost, by_hand, rtol=1e-5)
    np.testing.assert_allclose(ski_rental.buy_distribution_cost(days, prediction, 10.5, 0.5), cost, rtol=1e-5)
    worst = ski_rental.worst_case(policy, 10.5, prediction=max(1, int(min(prediction, 100))))
    np.testing.assert_allclose(worst.robustness, (np.array(by_hand) / np.minimum(days, 10.5)).max(), rtol=1e-5)


@pytest.mark.bad_input  # values that no annotation of arrays names: without the run-time type checker
@pytest.mark.parametrize(
    "far", [np.array([1e300, -1e300]), np.array([np.inf, -np.inf]), np.array([2**40, -(2**40)]), [2**40, -1], [10, 9.5]]
)
def test_a_prediction_counts_by_its_side_of_the_price_alone(far):
    days, near = np.array([30, 2]), np.array([10, 9])
    with jax.enable_x64(False):
        assert ski_rental.buy_day(far, 10, 0.5).tolist() == [5, 20]
        for function in (
            lambda y: ski_rental.buy_distribution_cost(days, y, 10, 0.5),
            lambda y: learning.empirical_risk_trade_off(days, y, 10).ratios,
        ):
            np.testing.assert_array_equal(function(far), function(near))


@pytest.mark.bad_input
@pytest.mark.parametrize("season", [2**32 + 5, 2**31 + 7])
def test_a_season_that_single_precision_cannot_hold_is_refused(season):
    with (
        jax.enable_x64(False),
        pytest.raises(ValueError, match=r"^num_days: got integers from 3 to \d+"),
    ):
        learning.empirical_risk_trade_off(np.array([3, season]), np.array([3, 20]), 10)


def test_a_price_below_one_day_is_paid_at_once():
    assert int(ski_rental.buy_day(5, 0.4, 0.5)) == 1
    assert ski_rental.buy_distribution(5, 0.4, 0.5).tolist()[0] == 1
    assert float(ski_rental.worst_case(ski_rental.buy_distribution(5, 0.4, 0.5), 0.4).robustness) == 1


def test_predicted_sizes_of_any_sign_where_only_their_order_counts(rng):
    x, y = rng.random((5, 4)) + 0.1, rng.random((5, 4)) + 0.1
    for cost in (
        scheduling.shortest_predicted_first_cost,
        lambda x, y: scheduling.preferential_round_robin_cost(x, y, 0.3),
    ):
        np.testing.assert_allclose(cost(x, y - 0.6), cost(x, y), rtol=1e-6)
    with pytest.raises(ValueError, match=r"y: got .*; need positive sizes"):
        scheduling.two_stage_cost(x, y - 0.6, 0.3)


@pytest.mark.parametrize("price", [1, 2, 7, 10.5, 0.4, 100])
def test_the_deterministic_frontier_by_enumeration(price):
    """Every policy on every season up to four times the price, beside the closed form."""
    seasons = np.arange(1, 4 * int(price) + 8)
    days = np.arange(1, 3 * int(price) + 6)[:, None]
    ratio = np.where(seasons < days, seasons, days - 1 + price) / np.minimum(seasons, price)
    robustness, consistency = ratio.max(1), ratio[:, -1]
    for cap in (robustness.min(), 1.3 * robustness.min(), 3.0, 1.0 + price):
        if cap < robustness.min():
            continue
        best = ski_rental.deterministic_frontier(cap, price)
        allowed = robustness <= cap * (1 + 1e-12)
        np.testing.assert_allclose(best.consistency, consistency[allowed].min(), rtol=1e-12)
        np.testing.assert_allclose(best.robustness, robustness[best.day - 1], rtol=1e-12)
        assert best.verify() > -1e-9 * cap
        with pytest.raises(ValueError, match="day: got"):
            dataclasses.replace(best, cap=1e6, day=best.day + 1).verify()
    if price > 1:
        with pytest.raises(ValueError, match=r"robustness: got .* need at least"):
            ski_rental.deterministic_frontier(0.99 * robustness.min(), price)
