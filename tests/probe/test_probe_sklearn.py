"""The probe keeps scikit-learn's contract."""

import pickle
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from verax.probe import RidgeProbe

pytestmark = pytest.mark.double

COPIES = "a weight is an importance and no number of copies, which would make leave-one-out too small"
NO_COPIES = {f"check_sample_weight_equivalence_on_{kind}_data": COPIES for kind in ("dense", "sparse")}


@pytest.mark.bad_input  # some of the checks pass options of wrong types
@pytest.mark.parametrize("options", [{}, {"task": "regression"}, {"criterion": "loo"}], ids=str)
def test_scikit_learn_checks_pass(options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the checks themselves warn of what they skip
        results = check_estimator(RidgeProbe(**options), on_fail=None, expected_failed_checks=NO_COPIES)
    assert len(results) > 50
    assert [r["check_name"] for r in results if r["status"] not in ("passed", "skipped", "xfail")] == []
    # What is skipped needs pandas or SciPy's array API switch.
    assert sum(r["status"] == "skipped" for r in results) <= 2


def data(rng, n=120, p=6):
    x = rng.normal(size=(n, p))
    return x, np.where(x[:, 0] + 0.5 * rng.normal(size=n) > 0, "yes", "no")


def test_pipeline_grid_search_and_cross_validation(rng):
    x, y = data(rng)
    pipeline = make_pipeline(StandardScaler(), RidgeProbe())
    scores = cross_val_score(pipeline, x, y, cv=3)
    assert scores.mean() > 0.75
    search = GridSearchCV(
        pipeline, {"ridgeprobe__criterion": ["gcv", "loo"], "ridgeprobe__ridges": [[0.01], [0.1]]}, cv=3
    )
    search.fit(x, y)
    assert search.best_score_ > 0.75
    assert set(search.predict(x)) == {"yes", "no"}


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_clone_and_pickle(rng, task):
    x, y = data(rng)
    y = y if task == "classification" else x[:, 1]
    probe = RidgeProbe(task=task, level=0.9).fit(x, y)
    again = pickle.loads(pickle.dumps(probe))
    np.testing.assert_array_equal(again.predict(x), probe.predict(x))
    np.testing.assert_array_equal(again.learning_curve([50, 500]).upper, probe.learning_curve([50, 500]).upper)
    fresh = clone(probe)
    assert fresh.get_params() == probe.get_params()
    assert not hasattr(fresh, "risk_")


def test_methods_of_a_classifier_are_absent_from_a_regressor():
    assert not hasattr(RidgeProbe(task="regression"), "predict_proba")
    assert hasattr(RidgeProbe(), "predict_proba")
