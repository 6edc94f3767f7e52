"""Calibration: coverage over exchangeable families, and refusals."""

import jax
import numpy as np
import pytest

import verax.shift as vs
from verax._stats import clopper_pearson, conformal_quantile

pytestmark = pytest.mark.double

KEY = jax.random.key(0)


def families(rng, num, sets=5):
    """Families with their own slope and offset: exchangeable, and alike inside."""
    scores = rng.uniform(0, 1, (num, sets))
    errors = np.clip(0.2 + 0.5 * scores + 0.06 * rng.normal(size=(num, 1)) + 0.01 * rng.normal(size=(num, sets)), 0, 1)
    return scores, errors, np.repeat(np.arange(num), sets).astype(str)


@pytest.mark.parametrize("num", [9, 14, 19])
def test_coverage_of_new_families(num):
    rng = np.random.default_rng(num)
    covered = []
    for _ in range(400):
        scores, errors, names = families(rng, num + 1)
        known = slice(0, num * 5)
        calibration = vs.ErrorCalibration.fit(scores.ravel()[known], errors.ravel()[known], names[known])
        _, lower, upper = calibration.line(scores[-1])
        covered.append(np.all((lower <= errors[-1]) & (errors[-1] <= upper)))
    assert np.mean(covered) >= 0.9 - 3 * (0.9 * 0.1 / 400) ** 0.5


def test_fourteen_families_take_the_largest_residual():
    values = np.arange(14.0)
    assert conformal_quantile(values, 0.9, argument="families") == 13
    assert conformal_quantile(np.arange(19.0), 0.9, argument="families") == 17
    assert conformal_quantile(np.arange(9.0), 0.9, argument="families") == 8


def test_clopper_pearson():
    assert clopper_pearson(0, 10, 0.95) == pytest.approx((0.0, 0.3085), abs=1e-4)
    assert clopper_pearson(14, 15, 0.95) == pytest.approx((0.6805, 0.9983), abs=1e-4)
    assert clopper_pearson(10, 10, 0.95)[1] == 1.0


def test_validate_against_refits():
    scores, errors, names = families(np.random.default_rng(0), 12)
    calibration = vs.ErrorCalibration.fit(scores.ravel(), errors.ravel(), names)
    result = calibration.validate()
    out = names == "3"
    slope, intercept = np.polyfit(scores.ravel()[~out], errors.ravel()[~out], 1)
    np.testing.assert_allclose(result.predicted[out], slope * scores[3] + intercept)
    assert result.mean_absolute_error == pytest.approx(np.abs(result.predicted - errors.ravel()).mean())
    assert result.r_squared == pytest.approx(np.corrcoef(scores.ravel(), errors.ravel())[0, 1] ** 2)
    covered = (result.lower <= errors.ravel()) & (errors.ravel() <= result.upper)
    assert result.set_coverage[0] == pytest.approx(covered.mean())
    assert result.family_coverage[0] == pytest.approx(covered.reshape(12, 5).all(1).mean())
    assert result.family_coverage[1] < result.family_coverage[0] <= result.family_coverage[2]


def test_statuses_come_instead_of_numbers():
    scores, errors, names = families(np.random.default_rng(1), 10)
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 10, 2000)
    calibration = vs.ErrorCalibration.fit(scores.ravel(), errors.ravel(), names, reference_labels=labels)
    estimate = calibration.estimate(np.array([0.5, 7.0, np.nan, -3.0]))
    assert estimate.status.tolist() == [0, vs.Status.OUT_OF_RANGE, vs.Status.NON_FINITE, vs.Status.OUT_OF_RANGE]
    assert np.isfinite(estimate.error[0])
    assert np.all(np.isnan(np.stack(estimate[:3])[:, 1:]))
    alike = calibration.estimate(np.full(200, 0.5), predicted_labels=rng.integers(0, 10, (200, 500)))
    alarms = alike.status == vs.Status.LABEL_SHIFT  # the test's own rate of false alarms is 1 - level
    assert alarms.mean() <= 0.1 + 3 * (0.1 * 0.9 / 200) ** 0.5
    assert set(alike.status[~alarms].tolist()) == {vs.Status.OK}
    single = calibration.estimate(0.5, predicted_labels=np.zeros(500, int))
    assert int(single.status) == vs.Status.LABEL_SHIFT
    assert np.isnan(single.upper)
    new_class = calibration.estimate(0.5, predicted_labels=np.full(500, 11))
    assert int(new_class.status) == vs.Status.LABEL_SHIFT


def test_label_shift_is_judged_by_what_corruptions_do():
    scores, errors, names = families(np.random.default_rng(1), 10)
    rng = np.random.default_rng(3)
    # Corruptions push up to 40 % of the predictions into class 0.
    moved = [np.where(rng.random(400) < 0.4 * s, 0, rng.integers(0, 10, 400)) for s in scores.ravel()]
    calibration = vs.ErrorCalibration.fit(
        scores.ravel(), errors.ravel(), names, reference_labels=rng.integers(0, 10, 2000), calibration_labels=moved
    )
    assert not calibration.label_shift(moved[0])
    assert calibration.label_shift(rng.integers(0, 3, 400))
    alone = vs.ErrorCalibration.fit(scores.ravel(), errors.ravel(), names, reference_labels=rng.integers(0, 10, 2000))
    assert alone.label_shift(moved[int(np.argmax(scores))])


def test_bootstrap_widens():
    scores, errors, names = families(np.random.default_rng(1), 10)
    calibration = vs.ErrorCalibration.fit(scores.ravel(), errors.ravel(), names)
    alone = calibration.estimate(0.5)
    wide = calibration.estimate(0.5, score_samples=0.5 + 0.1 * np.random.default_rng(0).normal(size=200))
    assert wide.error == alone.error
    assert wide.lower < alone.lower < alone.upper < wide.upper


def test_a_calibration_is_kept(tmp_path):
    scores, errors, names = families(np.random.default_rng(1), 10)
    calibration = vs.ErrorCalibration.fit(
        scores.ravel(), errors.ravel(), names, reference_labels=np.arange(50) % 5, level=0.8
    )
    vs.save(calibration, tmp_path / "calibration.npz")
    again = vs.load(tmp_path / "calibration.npz")
    assert again.estimate(0.4) == calibration.estimate(0.4)
    assert again.label_shift(np.zeros(40, int)) == calibration.label_shift(np.zeros(40, int))


@pytest.mark.statistical
@pytest.mark.parametrize("num", [3, 5, 8])
def test_few_families_by_the_normal_distribution(num):
    rng = np.random.default_rng(num)
    covered = []
    for _ in range(400):
        scores, errors, names = families(rng, num + 1)
        known = slice(0, num * 5)
        options = {"few_families": "normal"}
        calibration = vs.ErrorCalibration.fit(scores.ravel()[known], errors.ravel()[known], names[known], **options)
        assert not calibration.exact
        _, lower, upper = calibration.line(scores[-1])
        covered.append(np.all((lower <= errors[-1]) & (errors[-1] <= upper)))
    assert np.mean(covered) >= 0.9 - 3 * np.sqrt(0.09 / 400)
    enough, _, names = families(rng, 9)
    assert vs.ErrorCalibration.fit(enough.ravel(), enough.ravel(), names, few_families="normal").exact
