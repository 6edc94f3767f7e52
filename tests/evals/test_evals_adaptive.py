"""Few samples, horizons and thresholds: what they promise, by simulation."""

import jax
import numpy as np
import pytest
from scipy.special import expit, logit

import verax.evals as ve

pytestmark = pytest.mark.statistical


def bank(seed, num=800):
    """Twelve earlier models' scores and a better model's answers to items that most models solve, or most do not."""
    rng = np.random.default_rng(seed)
    chance = rng.beta(0.3, 0.3, num)
    return rng.random((12, num)) < chance, rng.random(num) < expit(logit(np.clip(chance, 1e-6, 1 - 1e-6)) + 0.5)


def asked(answers, predicted, seed, **options):
    return ve.adaptive_rate(lambda item: answers[item], predicted, budget=4000, key=jax.random.key(seed), **options)


def test_chosen_items_need_a_quarter_of_the_answers():
    numbers, uniform = [], []
    for seed in range(3):
        earlier, answers = bank(seed)
        found = asked(answers, earlier, seed, width=0.1)
        assert found.upper[-1] - found.lower[-1] <= 0.1
        numbers.append(len(found.items))
        uniform.append(len(asked(answers, np.full(len(answers), 0.5), seed, width=0.1, exploration=1.0).items))
    assert 4 * np.mean(numbers) <= np.mean(uniform)


@pytest.mark.parametrize("prediction", ["earlier models", "wrong"])
def test_limits_hold_at_every_stop_however_wrong_the_predictions(prediction):
    missed = 0
    for seed in range(40):
        earlier, answers = bank(seed, num=200)
        predicted = earlier if prediction == "earlier models" else 1 - earlier
        found = ve.adaptive_rate(lambda i, a=answers: a[i], predicted, budget=150, key=jax.random.key(seed))
        missed += bool(((found.lower > answers.mean()) | (found.upper < answers.mean())).any())
    assert missed <= 40 * 0.05 + 3 * np.sqrt(40 * 0.05 * 0.95)


def test_horizons_cover_with_families_of_tasks():
    inside = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        minutes = 2 ** rng.uniform(0, 10, 120)
        solved = rng.random(120) < 1 / (1 + (minutes / 60) ** 0.9)
        found = ve.time_horizon(solved, minutes, num_resamples=200, key=jax.random.key(seed))
        inside.append(found.lower <= 60 <= found.upper)
    assert np.mean(inside) >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / 60)


def test_horizons_of_repeated_tasks_rest_on_the_tasks():
    rng = np.random.default_rng(0)
    minutes = 2 ** rng.uniform(0, 10, 60)
    solved = rng.random(60) < 1 / (1 + minutes / 60)
    one = ve.time_horizon(solved, minutes, key=jax.random.key(0))
    copies = ve.time_horizon(
        np.tile(solved, 5), np.tile(minutes, 5), cluster=np.tile(np.arange(60), 5), key=jax.random.key(0)
    )
    np.testing.assert_allclose(copies.estimate, one.estimate, rtol=0.02)
    assert int(copies.num_units) == 60
    assert copies.upper / copies.lower > 0.8 * one.upper / one.lower
    stricter = ve.time_horizon(solved, minutes, probability=0.8, key=jax.random.key(0))
    assert stricter.estimate < one.estimate
    never = ve.time_horizon(np.zeros(5), minutes[:5], key=jax.random.key(0))
    assert (float(never.lower), float(never.upper), int(never.status)) == (0.0, np.inf, ve.Status.SEPARATED)


@pytest.mark.parametrize("confidence", [None, 0.9])
def test_false_positives_are_controlled(confidence):
    rng, alpha = np.random.default_rng(0), 0.05
    rates = []
    for _ in range(300):
        guard = ve.control_false_positives(rng.exponential(size=99), alpha=alpha, confidence=confidence)
        rates.append(np.exp(-guard.threshold))  # of a further score
    if confidence is None:
        assert np.mean(rates) <= alpha + 3 * np.std(rates) / np.sqrt(300)
    else:
        assert np.mean(np.array(rates) <= alpha) >= confidence - 3 * np.sqrt(0.09 / 300)
    p = guard.p_value(rng.exponential(size=1000))
    assert np.mean(p <= alpha) <= 2.5 * alpha
    assert p.min() >= 1 / 100


def test_too_few_reference_units_flag_nothing():
    guard = ve.control_false_positives(np.arange(50.0), alpha=0.01)
    assert int(guard.status) == ve.Status.TOO_FEW
    assert not guard.flag([1e9]).any()
    found = guard.true_positive_rate([1.0, 2.0])
    assert (float(found.lower), float(found.upper)) == (0.0, 1.0)
    with pytest.raises(ValueError, match="TOO_FEW"):
        guard.raise_if_failed()
    ties = ve.control_false_positives(np.zeros(99), alpha=0.01)
    assert not ties.flag([0.0]).any()


@pytest.mark.parametrize("adjust", ["holm", "max_t"])
def test_simultaneous_limits_of_all_pairs_cover(adjust):
    inside, wrong = [], 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        item = rng.random(60)
        right = rng.random((4, 60, 3)) < item[:, None]
        table = ve.OutcomeTable(1 - right[:, None].astype(int))
        found = ve.compare_models(table, adjust=adjust, key=jax.random.key(seed), num_resamples=1000)
        inside.append(bool(((found.difference_lower <= 0) & (found.difference_upper >= 0)).all()))
        wrong += bool((found.p_value <= 0.05).any())
        assert found.may_be_best.any()
    assert np.mean(inside) >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / 60)
    assert wrong <= 3 + 3 * np.sqrt(60 * 0.05 * 0.95)
