import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from verax.probe import ForecastStatus, NeedStatus, RidgeProbe

pytestmark = pytest.mark.bad_input

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 5))
Y = (X[:, 0] > 0).astype(int)
INF = np.where(np.eye(40, 5) > 0, np.inf, X)
PROBE = RidgeProbe().fit(X, Y)
REGRESSION = RidgeProbe(task="regression").fit(X, X[:, 0])
TEXT = np.array(["a", "b"])[Y]

CASES = {
    "one class": (lambda: RidgeProbe().fit(X, np.zeros(40)), "y: got one class"),
    "a class for each example": (lambda: RidgeProbe().fit(X, np.arange(40)), "fewer classes than examples"),
    "real numbers as labels": (lambda: RidgeProbe().fit(X, X[:, 0]), "Unknown label type"),
    "labels of another length": (lambda: RidgeProbe().fit(X, Y[:39]), "inconsistent numbers of samples"),
    "nan in the features": (lambda: RidgeProbe().fit(np.full((40, 5), np.nan), Y), "X: got NaN or infinity in 40 rows"),
    "infinity in the features": (lambda: RidgeProbe().fit(INF, Y), "the first of them row 0"),
    "nan in a wide matrix": (lambda: RidgeProbe().fit(np.full((40, 50), np.nan), Y), "X: got NaN or infinity"),
    "constant features": (lambda: RidgeProbe().fit(np.ones((40, 5)), Y), "X: got constant columns only"),
    "one-dimensional features": (lambda: RidgeProbe().fit(X[:, 0], Y), "Expected 2D array"),
    "no columns": (lambda: RidgeProbe().fit(X[:, :0], Y), "0 feature"),
    "complex features": (lambda: RidgeProbe().fit(X * 1j, Y), "Complex data not supported"),
    "one example": (lambda: RidgeProbe().fit(X[:1], Y[:1]), "minimum of 2"),
    "negative weights": (lambda: RidgeProbe().fit(X, Y, sample_weight=np.arange(-1, 39)), "sample_weight: got -1"),
    "weights of another length": (
        lambda: RidgeProbe().fit(X, Y, sample_weight=np.ones(39)),
        "sample_weight: got shape",
    ),
    "one weight": (lambda: RidgeProbe().fit(X, Y, sample_weight=np.eye(40)[0]), "sample_weight: got 1 positive"),
    "one group": (lambda: RidgeProbe().fit(X, Y, groups=np.zeros(40)), "groups: got one group"),
    "missing group": (lambda: RidgeProbe().fit(X, Y, groups=[None] + ["a"] * 20 + ["b"] * 19), "groups: got 1 missing"),
    "several numbers as labels": (lambda: RidgeProbe().fit(X, np.stack([Y, Y + 1], 1)), "zeros and ones"),
    "task": (lambda: RidgeProbe(task="ranking").fit(X, Y), "task: got 'ranking'"),
    "criterion": (lambda: RidgeProbe(criterion="aic").fit(X, Y), "criterion: got 'aic'"),
    "ridge below zero": (lambda: RidgeProbe(ridges=[-0.1, 1.0]).fit(X, Y), "ridges: got -0.1"),
    "ridge nan": (lambda: RidgeProbe(ridges=[np.nan]).fit(X, Y), "ridges"),
    "no ridges": (lambda: RidgeProbe(ridges=[]).fit(X, Y), "ridges"),
    "level": (lambda: RidgeProbe(level=95.0).fit(X, Y), "level: got 95.0; need a number between 0 and 1"),
    "class weights of a regression": (
        lambda: RidgeProbe(task="regression", class_weight="balanced").fit(X, X[:, 0]),
        "class_weight",
    ),
    "negative class weight": (lambda: RidgeProbe(class_weight={0: -1.0, 1: 1.0}).fit(X, Y), "positive weights"),
    "small budget": (lambda: RidgeProbe(memory_budget=1000).fit(X, Y), "memory_budget: got 1,000 bytes; need at least"),
    "budget of no number": (lambda: RidgeProbe(memory_budget="1GB").fit(X, Y), "memory_budget"),
    "equal targets": (lambda: RidgeProbe(task="regression").fit(X, np.ones(40)), "targets that vary"),
    "nan in the targets": (lambda: RidgeProbe(task="regression").fit(X, np.full(40, np.nan)), "NaN"),
    "text as targets": (lambda: RidgeProbe(task="regression").fit(X, TEXT), "y: got"),
    "curve of too few, for those who want an exception": (
        lambda: PROBE.learning_curve(100).raise_if_failed(),
        "Forecast.status: got NONE",
    ),
    "curve at one example": (lambda: PROBE.learning_curve(1), "num_samples"),
    "curve at nothing": (lambda: PROBE.learning_curve([]), "num_samples"),
    "target zero": (lambda: PROBE.samples_needed(0), "target: got 0; need a number between 0 and 1"),
    "target in per cent": (lambda: PROBE.samples_needed(5), "target: got 5"),
    "fresh of another width": (lambda: PROBE.independence_check(X[:, :4], Y), "4 features"),
    "fresh of other labels": (lambda: PROBE.independence_check(X, Y + 1), "fresh_y: got unknown labels"),
    "fresh with nan": (lambda: PROBE.independence_check(np.full((4, 5), np.nan), Y[:4]), "NaN"),
    "fresh with other targets": (lambda: REGRESSION.independence_check(X, X[:, :2]), "fresh_y: got 2 targets"),
    "compare with nothing": (lambda: PROBE.compare(None), "other: got NoneType"),
    "compare tasks": (lambda: PROBE.compare(REGRESSION), "other: got a probe for regression"),
    "compare other labels": (lambda: PROBE.compare(RidgeProbe().fit(X, 1 - Y)), "the same order"),
    "compare other numbers": (lambda: PROBE.compare(RidgeProbe().fit(X[:39], Y[:39])), "the same order"),
    "predict another width": (lambda: PROBE.predict(X[:, :4]), "4 features"),
    "predict nan": (lambda: PROBE.predict(np.full((2, 5), np.nan)), "NaN"),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_says_what_came_and_what_is_needed(name):
    call, message = CASES[name]
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    "call",
    [
        lambda p: p.predict(X),
        lambda p: p.predict_proba(X),
        lambda p: p.learning_curve(100),
        lambda p: p.samples_needed(0.1),
        lambda p: p.independence_check(X, Y),
        lambda p: p.compare(PROBE),
        lambda p: PROBE.compare(p),
    ],
)
def test_nothing_is_answered_before_the_fit(call):
    with pytest.raises(NotFittedError):
        call(RidgeProbe())


NO_FORECASTS = {
    "weights": (X, Y, {"sample_weight": np.arange(40)}, "sample weights"),
    "few rows": (X, Y, {}, "40 examples; at least 64"),
    "few groups": (np.tile(X, (2, 1)), np.tile(Y, 2), {"groups": np.arange(80) % 15}, "15 groups; at least 16"),
    "constant parts about another mean": (np.eye(80, 2), np.arange(80) % 2, {}, "features that do not vary"),
    "constant parts": (np.eye(80, 2) - np.eye(80, 2, k=-2), np.arange(80) % 2, {}, "features that do not vary"),
}


@pytest.mark.parametrize("name", NO_FORECASTS)
def test_a_fit_without_forecast_says_why(name):
    x, y, options, reason = NO_FORECASTS[name]
    probe = RidgeProbe(ridges=[0.1]).fit(x, y, **options)
    curve, needed = probe.learning_curve([[100, 200]]), probe.samples_needed(0.1)
    assert curve.status == ForecastStatus.NONE
    assert needed.status == NeedStatus.NONE
    assert curve.value.shape == (1, 2)
    numbers = [curve.value, curve.lower, curve.upper, curve.risk, [needed.num_samples, needed.lower, needed.asymptote]]
    assert all(np.isnan(values).all() for values in numbers)
    for answer in (curve, needed):
        assert reason in answer.message
        with pytest.raises(ValueError, match="NONE"):
            answer.raise_if_failed()


def test_other_arguments_of_fit_are_unknown():
    with pytest.raises(TypeError, match="unexpected keyword argument 'weights'"):
        RidgeProbe().fit(X, Y, weights=None)


def test_a_class_with_a_single_example_is_named():
    y = Y.copy()
    y[3] = 7
    probe = RidgeProbe().fit(X, y)
    assert any("1 of 3 classes have a single example (7)" in text for text in probe.warnings_)
    assert probe.per_class_.error[-1] == 1


def test_constant_columns_are_named_and_change_nothing():
    wide = np.column_stack([X, np.full(40, 1e6), np.zeros(40)])
    probe = RidgeProbe().fit(wide, Y)
    assert any("rank 5 of 7" in text for text in probe.warnings_)
    np.testing.assert_allclose(probe.risk_.value, PROBE.risk_.value, rtol=1e-9)


def test_features_of_rank_one():
    probe = RidgeProbe().fit(np.outer(X[:, 0], np.arange(1.0, 6.0)), Y)
    assert any("rank 1 of 5" in text for text in probe.warnings_)
    assert probe.error_.value < 0.2


def test_ten_classes_for_eleven_examples():
    probe = RidgeProbe().fit(X[:11], np.r_[np.arange(10), 9])
    assert 0 <= probe.error_.value <= 1
    assert probe.law_.status.name == "TOO_FEW_SAMPLES"


def test_the_callers_features_are_left_alone():
    for x in (X.copy(), np.tile(X, 12)):
        before = x.copy()
        RidgeProbe().fit(x, Y).predict(x)
        np.testing.assert_array_equal(x, before)
