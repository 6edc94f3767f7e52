"""Rates: binomial limits against SciPy, clusters against a direct computation, coverage, and invariances."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from verax.evals import (
    Outcome,
    OutcomeTable,
    Status,
    bootstrap,
    correct_for_judge,
    fit_judge_error,
    load,
    ppi_rate,
    proportion,
    rate,
    save,
)
from verax.evals._quantiles import percentile_limits

pytestmark = pytest.mark.double


def table(count, total, unclear=0, missing=0):
    labels = np.repeat([1, 0, 2, 3], [count, total - count, unclear, missing])
    return OutcomeTable(labels.reshape(1, 1, -1, 1))


@pytest.fixture(scope="module")
def clustered():
    rng = np.random.default_rng(0)
    harm = rng.beta(1, 3, 12)[rng.integers(0, 12, 60)]
    labels = (rng.random((2, 3, 60, 4)) < harm[:, None]).astype(int)
    return OutcomeTable(labels, cluster=rng.integers(0, 12, 60) * 5 + 1, weight=rng.uniform(0.5, 2, 60))


@pytest.mark.parametrize(("method", "name"), [("clopper_pearson", "exact"), ("wilson", "wilson"), ("auto", "exact")])
def test_limits_are_scipys(method, name):
    counts = [0, 1, 7, 39, 40]
    labels = np.stack([np.repeat([1, 0], [count, 40 - count]) for count in counts])[:, None, :, None]
    ours = rate(OutcomeTable(labels), method=method)
    for row, count in enumerate(counts):
        theirs = stats.binomtest(count, 40).proportion_ci(method=name)
        np.testing.assert_allclose([ours.lower[row, 0], ours.upper[row, 0]], theirs, atol=2e-5)


def test_golden_limits():
    found = proportion(np.array([295, 30, 0]), np.array([317, 32, 200]))
    np.testing.assert_allclose(found.lower, [0.897, 0.792, 0], atol=5e-4)
    np.testing.assert_allclose(found.upper, [0.956, 0.992, 0.018], atol=5e-4)


def test_jeffreys_is_the_beta_quantile():
    ours = rate(table(7, 40), method="jeffreys")
    expected = stats.beta(7.5, 33.5).ppf([0.025, 0.975])
    np.testing.assert_allclose([ours.lower[0, 0], ours.upper[0, 0]], expected, atol=2e-5)


def test_verdicts_that_failed_widen_both_limits():
    found = table(4, 30, unclear=6, missing=4)
    ours = rate(found)
    assert float(ours.estimate[0, 0]) == pytest.approx(4 / 30)
    np.testing.assert_allclose(ours.lower[0, 0], stats.binomtest(4, 40).proportion_ci().low, atol=2e-5)
    np.testing.assert_allclose(ours.upper[0, 0], stats.binomtest(14, 40).proportion_ci().high, atol=2e-5)
    as_bad = rate(found, unclear="bad", missing="exclude")
    np.testing.assert_allclose(as_bad.upper[0, 0], stats.binomtest(10, 36).proportion_ci().high, atol=2e-5)
    good = rate(found, outcome=Outcome.GOOD, unclear="bad", missing="exclude")
    assert float(good.estimate[0, 0]) == pytest.approx(26 / 36)


def test_no_verdict_and_one_cluster_are_statuses():
    ours = rate(table(0, 0, missing=40))
    assert np.isnan(ours.estimate[0, 0])
    assert (float(ours.lower[0, 0]), float(ours.upper[0, 0]), int(ours.status[0, 0])) == (0.0, 1.0, Status.NO_VERDICT)
    labels = np.array([1, 0, 1]).reshape(1, 1, 3, 1)
    one = rate(OutcomeTable(labels, cluster=np.zeros(3, int)))
    assert (float(one.lower[0, 0]), float(one.upper[0, 0]), int(one.status[0, 0])) == (0.0, 1.0, Status.ONE_UNIT)


def test_clustered_error_is_inspects(clustered):
    found = rate(clustered, method="cluster_t")
    x, w = np.asarray(clustered.labels).mean(-1)[1, 2], np.asarray(clustered.weight)
    mean = np.average(x, weights=w)
    cluster = np.asarray(clustered.cluster)
    sums = np.array([(w * (x - mean))[cluster == c].sum() for c in np.unique(cluster)])
    num = len(sums)
    error = np.sqrt(num / (num - 1) * (sums**2).sum()) / w.sum()
    assert float(found.estimate[1, 2]) == pytest.approx(mean, rel=1e-5)
    assert float(found.standard_error[1, 2]) == pytest.approx(error, rel=1e-4)
    half = stats.t.ppf(0.975, num - 1) * error
    assert float(found.upper[1, 2]) == pytest.approx(mean + half, rel=1e-4)
    assert int(found.num_units[1, 2]) == num


def test_all_or_nothing_clusters_get_exact_limits():
    labels = np.zeros((1, 1, 20, 2), int)
    found = rate(OutcomeTable(labels))
    assert float(found.upper[0, 0]) == pytest.approx(stats.binomtest(0, 20).proportion_ci().high, abs=2e-5)
    labels[:, :, :5] = 1
    found = rate(OutcomeTable(labels))
    assert float(found.lower[0, 0]) == pytest.approx(stats.binomtest(5, 20).proportion_ci().low, abs=2e-5)


def test_order_of_prompts_and_names_of_clusters_do_not_matter(clustered):
    order = np.random.default_rng(1).permutation(60)
    other = OutcomeTable(
        clustered.labels[:, :, order],
        cluster=100 - np.asarray(clustered.cluster)[order],
        weight=clustered.weight[order],
    )
    for one, two in zip(rate(clustered), rate(other), strict=True):
        np.testing.assert_allclose(one, two, rtol=2e-5)


@pytest.mark.costly
def test_jit_and_vmap_equal_eager(clustered):
    expected = rate(clustered)
    for one, two in zip(jax.jit(rate)(clustered), expected, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5)
    apart = jax.vmap(lambda labels: rate(OutcomeTable(labels[None])).estimate[0])(clustered.labels)
    np.testing.assert_allclose(apart, rate(OutcomeTable(clustered.labels)).estimate, rtol=1e-6)


@pytest.mark.parametrize(("num", "p"), [(50, 0.01), (32, 0.94)])
def test_exact_limits_cover(num, p):
    repeats = 2000
    labels = (np.random.default_rng(0).random((repeats, 1, num, 1)) < p).astype(int)
    found = rate(OutcomeTable(labels))
    covered = float(np.mean((np.asarray(found.lower) <= p) & (p <= np.asarray(found.upper))))
    assert covered >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / repeats)
    expected = {50: 0.986, 32: 0.988}[num]  # exact coverage, by summing over outcomes
    assert abs(covered - expected) <= 3 * np.sqrt(expected * (1 - expected) / repeats) + 1e-3


@pytest.mark.costly
def test_clustered_limits_cover():
    rng, repeats, clusters = np.random.default_rng(0), 1000, 40
    harm = np.repeat(rng.beta(2, 4, (repeats, clusters)), 5, axis=1)
    labels = (rng.random((repeats, 1, 5 * clusters, 1)) < harm[:, None, :, None]).astype(int)
    found = rate(OutcomeTable(labels, cluster=np.repeat(np.arange(clusters), 5)))
    covered = np.mean((np.asarray(found.lower) <= 1 / 3) & (np.asarray(found.upper) >= 1 / 3))
    assert abs(covered - 0.95) <= 3 * np.sqrt(0.95 * 0.05 / repeats) + 0.01
    naive = rate(OutcomeTable(labels))
    assert np.mean((np.asarray(naive.lower) <= 1 / 3) & (np.asarray(naive.upper) >= 1 / 3)) < covered


@pytest.mark.costly
def test_bootstrap_agrees_with_the_error(clustered):
    key = jax.random.key(0)
    found = rate(clustered, method="bootstrap", num_resamples=4000, key=key)
    exact = rate(clustered, method="cluster_t")
    width = np.asarray(found.upper - found.lower) / np.asarray(exact.standard_error)
    assert np.all((width > 3.0) & (width < 4.4))  # 3.92 for a normal distribution
    lower, upper = bootstrap(clustered, lambda t: rate(t, method="cluster_t").estimate, num_resamples=1000, key=key)
    np.testing.assert_allclose(lower, found.lower, atol=0.03)
    np.testing.assert_allclose(upper, found.upper, atol=0.03)


@pytest.mark.parametrize("level", [0.5, 0.9, 0.999])
def test_percentile_limits_are_quantiles(level):
    draws = np.random.default_rng(0).normal(size=(203, 3)).astype(np.float32)
    draws[4, 2] = np.nan
    expected = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], axis=0)
    np.testing.assert_allclose(np.stack(percentile_limits(jnp.asarray(draws), level)), expected, rtol=1e-5)
    counts = percentile_limits(jnp.arange(200), level)  # of integers
    np.testing.assert_allclose(counts, [199 * (1 - level) / 2, 199 * (1 + level) / 2], rtol=1e-5)


def test_judge_error_is_undone():
    judge = fit_judge_error(np.array([[970, 30], [100, 900]]))
    read = 0.02 * 0.9 + 0.98 * 0.03
    assert read == pytest.approx(0.0474)
    observed = rate(table(474, 10_000))
    true = correct_for_judge(observed, judge=judge)
    assert float(true.estimate[0, 0]) == pytest.approx(0.02, abs=1e-6)
    assert float(true.lower[0, 0]) < 0.02 < float(true.upper[0, 0])
    assert rate(table(474, 10_000), judge=judge).status[0, 0] == Status.OK
    too_few = correct_for_judge(rate(table(1, 100)), judge=judge)
    assert int(too_few.status[0, 0]) == Status.NOT_IDENTIFIED
    assert float(too_few.estimate[0, 0]) < 0  # not cut, so that it stays unbiased
    useless = correct_for_judge(observed, judge=fit_judge_error(np.array([[5, 5], [5, 5]])))
    assert (float(useless.lower[0, 0]), float(useless.upper[0, 0])) == (0, 1)


def test_corrected_limits_cover():
    rng, repeats, p = np.random.default_rng(0), 1000, 0.1
    called = rng.binomial(400, p * 0.9 + (1 - p) * 0.05, repeats)
    hit, clear = rng.binomial(100, 0.9, repeats), rng.binomial(100, 0.95, repeats)
    confusion = np.stack([np.stack([clear, 100 - clear], 1), np.stack([100 - hit, hit], 1)], 1)

    @jax.jit
    @jax.vmap
    def one(count, confusion):
        return correct_for_judge(proportion(count, 400), judge=fit_judge_error(confusion))

    found = one(called, confusion)
    covered = np.mean((np.asarray(found.lower) <= p) & (p <= np.asarray(found.upper)))
    assert 0.95 - 3 * np.sqrt(0.95 * 0.05 / repeats) <= covered <= 0.995


def test_prediction_powered_limits_cover():
    rng, repeats = np.random.default_rng(0), 400
    truth = (rng.random((repeats, 1100)) < 0.3).astype(float)
    verdict = np.where(rng.random(truth.shape) < 0.85, truth, 1 - truth)
    found = jax.vmap(lambda f, y, more: ppi_rate(f, y, more))(verdict[:, :100], truth[:, :100], verdict[:, 100:])
    covered = np.mean((np.asarray(found.lower) <= 0.3) & (np.asarray(found.upper) >= 0.3))
    assert abs(covered - 0.95) <= 3 * np.sqrt(0.95 * 0.05 / repeats) + 0.01
    alone = truth[:, :100].std(1, ddof=1) / 10
    assert np.mean(np.asarray(found.standard_error) / alone) < 0.85


def test_tables_are_saved(tmp_path, clustered):
    save(clustered, tmp_path / "table.npz")
    again = load(tmp_path / "table.npz")
    for one, two in zip(rate(clustered), rate(again), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-6)
