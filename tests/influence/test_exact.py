"""Exact influence against refits without the examples."""

import numpy as np
import pytest

from verax.influence import Status, exact_influence, load, save, top
from verax.probe import RidgeProbe
from verax.spectral import kernel_ridge_fit

N, M, P = 14, 5, 4


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    x, points = rng.normal(size=(N, P)) + 3, rng.normal(size=(M, P)) + 3
    y = x @ rng.normal(size=(P, 2)) + rng.normal(size=(N, 2))
    return x, y, points, points @ rng.normal(size=(P, 2))


def kernel_of(a, b):
    return np.exp(-((a[:, None] - b[None]) ** 2).sum(-1) / 8)


def ridge_predictions(x, y, penalty, points):
    """Ridge regression with a free intercept, by its normal equations."""
    design = np.c_[x, np.ones(len(x))]
    unpenalised = np.diag([penalty] * x.shape[1] + [0.0])
    return np.c_[points, np.ones(len(points))] @ np.linalg.solve(design.T @ design + unpenalised, design.T @ y)


def sets_of(groups):
    if groups is None:
        return [np.array([i]) for i in range(N)]
    if groups.ndim == 2:
        return [np.flatnonzero(row) for row in groups]
    return [np.flatnonzero(groups == name) for name in np.unique(groups)]


GROUPS = {
    "each": None,
    "labels": np.array(["b", "a"] * 5 + ["c"] * 4),
    "sets that overlap": np.random.default_rng(1).random((3, N)) < 0.5,
    "all but one": np.eye(N, dtype=bool)[:2] == 0,
}


@pytest.mark.parametrize("groups", GROUPS.values(), ids=GROUPS)
@pytest.mark.parametrize("center", [True, False])
def test_kernel_ridge_equals_refits(data, groups, center):
    x, y, points, wanted = data
    kernel, cross = kernel_of(x, x), kernel_of(points, x)
    model = kernel_ridge_fit(kernel, y, 0.05, center=center)
    found = exact_influence(model, (cross, wanted), groups, train=(kernel, y))
    before = model.predict(cross)
    for column, members in enumerate(sets_of(groups)):
        kept = np.setdiff1d(np.arange(N), members)
        ridge = 0.05 * N / len(kept)
        if len(kept) > 1 or not center:
            refit = kernel_ridge_fit(kernel[np.ix_(kept, kept)], y[kept], ridge, center=center)
            after = refit.predict(cross[:, kept])
        else:  # an intercept through a single example
            after = np.tile(y[kept], (M, 1))
        np.testing.assert_allclose(found.prediction_change[:, column], after - before, rtol=0, atol=1e-10)
        change = ((wanted - after) ** 2 - (wanted - before) ** 2).sum(1)
        np.testing.assert_allclose(found.scores[:, column], change, rtol=0, atol=1e-10)
    assert found.status == Status.OK
    assert found.standard_error == 0


@pytest.mark.parametrize("groups", [GROUPS["each"], GROUPS["labels"]], ids=["each", "labels"])
@pytest.mark.parametrize("extra", [0, 20])
def test_probe_equals_refits(data, groups, extra):
    """With fewer features than examples, and with more."""
    x, y, points, wanted = data
    rng = np.random.default_rng(2)
    x, points = np.c_[x, rng.normal(size=(N, extra))], np.c_[points, rng.normal(size=(M, extra))]
    model = RidgeProbe(task="regression", ridges=[0.3]).fit(x, y)
    found = exact_influence(model, (points, wanted), groups, train=(x, y))
    np.testing.assert_allclose(ridge_predictions(x, y, 0.3 * N, points), model.predict(points), atol=1e-10)
    for column, members in enumerate(sets_of(groups)):
        kept = np.setdiff1d(np.arange(N), members)
        after = ridge_predictions(x[kept], y[kept], 0.3 * N, points)
        change = after - model.predict(points)
        np.testing.assert_allclose(found.prediction_change[:, column], change, rtol=0, atol=1e-10)


def test_a_class_may_leave_a_classifier(data):
    x = data[0]
    labels = np.array(["cat", "dog", "eel", "cat", "dog", "cat", "eel"] * 2)
    model = RidgeProbe(ridges=[0.1]).fit(x, labels)
    points = x[labels == "cat"]
    found = exact_influence(model, (points, ["cat"] * len(points)), labels, train=(x, labels))
    assert found.groups.tolist() == ["cat", "dog", "eel"]
    kept = labels != "dog"
    onehot = (labels[:, None] == np.array(["cat", "dog", "eel"])).astype(float)
    after = ridge_predictions(x[kept], onehot[kept], 0.1 * N, points)
    before = ridge_predictions(x, onehot, 0.1 * N, points)
    np.testing.assert_allclose(found.prediction_change[:, 1], after - before, atol=1e-10)
    assert (found.scores[:, 0] > 0).all()  # every cat is worse off without the cats


def test_without_test_targets_scores_are_squared_changes(data):
    x, y, points, _ = data
    model = RidgeProbe(task="regression", ridges=[0.3]).fit(x, y[:, 0])
    found = exact_influence(model, points, train=(x, y[:, 0]))
    assert found.prediction_change.shape == (M, N)
    np.testing.assert_allclose(found.scores, found.prediction_change**2, atol=1e-12)


def test_single_precision_models_are_recognised(data):
    x, y, points, _ = data
    kernel, cross = (kernel_of(a, x).astype(np.float32) for a in (x, points))
    model = kernel_ridge_fit(kernel, y[:, 0].astype(np.float32), 0.05)
    found = exact_influence(model, cross, train=(kernel, y[:, 0]))
    exact = exact_influence(
        kernel_ridge_fit(kernel.astype(float), y[:, 0], 0.05), cross.astype(float), train=(kernel, y[:, 0])
    )
    np.testing.assert_allclose(found.scores, exact.scores, rtol=1e-4, atol=1e-6)


def test_interpolation_of_a_point_is_a_status():
    x = np.array([[0.0], [0.0], [0.0], [1.0]])  # the last example alone determines the slope
    y = np.array([0.0, 1.0, 2.0, 5.0])
    kernel = x @ x.T
    model = kernel_ridge_fit(kernel + 1e-9 * np.eye(4), y, 1e-9)
    found = exact_influence(model, np.array([[1.0, 0, 0, 0]]), train=(kernel + 1e-9 * np.eye(4), y))
    assert (found.status == Status.OK) == np.isfinite(found.scores).all()


def test_save_load_and_top(data, tmp_path):
    x, y, points, wanted = data
    kernel = kernel_of(x, x)
    model = kernel_ridge_fit(kernel, y, 0.05)
    found = exact_influence(model, (kernel_of(points, x), wanted), GROUPS["labels"], train=(kernel, y))
    save(found, tmp_path / "influence.npz")
    again = load(tmp_path / "influence.npz")
    assert np.array_equal(again.scores, found.scores)
    assert again.groups.tolist() == ["a", "b", "c"]
    best = top(again, 1)
    assert np.array_equal(best.helpful_scores[:, 0], found.scores.max(1))
    assert np.array_equal(best.harmful[:, 0], found.scores.argmin(1))


@pytest.mark.bad_input
def test_bad_input(data):
    x, y, points, wanted = data
    kernel, cross = kernel_of(x, x), kernel_of(points, x)
    model = kernel_ridge_fit(kernel, y, 0.05)
    train = (kernel, y)
    cases = [
        ("model", lambda: exact_influence(np.zeros(3), cross, train=train)),
        ("train", lambda: exact_influence(model, cross, train=kernel)),
        ("train", lambda: exact_influence(model, cross, train=(kernel[:5], y))),
        ("train", lambda: exact_influence(model, cross, train=(kernel, y[::-1]))),
        ("train", lambda: exact_influence(model, cross, train=(2 * kernel, y))),
        ("train", lambda: exact_influence(model, cross, train=(np.where(kernel == 1, np.nan, kernel), y))),
        ("test", lambda: exact_influence(model, cross[:, :3], train=train)),
        ("test", lambda: exact_influence(model, (cross, wanted[:2]), train=train)),
        ("groups", lambda: exact_influence(model, cross, np.zeros(3), train=train)),
        ("groups", lambda: exact_influence(model, cross, np.zeros(N), train=train)),
        ("groups", lambda: exact_influence(model, cross, np.zeros((1, N), bool), train=train)),
        ("k", lambda: top(exact_influence(model, cross, train=train), N + 1)),
        ("influence", lambda: top(kernel, 1)),
    ]
    for argument, call in cases:
        with pytest.raises(ValueError, match=f"^{argument}: got .*; need "):
            call()
