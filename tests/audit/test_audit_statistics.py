"""Conformal p-values, their combination, and the rates of a detector."""

import numpy as np
import pytest
import scipy.stats

from verax.audit import combine_p_values, conformal_p_value, detection_report


def test_conformal_p_values_are_valid_with_ties_too(rng):
    num, size = 4000, 19
    draws = np.round(rng.normal(size=(num, size + 1)), 1)
    p = np.array([conformal_p_value(row[:1], row[1:])[0] for row in draws])
    for alpha in (0.05, 0.1, 0.5):
        assert (p <= alpha).mean() <= alpha + 4 * np.sqrt(alpha * (1 - alpha) / num)
    exact = np.array([conformal_p_value(row[:1], row[1:])[0] for row in rng.normal(size=(num, size + 1))])
    assert abs((exact <= 0.05).mean() - 0.05) < 4 * np.sqrt(0.05 * 0.95 / num)  # without ties it is exact


def test_fisher_is_scipy_s():
    p = np.array([[0.01, 0.3], [0.2, 0.9], [0.5, 0.04]])
    expected = [scipy.stats.combine_pvalues(column, method="fisher").pvalue for column in p.T]
    np.testing.assert_allclose(combine_p_values(p), expected, rtol=1e-12)


def test_merged_e_values_stay_valid_under_complete_dependence(rng):
    u = rng.uniform(size=5000)
    p = combine_p_values(np.stack([u, u, u]), method="e_merge")
    assert (p <= 0.05).mean() <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / 5000)
    assert (combine_p_values(np.stack([u, u, u])) <= 0.05).mean() > 0.08  # where Fisher is not


def test_the_area_is_that_of_mann_and_whitney(rng):
    scores, covert = np.round(rng.normal(size=60), 1), np.arange(60) < 25
    report = detection_report(scores, covert, ["family"] * 60, fpr=(0.2,))
    statistic = scipy.stats.mannwhitneyu(scores[covert], scores[~covert]).statistic
    assert report.auc == pytest.approx(statistic / (25 * 35))
    widths = np.diff(report.roc[:, 0])
    assert report.auc == pytest.approx((widths * (report.roc[1:, 1] + report.roc[:-1, 1]) / 2).sum())


def test_delong_s_error_is_the_spread_over_samples(rng):
    reports = [
        detection_report(np.concatenate([rng.normal(1, 1, 30), rng.normal(size=40)]), np.arange(70) < 30, ["f"] * 70)
        for _ in range(200)
    ]
    spread = np.std([r.auc for r in reports])
    assert np.mean([r.auc_standard_error for r in reports]) == pytest.approx(spread, rel=4 / np.sqrt(2 * 200))


def test_a_job_is_flagged_where_its_conformal_p_value_is_small(rng):
    scores, covert = np.round(rng.normal(size=250), 1), np.arange(250) < 50
    scores[covert] += 1
    report = detection_report(scores, covert, ["f"] * 250, fpr=(0.01, 0.05))
    p = conformal_p_value(scores[covert], scores[~covert])
    np.testing.assert_allclose(report.tpr, [(p <= 0.01).mean(), (p <= 0.05).mean()])
    for tpr, lower, upper in zip(report.tpr, report.tpr_lower, report.tpr_upper, strict=True):
        interval = scipy.stats.binomtest(round(tpr * 50), 50).proportion_ci(method="exact")
        assert (lower, upper) == pytest.approx((interval.low, interval.high))
    assert all(i.estimate <= rate for i, rate in zip(report.realised_fpr, (0.01, 0.05), strict=True))


def test_too_few_benign_jobs_resolve_nothing():
    scores = np.array([0.0] * 50 + [9.0] * 10)
    report = detection_report(scores, np.arange(60) >= 50, ["f"] * 60)
    assert report.resolved.tolist() == [False, True]
    assert report.tpr.tolist() == [0.0, 1.0]


def test_families_are_told_apart_and_the_undetermined_are_not_flagged():
    scores = np.array([0.0] * 30 + [1.0] * 5 + [-np.inf] * 5)
    names = ["benign"] * 30 + ["substitution"] * 5 + ["positional"] * 5
    report = detection_report(scores, np.arange(40) >= 30, names, fpr=(0.05,))
    assert report.by_family["substitution"][0].estimate == 1
    assert report.by_family["positional"][0].estimate == 0
    assert report.auc == pytest.approx(0.5)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: conformal_p_value(np.ones(2), np.ones(0)), "reference"),
        (lambda: conformal_p_value(np.array([np.inf]), np.ones(2)), "scores"),
        (lambda: conformal_p_value(np.ones((2, 2)), np.ones(2)), "scores"),
        (lambda: combine_p_values(np.array([0.0, 0.5])), "p_values"),
        (lambda: combine_p_values(np.array([0.5, 1.5])), "p_values"),
        (lambda: combine_p_values(np.array(0.5)), "p_values"),
        (lambda: combine_p_values(np.array([0.5]), method="mean"), "method"),
        (lambda: detection_report(np.ones(3), np.ones(3, bool), ["f"] * 3), "is_covert"),
        (lambda: detection_report(np.array([1, np.inf]), np.array([True, False]), ["f"] * 2), "scores"),
        (lambda: detection_report(np.ones(3), np.array([True, False]), ["f"] * 3), "is_covert"),
        (lambda: detection_report(np.ones(2), np.array([True, False]), ["f"] * 2, fpr=(0.0,)), "fpr"),
        (lambda: detection_report(np.ones(2), np.array([True, False]), ["f"] * 2, level=1.0), "level"),
    ],
)
def test_what_makes_no_sense_is_refused(call, argument):
    with pytest.raises(ValueError, match=rf"^{argument}: got .*; need "):
        call()
