"""Tables as they come: groups, weights, sparse and narrow features, one-hot and several labels."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import Ridge
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict

from verax.probe import LawStatus, RidgeProbe

pytestmark = pytest.mark.double


def grouped(p, num_groups=40, size=4, seed=0):
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(num_groups, p))
    y = (centers[:, 0] + rng.normal(size=num_groups) > 0).astype(int)
    group = rng.permutation(np.repeat(np.arange(num_groups), size))
    return centers[group] + 0.5 * rng.normal(size=(len(group), p)), y[group], group


@pytest.mark.reference
@pytest.mark.parametrize("p", [10, 200], ids=["primal", "dual"])
def test_groups_are_left_out_whole(p):
    x, y, group = grouped(p)
    probe = RidgeProbe(ridges=[0.1]).fit(x, y, groups=np.array(list("abcdefghij"))[group % 10] + group.astype(str))
    model = Ridge(alpha=0.1 * len(y), solver="svd")
    scores = cross_val_predict(model, x, np.eye(2)[y], cv=LeaveOneGroupOut(), groups=group)
    assert probe.error_.value == pytest.approx(np.mean(scores.argmax(1) != y))
    assert probe.risk_.value == pytest.approx(np.mean(np.sum((np.eye(2)[y] - scores) ** 2, axis=1)), rel=1e-8)


def test_groups_widen_intervals_and_the_difference_is_reported():
    x, y, group = grouped(20)
    alone, whole = RidgeProbe().fit(x, y), RidgeProbe().fit(x, y, groups=group)
    assert whole.error_.upper - whole.error_.lower > alone.error_.upper - alone.error_.lower
    assert any("rows of a group resemble each other" in text for text in whole.warnings_)
    assert whole.law_.status != LawStatus.DUPLICATES
    assert whole.learning_curve(1000).upper <= 1


@pytest.mark.reference
@pytest.mark.parametrize("p", [8, 90], ids=["primal", "dual"])
def test_weights_are_those_of_weighted_least_squares(rng, p):
    x, y = rng.normal(size=(60, p)) + 2, rng.normal(size=60)
    weights = rng.uniform(0.2, 3, 60)
    weights[:5] = 0
    probe = RidgeProbe(task="regression", ridges=[0.2]).fit(x, y, sample_weight=10 * weights)
    kept = np.flatnonzero(weights)
    w = weights[kept] / weights[kept].mean()
    model = Ridge(alpha=0.2 * len(kept), solver="svd").fit(x[kept], y[kept], sample_weight=w)
    np.testing.assert_allclose(probe.coef_[0], model.coef_, atol=1e-9)
    np.testing.assert_allclose(probe.intercept_, model.intercept_, atol=1e-8)
    losses = []
    for i in range(len(kept)):
        rest = np.delete(kept, i)
        fit = Ridge(alpha=0.2 * len(kept), solver="svd").fit(x[rest], y[rest], sample_weight=np.delete(w, i))
        losses.append((y[kept[i]] - fit.predict(x[kept[i : i + 1]])[0]) ** 2)
    assert probe.risk_.value == pytest.approx(np.average(losses, weights=w), rel=1e-8)


@pytest.mark.parametrize("p", [12, 150], ids=["primal", "dual"])
def test_sparse_features_are_dense_ones(rng, p):
    x = np.where(rng.random((100, p)) < 0.1, rng.normal(size=(100, p)), 0)
    y = (x[:, :5].sum(1) + 0.2 * rng.normal(size=100) > 0).astype(int)
    for kind in (sparse.csr_matrix, sparse.coo_array):
        found, expected = RidgeProbe().fit(kind(x), y), RidgeProbe().fit(x, y)
        np.testing.assert_allclose(found.coef_, expected.coef_, atol=1e-10)
        assert found.law_.duplicates == expected.law_.duplicates
        np.testing.assert_array_equal(found.predict(kind(x)), expected.predict(x))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float8_e4m3fn, jnp.float16])
def test_narrow_features_count_as_their_values(rng, dtype):
    x, y = rng.normal(size=(80, 4)), rng.integers(0, 2, 80)
    expected = RidgeProbe().fit(np.asarray(jnp.asarray(x, jnp.float32).astype(dtype).astype(jnp.float32)), y)
    for features in (jnp.asarray(x, jnp.float32).astype(dtype), np.asarray(jnp.asarray(x, jnp.float32).astype(dtype))):
        np.testing.assert_allclose(RidgeProbe().fit(features, y).coef_, expected.coef_, atol=1e-10)


def test_one_hot_rows_are_classes(rng):
    x = rng.normal(size=(90, 5))
    codes = np.argmax(x[:, :3] + 0.3 * rng.normal(size=(90, 3)), axis=1)
    found, expected = RidgeProbe().fit(x, np.eye(3, dtype=int)[codes]), RidgeProbe().fit(x, codes)
    assert found.error_ == expected.error_
    np.testing.assert_array_equal(found.predict(x), np.eye(3)[expected.predict(x)])


def test_several_labels_per_row(rng):
    x, new = rng.normal(size=(300, 6)), rng.normal(size=(2000, 6))

    def label(x, rng):
        return (x[:, :3] + 0.5 * rng.normal(size=(len(x), 3)) > [0, 0.5, -0.5]).astype(int)

    y, new_y = label(x, rng), label(new, rng)
    probe = RidgeProbe().fit(x, y)
    assert probe.error_.lower < np.mean(probe.predict(new) != new_y) < probe.error_.upper
    np.testing.assert_allclose(probe.per_class_.error.mean(), probe.error_.value)
    assert probe.predict_proba(new).shape == (2000, 3)
    assert probe.independence_check(new, new_y).p_value > 1e-3
    assert float(probe.learning_curve(1200).value) == pytest.approx(probe.error_.value, abs=0.05)


def test_area_under_the_roc_curve(rng):
    x, new = rng.normal(size=(300, 5)), rng.normal(size=(3000, 5))
    y, new_y = (z[:, 0] + rng.normal(size=len(z)) > 0.8 for z in (x, new))
    probe = RidgeProbe().fit(x, y)
    truth = roc_auc_score(new_y, probe.decision_function(new))
    assert probe.roc_auc_.lower < truth < probe.roc_auc_.upper
    nothing = RidgeProbe().fit(rng.normal(size=(60, 3)), np.arange(60) % 2)
    assert nothing.roc_auc_.lower < 0.5 < nothing.roc_auc_.upper  # leaving a row out pulls its own score away


def test_constant_and_copied_columns_are_named(rng):
    x = rng.normal(size=(50, 6))
    x[:, 2], x[:, 5] = 7, x[:, 0]
    text = " ".join(RidgeProbe().fit(x, x[:, 0] > 0).warnings_)
    assert "columns 2 are constant; columns 5 are copies of others" in text


@pytest.mark.parametrize("p", [4, 100])
def test_ridge_zero_is_allowed(rng, p):
    x, y = rng.normal(size=(30, p)), rng.normal(size=30)
    probe = RidgeProbe(task="regression", ridges=[0.0]).fit(x, y)
    losses = []
    for i in range(30):
        rest = np.arange(30) != i
        mean, level = x[rest].mean(0), y[rest].mean()
        solution = np.linalg.pinv(x[rest] - mean) @ (y[rest] - level)
        losses.append((y[i] - level - (x[i] - mean) @ solution) ** 2)
    assert probe.risk_.value == pytest.approx(np.mean(losses), rel=1e-6)
