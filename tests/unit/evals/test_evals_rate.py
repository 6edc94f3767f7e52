"""Outcome tables and binomial rates."""

import jax
import numpy as np
import pytest
from scipy import stats

from verax.evals import Outcome, OutcomeTable, rate


def table(count, total, unclear=0, missing=0):
    labels = np.repeat([1, 0, 2, 3], [count, total - count, unclear, missing])
    return OutcomeTable(labels.reshape(1, 1, -1, 1))


@pytest.mark.parametrize("count", [0, 1, 7, 39, 40])
@pytest.mark.parametrize(("method", "name"), [("clopper_pearson", "exact"), ("wilson", "wilson")])
def test_limits_are_scipys(count, method, name):
    ours = rate(table(count, 40), method=method)
    theirs = stats.binomtest(count, 40).proportion_ci(method=name)
    np.testing.assert_allclose([ours.lower[0, 0], ours.upper[0, 0]], theirs, atol=2e-5)


def test_jeffreys_is_the_beta_quantile():
    ours = rate(table(7, 40), method="jeffreys")
    np.testing.assert_allclose(
        [ours.lower[0, 0], ours.upper[0, 0]], stats.beta(7.5, 33.5).ppf([0.025, 0.975]), atol=2e-5
    )


def test_verdicts_that_failed_widen_both_limits():
    ours = rate(table(4, 30, unclear=6, missing=4))
    assert float(ours.estimate[0, 0]) == pytest.approx(4 / 30)
    np.testing.assert_allclose(ours.lower[0, 0], stats.binomtest(4, 40).proportion_ci().low, atol=2e-5)
    np.testing.assert_allclose(ours.upper[0, 0], stats.binomtest(14, 40).proportion_ci().high, atol=2e-5)


def test_no_verdict_is_a_status():
    ours = rate(table(0, 0, missing=40))
    assert np.isnan(ours.estimate[0, 0])
    assert (float(ours.lower[0, 0]), float(ours.upper[0, 0]), int(ours.status[0, 0])) == (0.0, 1.0, 1)


def test_jit_equals_eager():
    t = table(7, 40)
    np.testing.assert_allclose(jax.jit(rate)(t).upper, rate(t).upper, rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: OutcomeTable(np.full((1, 1, 2, 1), 4)), "labels"),
        (lambda: OutcomeTable(np.zeros((2, 2), int)), "labels"),
        (lambda: OutcomeTable(np.zeros((1, 1, 2, 1), int), weight=np.array([1.0, -1.0])), "weight"),
        (lambda: OutcomeTable(np.zeros((1, 1, 2, 1), int), prompt_ids=("a", "a")), "prompt_ids"),
        (lambda: OutcomeTable(np.zeros((1, 1, 2, 1), int), cluster=np.array([0])), "cluster"),
        (lambda: rate(OutcomeTable(np.zeros((1, 1, 2, 3), int))), "samples"),
        (lambda: rate(table(1, 4), outcome=Outcome.MISSING), "outcome"),
        (lambda: rate(table(1, 4), level=1.0), "level"),
        (lambda: rate(table(1, 4), method="wald"), "method"),
    ],
)
def test_bad_input(call, match):
    with pytest.raises(ValueError, match=match):
        call()
