"""Paired differences, any-of, goodness, repeated attempts: against exact references and by simulation."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import verax.evals as ve
from verax.evals import OutcomeTable
from verax.evals._paired import adjusted

pytestmark = pytest.mark.double

KEY = jax.random.key(0)


def pair(both, only_a, only_b, neither):
    counts = [both, only_a, only_b, neither]
    labels = np.stack([np.repeat([1, 1, 0, 0], counts), np.repeat([1, 0, 1, 0], counts)])
    return OutcomeTable(labels[:, None, :, None])


@pytest.mark.costly
@pytest.mark.parametrize(("only_a", "only_b"), [(15, 2), (0, 0), (1, 0), (7, 7)])
def test_mcnemar_is_the_binomial_test(only_a, only_b):
    found = ve.paired_difference(pair(5, only_a, only_b, 40), model_a=0, model_b=1)
    expected = stats.binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
    assert float(found.p_value[0]) == pytest.approx(expected, rel=1e-4)
    assert found.discordant[0].tolist() == [only_a, only_b]
    assert float(found.difference[0]) == pytest.approx((only_a - only_b) / (45 + only_a + only_b))


@pytest.mark.costly
def test_paired_t_equivalence_and_power_are_scipys():
    rng = np.random.default_rng(0)
    labels = (rng.random((2, 1, 80, 5)) < np.array([0.4, 0.3])[:, None, None, None]).astype(int)
    table = OutcomeTable(labels)
    found = ve.paired_difference(table, model_a=0, model_b=1, margin=0.2)
    d = labels[0, 0].mean(1) - labels[1, 0].mean(1)
    assert float(found.p_value[0]) == pytest.approx(stats.ttest_1samp(d, 0).pvalue, rel=1e-3)
    low, high = (
        stats.ttest_1samp(d, edge, alternative=side).pvalue for edge, side in ((-0.2, "greater"), (0.2, "less"))
    )
    assert float(found.equivalence_p_value[0]) == pytest.approx(max(low, high), rel=1e-3)
    error = d.std(ddof=1) / 80**0.5
    expected = (stats.t.ppf(0.975, 79) + stats.t.ppf(0.8, 79)) * error
    assert float(found.minimum_detectable[0]) == pytest.approx(expected, rel=1e-3)
    flips = ve.paired_difference(table, model_a=0, model_b=1, test="permutation", key=KEY)
    assert float(flips.p_value[0]) == pytest.approx(float(found.p_value[0]), abs=0.02)
    swapped = ve.paired_difference(table, model_a=1, model_b=0)
    np.testing.assert_allclose(swapped.difference, -found.difference, rtol=1e-6)


def test_permutation_of_few_clusters_is_exact():
    labels = np.zeros((2, 1, 8, 1), int)
    labels[0] = 1  # model a always, model b never, in 4 clusters: 2 of 16 sign patterns are as extreme
    table = OutcomeTable(labels, cluster=np.repeat(np.arange(4), 2))
    found = ve.paired_difference(table, model_a=0, model_b=1, test="permutation", num_resamples=20_000, key=KEY)
    assert float(found.p_value[0]) == pytest.approx(1 / 8, abs=4 * math.sqrt(1 / 8 * 7 / 8 / 20_000))


def test_prompts_without_a_pair_of_verdicts_are_counted():
    labels = np.array([[1, 3, 0, 2], [1, 1, 1, 0]])[:, None, :, None]
    found = ve.paired_difference(OutcomeTable(labels), model_a=0, model_b=1)
    assert (int(found.num_units[0]), int(found.num_excluded[0])) == (2, 2)


@pytest.mark.parametrize(("method", "name"), [("holm", None), ("bh", "bh")])
def test_adjustment(method, name):
    p = np.array([0.01, 0.04, 0.03, 0.005, 0.5])
    if name:
        expected = stats.false_discovery_control(p, method=name)
    else:
        order = np.argsort(p)
        expected = np.empty(5)
        expected[order] = np.maximum.accumulate(p[order] * np.arange(5, 0, -1))
    np.testing.assert_allclose(adjusted(jnp.asarray(p), method), expected, rtol=1e-5)


def cells(counts, samples):
    """[1, attack, prompt, sample] with these numbers of BAD samples."""
    return (np.arange(samples) < np.asarray(counts)[..., None]).astype(int)[None]


@pytest.mark.costly
def test_any_of_by_enumeration():
    counts, samples = np.array([[2, 0, 1], [1, 0, 4]]), 4
    labels = cells(counts, samples)
    for draws in (1, 2, 4):
        truth = []
        for prompt in range(3):
            miss = 1.0
            for attack in range(2):
                subsets = list(itertools.combinations(labels[0, attack, prompt], draws))
                miss *= sum(not any(s) for s in subsets) / len(subsets)
            truth.append(1 - miss)
        found = ve.any_of(OutcomeTable(labels), draws=draws)
        assert float(found.estimate[0]) == pytest.approx(np.mean(truth), abs=1e-6)
    plug_in = ve.any_of(OutcomeTable(labels), draws=2, estimator="plug_in")
    expected = np.mean(1 - np.prod((1 - counts / samples) ** 2, axis=0))
    assert float(plug_in.estimate[0]) == pytest.approx(expected, abs=1e-6)


@pytest.mark.costly
def test_any_of_is_unbiased_where_plugging_in_is_not():
    rng = np.random.default_rng(0)
    harm = rng.beta(0.4, 2, (3, 40))
    labels = (rng.random((400, 3, 40, 5)) < harm[..., None]).astype(int)  # models are repetitions
    truth = np.mean(1 - np.prod((1 - harm) ** 2, axis=0))
    unbiased, plug_in = (np.asarray(ve.any_of(OutcomeTable(labels), draws=2, estimator=e).estimate) for e in
                         ("unbiased", "plug_in"))  # fmt: skip
    assert abs(unbiased.mean() - truth) <= 3 * unbiased.std(ddof=1) / 20
    assert plug_in.mean() < truth - 3 * plug_in.std(ddof=1) / 20
    held_out = np.asarray(ve.any_of(OutcomeTable(labels), estimator="held_out", key=KEY).estimate)
    assert harm.mean() < held_out.mean() < np.mean(1 - np.prod(1 - harm, axis=0))


@pytest.mark.costly
def test_any_of_over_further_attacks_is_wider():
    rng = np.random.default_rng(0)
    labels = (rng.random((1, 6, 80, 3)) < rng.beta(0.4, 2, (6, 1, 1))).astype(int)
    these = ve.any_of(OutcomeTable(labels))
    further = ve.any_of(OutcomeTable(labels), generalize_over=("prompt", "attack"), num_resamples=500, key=KEY)
    assert float(further.upper[0] - further.lower[0]) > float(these.upper[0] - these.lower[0])
    assert float(these.estimate[0]) == pytest.approx(float(further.estimate[0]))


def test_certain_success_has_a_lower_limit_below_one():
    found = ve.any_of(OutcomeTable(np.ones((1, 2, 32, 1), int)))
    assert float(found.lower[0]) == pytest.approx(stats.binomtest(32, 32).proportion_ci().low, abs=2e-5)


@pytest.mark.costly
@pytest.mark.parametrize("samples", [2, 5])
def test_goodness_is_bracketed(samples):
    rng, repeats = np.random.default_rng(0), 100
    harm = rng.beta(0.3, 1.2, (20, 60))
    truth = 1 - np.sort(harm, axis=0)[-2:].mean()
    labels = (rng.random((repeats, 20, 60, samples)) < harm[..., None]).astype(int)
    found = ve.goodness_at(OutcomeTable(labels), key=KEY)
    lower, upper, inside = (np.asarray(side) for side in (found.lower, found.upper, found.estimate))
    error = 3 / repeats**0.5
    assert lower.mean() <= truth + error * lower.std(ddof=1)
    assert upper.mean() >= truth - error * upper.std(ddof=1)
    assert abs(inside.mean() - truth) < max(truth - lower.mean(), upper.mean() - truth)


@pytest.mark.costly
def test_goodness_of_exact_cells_is_exact():
    scores = np.random.default_rng(0).random((2, 10, 7, 1)).repeat(4, axis=-1)  # samples agree: no noise
    table = OutcomeTable(np.ones(scores.shape, int), scores=scores)
    for rounding, num in (("ceil", 3), ("floor", 2), ("round", 3)):
        truth = 1 - np.sort(scores[..., 0], axis=1)[:, -num:].mean((1, 2))
        found = ve.goodness_at(table, q=0.25, rounding=rounding, key=KEY)
        assert found.num_attacks == num
        for side in (found.lower, found.upper, found.estimate):
            np.testing.assert_allclose(side, truth, rtol=1e-5)
    single = ve.goodness_at(OutcomeTable(np.ones((1, 10, 7, 1), int)))
    assert (int(single.status[0]), float(single.upper[0])) == (ve.Status.LOWER_ONLY, 1.0)


@pytest.mark.costly
def test_repeated_attempts_are_counted_over_subsets():
    rng = np.random.default_rng(0)
    correct = rng.random((6, 5)) < rng.random((6, 1))
    for k in (1, 3, 5):
        subsets = list(itertools.combinations(range(5), k))
        any_right = np.mean([[correct[:, list(s)].any(1)] for s in subsets])
        all_right = np.mean([[correct[:, list(s)].all(1)] for s in subsets])
        assert float(ve.pass_at_k(correct, k=k).estimate) == pytest.approx(any_right, abs=1e-6)
        assert float(ve.pass_hat_k(correct, k=k).estimate) == pytest.approx(all_right, abs=1e-6)
    wide, narrow = ve.pass_at_k(correct, k=2), ve.pass_at_k(correct, k=2, resample="attempt")
    assert float(narrow.standard_error) < float(wide.standard_error)
    assert float(narrow.estimate) == pytest.approx(float(wide.estimate))


def test_consensus():
    answers = np.array([[1, 1, 2], [3, 4, 4], [5, 6, 7]])
    found = ve.cons_at_k(answers, np.array([1, 3, 5]), k=3, num_resamples=2000, key=KEY)
    assert float(found.estimate) == pytest.approx((1 + 0 + 1 / 3) / 3, abs=4 * math.sqrt(2 / 9 / 2000) / 3)
    np.testing.assert_allclose(ve.cons_at_k(answers, np.array([1, 3, 5]), k=1, num_resamples=4000, key=KEY).estimate,
                               (2 / 3 + 1 / 3 + 1 / 3) / 3, atol=0.02)  # fmt: skip
