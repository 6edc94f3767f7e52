"""Confusion matrices without labels: exact where a method's assumption holds, and their metrics."""

import jax
import numpy as np
import pytest

import verax.shift as vs

KEY = jax.random.key(0)


def calibrated(rng, num, shares):
    """Log-likelihood ratios of a model that is right under equal shares of the labels."""
    labels = rng.choice(3, num, p=shares)
    return 2 * (2 * np.eye(3)[labels] + rng.normal(size=(num, 3))), labels


def confusion_of(logits, labels):
    matrix = np.zeros((3, 3))
    np.add.at(matrix, (labels, logits.argmax(1)), 1 / len(labels))
    return matrix


@pytest.mark.parametrize(
    ("method", "shares"),
    [("calibrated", (1 / 3,) * 3), ("label_shift", (0.7, 0.2, 0.1))],
)
def test_each_method_is_right_where_its_assumption_holds(rng, method, shares):
    val, labels = calibrated(rng, 3000, (1 / 3,) * 3)
    target, truth = calibrated(rng, 3000, shares)
    found = vs.estimate_confusion(val, labels, target, method=method, num_resamples=2, key=KEY)
    expected = confusion_of(target, truth)
    np.testing.assert_allclose(found.matrix, expected, atol=0.015)
    assert found.matrix.sum() == pytest.approx(1)
    if method == "label_shift":
        naive = vs.estimate_confusion(val, labels, target, num_resamples=2, key=KEY)
        assert abs(naive.accuracy.value - np.trace(expected)) > 2 * abs(found.accuracy.value - np.trace(expected))


def test_metrics_are_those_of_the_matrix(rng):
    val, labels = calibrated(rng, 200, (1 / 3,) * 3)
    found = vs.estimate_confusion(val, labels, val, num_resamples=20, key=KEY)
    m = found.matrix
    assert found.accuracy.value == pytest.approx(1 - float(vs.average_confidence(val, labels, val)), abs=1e-6)
    np.testing.assert_allclose(found.recall.value, np.diag(m) / m.sum(1))
    np.testing.assert_allclose(found.precision.value, np.diag(m) / m.sum(0))
    np.testing.assert_allclose(1 / found.f1.value, (1 / found.recall.value + 1 / found.precision.value) / 2)
    assert found.cost(1 - np.eye(3)).value == pytest.approx(1 - found.accuracy.value)
    for estimate in (found.accuracy, found.recall, found.f1):
        assert np.all(estimate.lower <= estimate.value)
        assert np.all(estimate.value <= estimate.upper)


@pytest.mark.statistical
def test_limits_cover_under_label_shift():
    shares = (0.6, 0.3, 0.1)
    many, of_many = calibrated(np.random.default_rng(99), 100_000, shares)
    accuracy, covered = np.mean(many.argmax(1) == of_many), []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        val, labels = calibrated(rng, 500, (1 / 3,) * 3)
        target, _ = calibrated(rng, 500, shares)
        found = vs.estimate_confusion(val, labels, target, method="label_shift", num_resamples=60, key=KEY).accuracy
        covered.append(found.lower <= accuracy <= found.upper)
    assert np.mean(covered) >= 0.9 - 3 * np.sqrt(0.09 / 40)


@pytest.mark.bad_input
def test_bad_input():
    z, y = np.eye(3) + 1, np.array([0, 1, 1])
    with pytest.raises(ValueError, match=r"^method: got 'bbse'"):
        vs.estimate_confusion(z, y, z, method="bbse", key=KEY)
    with pytest.raises(ValueError, match=r"^val_labels: got no example of classes \[2\]"):
        vs.estimate_confusion(z, y, z, method="label_shift", key=KEY)
