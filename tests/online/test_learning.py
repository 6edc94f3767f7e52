import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from verax.online import learning, ski_rental

pytestmark = pytest.mark.double


@pytest.mark.costly
def test_hedge_keeps_its_bound(rng):
    for rounds, choices in itertools.product([1, 50], [1, 4]):
        costs = rng.uniform(2, 4, (rounds, choices))
        run = learning.hedge(costs, cost_range=2.0)
        assert run.regret <= run.bound + 1e-4
        np.testing.assert_allclose(run.weights.sum(1), 1, rtol=1e-5)
        np.testing.assert_allclose(run.weights[0], 1 / choices, rtol=1e-5)  # nothing is known before the first round
    adversarial = np.stack([np.arange(100) % 2, 1 - np.arange(100) % 2], axis=1).astype(float)
    run = learning.hedge(adversarial, cost_range=1.0)
    assert 0 < run.regret <= run.bound


def test_threshold_is_the_empirical_minimum(rng):
    days = rng.geometric(0.08, 200)
    found = learning.empirical_risk_threshold(days, 10)
    tries = np.arange(1, days.max() + 2)
    costs = [np.where(days < j, days, j - 1 + 10).mean() for j in tries]
    np.testing.assert_allclose(found.costs, costs, rtol=1e-5)
    assert int(found.day) == int(np.argmin(costs)) + 1
    capped = learning.empirical_risk_threshold(days, 10, robustness=2.0)
    ratio = 1 + 9 / int(capped.day) if capped.day <= 10 else (9 + int(capped.day)) / 10
    assert ratio <= 2 + 1e-6
    assert capped.robustness == pytest.approx(ratio)


def test_threshold_error_holds_for_all_days_at_once():
    rng, probability = np.random.default_rng(0), 0.1
    tries = np.arange(1, 61)
    truth = np.array([((1 - probability) ** np.arange(j - 1)).sum() + 10 * (1 - probability) ** (j - 1) for j in tries])
    broken = 0
    for _ in range(50):
        found = learning.empirical_risk_threshold(rng.geometric(probability, 100), 10, level=0.9)
        num = min(len(found.costs), 60)
        broken += float(np.abs(np.asarray(found.costs[:num]) - truth[:num]).max()) > float(found.error)
    assert broken <= 5 + 3 * np.sqrt(50 * 0.1 * 0.9)


@pytest.mark.costly
def test_trade_off_is_the_empirical_minimum(rng):
    price, days = 4, rng.integers(1, 16, 300)
    predicted = np.maximum(1, days + rng.integers(-6, 7, 300))
    found = learning.empirical_risk_trade_off(days, predicted, price)
    ratios, worst = [], []
    for lam in np.arange(1, price + 1) / price:
        policies = [ski_rental.buy_distribution(y, price, lam) for y in (price - 1, price)]
        low, high = (np.pad(np.asarray(ski_rental.expected_cost(p, price)), (0, 16), mode="edge") for p in policies)
        cost = np.where(predicted >= price, high[days - 1], low[days - 1])
        ratios.append((cost / np.minimum(days, price)).mean())
        worst.append(max(float(ski_rental.worst_case(p, price).robustness) for p in policies))
    np.testing.assert_allclose(found.ratios, ratios, rtol=1e-5)
    assert float(found.lam) == pytest.approx((np.argmin(ratios) + 1) / price)
    assert float(found.robustness) == pytest.approx(worst[np.argmin(ratios)], rel=1e-5)
    capped = learning.empirical_risk_trade_off(days, predicted, price, robustness=1.8)
    assert len(capped.lams) == sum(w <= 1.8 for w in worst) < price


@pytest.mark.costly
def test_trade_off_error_holds_for_all_at_once():
    rng, level, broken = np.random.default_rng(1), 0.9, 0

    def draw(num):
        days = rng.geometric(0.05, num)
        return days, np.where(rng.random(num) < 0.7, days, rng.geometric(0.05, num))

    truth = np.asarray(learning.empirical_risk_trade_off(*draw(400_000), 8, robustness=2.5).ratios)
    for _ in range(40):
        found = learning.empirical_risk_trade_off(*draw(50), 8, robustness=2.5, level=level)
        broken += float(np.abs(np.asarray(found.ratios) - truth).max()) > float(found.error)
    assert broken <= 40 * (1 - level) + 3 * np.sqrt(40 * level * (1 - level))


def test_sample_size_inverts_the_error():
    need = learning.trade_off_sample_size(10, 0.1, robustness=2.0)
    seasons = np.full(need, 3)
    assert float(learning.empirical_risk_trade_off(seasons, seasons, 10, robustness=2.0).error) <= 0.1 + 1e-6
    size = learning.threshold_sample_size(10, 20, 1.0, level=0.9)
    days = np.full(size, 19)
    assert float(learning.empirical_risk_threshold(days, 10, level=0.9).error) <= 1.0 + 1e-5


def test_training_through_the_cost_improves_it_and_cannot_break_the_cap(rng):
    features = rng.standard_normal(200)
    days = jnp.asarray(np.where(features + 0.3 * rng.standard_normal(200) > 0, 40, 2))

    def report(slope):
        return learning.evaluate_predictor(slope, lambda s, x: jax.nn.sigmoid(s * x), features, days, 10, 0.4)

    step = jax.jit(jax.value_and_grad(lambda s: report(s).mean_ratio))
    slope = 0.0
    values = []
    for _ in range(30):
        value, gradient = step(slope)
        values.append(float(value))
        slope -= 5.0 * float(gradient)
    assert values[-1] < values[0] - 0.1
    for slope in (-100.0, 0.0, 100.0):  # a predictor that is always wrong, too
        assert report(slope).worst_ratio <= report(slope).robustness * (1 + 1e-5)


def test_mixed_cost_is_the_cost_of_the_mixture():
    price, lam, v = 6, 0.5, 0.3
    high, low = (np.asarray(ski_rental.buy_distribution(y, price, lam)) for y in (price, price - 1))
    mixture = v * np.pad(high, (0, len(low) - len(high))) + (1 - v) * low
    days = np.arange(1, len(low) + 1)
    expected = ski_rental.expected_cost(mixture, price)
    np.testing.assert_allclose(learning.mixed_cost(np.full(len(low), v), days, price, lam), expected, rtol=1e-5)
