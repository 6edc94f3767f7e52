"""The linear datamodeling score against SciPy, and its interval by simulation."""

import numpy as np
import pytest
import scipy.stats

from verax.influence import Status, linear_datamodeling_score


def problem(seed, noise, num_subsets=20, num_tests=12, n=30):
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(num_tests, n))
    subsets = rng.random((num_subsets, n)) < 0.5
    retrained = subsets @ scores.T + noise * rng.normal(size=(num_subsets, num_tests))
    return scores, retrained, subsets


def test_equals_spearman_of_scipy():
    scores, retrained, subsets = problem(0, 3.0)
    found = linear_datamodeling_score(scores, retrained, subsets)
    expected = [scipy.stats.spearmanr((subsets @ scores.T)[:, t], retrained[:, t]).statistic for t in range(12)]
    np.testing.assert_allclose(found.per_example, expected, atol=1e-12)
    assert found.value == pytest.approx(np.mean(expected))
    assert found.status == Status.OK


def test_additive_measures_score_one_and_repeats_are_averaged():
    scores, retrained, subsets = problem(1, 0.0)
    assert linear_datamodeling_score(scores, retrained, subsets).value == pytest.approx(1)
    repeats = retrained[:, None] + np.array([-1.0, 1.0])[None, :, None] * 50
    assert linear_datamodeling_score(scores, repeats, subsets).value == pytest.approx(1)


@pytest.mark.statistical
def test_unrelated_scores_are_covered_by_the_interval():
    """With true correlation 0 the 90 % interval misses 0 no more often than binomial noise allows."""
    misses = 0
    for seed in range(100):
        scores, retrained, subsets = problem(seed, 1.0, num_subsets=15, num_tests=8)
        shuffled = np.random.default_rng(1000 + seed).permuted(retrained, axis=0)
        found = linear_datamodeling_score(scores, shuffled, subsets, level=0.9)
        misses += not found.lower <= 0 <= found.upper
    assert misses <= 10 + 3 * 3


def test_constant_rows_are_a_status():
    scores, retrained, subsets = problem(2, 1.0)
    scores[3] = 0
    found = linear_datamodeling_score(scores, retrained, subsets)
    assert found.status == Status.UNDEFINED
    assert np.isnan(found.per_example[3])
    assert found.value == pytest.approx(np.nanmean(found.per_example))
    with pytest.raises(ValueError, match="constant"):
        found.raise_if_failed()
    nothing = linear_datamodeling_score(0 * scores, retrained, subsets)
    assert nothing.status == Status.UNDEFINED
    assert np.isnan(nothing.value)


@pytest.mark.bad_input
def test_bad_input():
    scores, retrained, subsets = problem(3, 1.0)
    cases = [
        ("scores", (scores[0], retrained, subsets), {}),
        ("subsets", (scores, retrained, subsets + 1), {}),
        ("subsets", (scores, retrained, subsets[:, :4]), {}),
        ("retrained", (scores, retrained.T, subsets), {}),
        ("retrained", (scores, np.where(retrained > 0, np.nan, 0), subsets), {}),
        ("subsets", (scores, retrained[:3], subsets[:3]), {}),
        ("level", (scores, retrained, subsets), {"level": 2.0}),
    ]
    for argument, arguments, options in cases:
        with pytest.raises(ValueError, match=f"^{argument}: got .*; need "):
            linear_datamodeling_score(*arguments, **options)
