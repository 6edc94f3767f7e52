"""Forecasts, sequences, frontiers, indicators, Bradley-Terry, scorecards."""

import jax
import numpy as np
import pytest
from scipy import special, stats

import verax.evals as ve
from verax.evals import Indicator, OutcomeTable

pytestmark = pytest.mark.double


@pytest.mark.costly
def test_forecast_covers_what_more_draws_show():
    rng, repeats, draws = np.random.default_rng(0), 100, 50
    truth = 1 - np.exp(special.betaln(0.6, 2.4 + draws) - special.betaln(0.6, 2.4))
    labels = (rng.random((repeats, 1, 300, 6)) < rng.beta(0.6, 2.4, (repeats, 1, 300, 1))).astype(int)
    found = ve.forecast_any_of(OutcomeTable(labels), draws=draws)
    ok = np.asarray(found.status) == 0
    assert ok.mean() > 0.95
    covered = np.mean(((np.asarray(found.lower) <= truth) & (truth <= np.asarray(found.upper)))[ok])
    assert abs(covered - 0.95) <= 3 * np.sqrt(0.95 * 0.05 / repeats) + 0.01


def test_forecast_of_nothing_is_a_status():
    found = ve.forecast_any_of(OutcomeTable(np.zeros((1, 1, 30, 4), int)), draws=10)
    assert int(found.status[0, 0]) == ve.Status.NOT_CONVERGED
    assert (float(found.lower[0, 0]), float(found.upper[0, 0])) == (0, 1)


@pytest.mark.costly
@pytest.mark.parametrize("p", [0.02, 0.1])
def test_peeking_does_not_break_the_sequence(p):
    repeats, alpha = 400, 0.05
    streams = (np.random.default_rng(0).random((repeats, 500)) < p).astype(int)
    found = jax.jit(jax.vmap(lambda s: ve.confidence_sequence(s)))(streams)
    missed = ((np.asarray(found.lower) > p) | (np.asarray(found.upper) < p))[:, 20:].any(1).mean()
    assert missed <= alpha
    total = np.arange(1, 501)
    count = streams.cumsum(1)
    centre = (count + 1.92) / (total + 3.84)
    half = 1.96 * np.sqrt(count * (total - count) / total + 0.96) / (total + 3.84)
    assert (np.abs(centre - p) > half)[:, 20:].any(1).mean() > 0.2  # Wilson limits, looked at again and again
    evidence = jax.jit(jax.vmap(lambda s: ve.e_value(s, p0=p)))(streams)
    assert (np.asarray(evidence) >= 1 / alpha).any(1).mean() <= alpha
    assert np.asarray(evidence)[:, -1].mean() <= 1 + 3 * np.asarray(evidence)[:, -1].std() / repeats**0.5


def test_frontier():
    rng = np.random.default_rng(0)
    unsafe, benign = rng.normal(1, 1, 200), rng.normal(0, 1, 300)
    found = ve.refusal_frontier(unsafe, benign)
    for t in (3, 100, 400):
        assert found.not_unsafe[t] == pytest.approx(np.mean(unsafe >= found.threshold[t]))
        assert found.not_overrefuse[t] == pytest.approx(np.mean(benign < found.threshold[t]))
    assert float(found.auc) == pytest.approx(stats.mannwhitneyu(unsafe, benign).statistic / 60_000)
    broken = 0
    for seed in range(200):
        rng = np.random.default_rng(seed + 1)
        one = ve.refusal_frontier(rng.normal(1, 1, 40), rng.normal(0, 1, 50), level=0.9)
        inside = np.isfinite(one.threshold)
        high = np.abs(one.not_unsafe - stats.norm.sf(one.threshold, 1))[inside].max() > one.margin_unsafe
        low = np.abs(one.not_overrefuse - stats.norm.cdf(one.threshold))[inside].max() > one.margin_overrefuse
        broken += bool(high or low)
    assert broken / 200 <= 0.1 + 3 * np.sqrt(0.1 * 0.9 / 200)
    assert not ve.dominates(np.array([0.9, 0.9]), np.array([0.95, 0.8]))


def test_indicators_count():
    grades = np.array([0, 0, 1, 2, 2, 2, 1, 0])
    found = ve.hallucination_metrics(grades)
    assert [float(i.estimate) for i in found[:4]] == pytest.approx([3 / 8, 2 / 8, 5 / 8, 3 / 5])
    assert float(found.f_score) == pytest.approx(2 / (8 / 3 + 5 / 3))
    empty = ve.hierarchy_metrics(np.array([True]), np.array([1]), num_conflicts=2)
    assert empty.status.tolist() == [ve.Status.NO_VERDICT, 0]


def test_bradley_terry_recovers_strengths():
    rng = np.random.default_rng(0)
    strength, nu = np.array([1.0, 0.2, -0.4, -0.8]), 0.5
    wins, ties = np.zeros((4, 4), int), np.zeros((4, 4), int)
    for i in range(4):
        for j in range(i):
            weights = np.array([np.exp(strength[i]), np.exp(strength[j]), nu * np.exp((strength[i] + strength[j]) / 2)])
            wins[i, j], wins[j, i], ties[i, j] = rng.multinomial(2000, weights / weights.sum())
            ties[j, i] = ties[i, j]
    found = ve.bradley_terry(wins, ties=ties)
    assert int(found.status) == 0
    assert np.all(np.abs(np.asarray(found.strength) - strength) <= 3.5 * np.asarray(found.standard_error))
    assert float(found.tie) == pytest.approx(nu, rel=0.1)
    # Two models without ties: the log odds and its binomial error.
    two = ve.bradley_terry(np.array([[0, 60], [28, 0]]))
    gap = np.array([1.0, -1.0])
    assert float(gap @ np.asarray(two.strength)) == pytest.approx(np.log(60 / 28), rel=1e-4)
    assert float(gap @ np.asarray(two.covariance) @ gap) == pytest.approx(1 / 60 + 1 / 28, rel=1e-3)
    assert int(ve.bradley_terry(np.array([[0, 5], [0, 0]])).status) == ve.Status.SEPARATED


def test_scorecard_levels_and_gates():
    rates = {"a": ve.proportion(2, 100), "b": ve.proportion(60, 100), "b before": ve.proportion(95, 100)}
    indicators = {
        "a": Indicator("cyber", rates["a"]),
        "b": Indicator("persuasion", rates["b"]),
        "b before": Indicator("persuasion", rates["b before"], mitigated=False),
    }
    thresholds = {"a": (0.05, 0.5, 0.9), "b": (0.3, 0.65, 0.9), "b before": (0.3, 0.65, 0.9)}
    card = ve.scorecard(indicators, thresholds=thresholds)
    assert (card.level["a"].name, card.conservative["a"].name) == ("LOW", "MEDIUM")
    assert (card.level["b"].name, card.conservative["b"].name) == ("MEDIUM", "HIGH")
    assert card.category_pre_mitigation["persuasion"].name == "CRITICAL"
    assert (card.deployable, card.developable) == (False, True)
    by_estimate = ve.scorecard(indicators, thresholds=thresholds, decide_by="estimate")
    assert by_estimate.deployable
    assert card.probability["b"][0] > 0.99
    assert card.probability["b"][1] == pytest.approx(stats.beta.sf(0.65, 60.5, 40.5), rel=1e-6)
    none = ve.scorecard({"a": Indicator("cyber", ve.proportion(0, 20))}, thresholds={"a": (0.05, 0.5, 0.9)})
    assert none.probability["a"][0] == pytest.approx(stats.beta.sf(0.05, 0.5, 20.5), rel=1e-6)  # no certainty


@pytest.mark.costly
def test_attack_table_adds_up_and_its_adaptive_column_is_any_of(rng):
    labels = rng.choice([0, 1, 2], (2, 4, 50, 1), p=[0.6, 0.25, 0.15])
    names = ("none", "base64", "my own", "poems")
    found = ve.attack_table(ve.OutcomeTable(labels, attack_names=names))
    np.testing.assert_allclose(found.bad.estimate, (labels == 1).mean((2, 3)), rtol=1e-6)
    np.testing.assert_allclose(found.unclear, (labels == 2).mean((2, 3)), atol=1e-6)
    np.testing.assert_allclose(found.adaptive.estimate, (labels[:, 1:] == 1).any((1, 3)).mean(1), rtol=1e-6)
    assert found.failure_modes == ("none", "mismatched generalization", "", "competing objectives")
    limits = stats.binomtest(int((labels[0, 1] == 1).sum()), 50).proportion_ci(method="exact")
    np.testing.assert_allclose((found.bad.lower[0, 1], found.bad.upper[0, 1]), limits, atol=1e-5)


def test_attack_families_are_labels_by_failure_mode():
    names = [family.name for family in ve.ATTACK_FAMILIES]
    assert len(names) == len(set(names)) == 31
    modes = {family.failure_mode for family in ve.ATTACK_FAMILIES}
    assert modes == {"none", "competing objectives", "mismatched generalization", "combination"}


@pytest.mark.bad_input
def test_a_table_of_the_baseline_alone_has_no_adaptive_column():
    with pytest.raises(ValueError, match="one besides the baseline"):
        ve.attack_table(ve.OutcomeTable(np.zeros((1, 1, 5, 1), int), attack_names=("none",)))
