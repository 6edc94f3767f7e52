"""Valid calls of verax.probe."""

import numpy as np

from support.border import call
from verax.probe import RidgeProbe

RNG = np.random.default_rng(0)
X = np.round(4 * RNG.normal(size=(72, 4))) / 4
Y = (X[:, 0] + RNG.normal(size=72) > 0).astype(int)
PROBE = RidgeProbe().fit(X, Y)


def fit(X, y, sample_weight=None, groups=None):
    probe = RidgeProbe(ridges=[0.5]).fit(X, y, sample_weight=sample_weight, groups=groups)
    return probe.coef_, probe.error_, probe.risk_


def fit_regression(X, y):
    probe = RidgeProbe(task="regression", ridges=[0.5]).fit(X, y)
    return probe.coef_, probe.risk_


OBJECTS = {"objects of another kind": "a ValueError that is a TypeError too, as scikit-learn's contract wants"}

CALLS = {
    "verax.probe.RidgeProbe.fit": call(
        fit,
        X,
        Y,
        sample_weight=np.tile([1.0, 2.0, 0.5], 24),
        groups=np.repeat(np.arange(36), 2),
        exempt={"X": OBJECTS, "y": OBJECTS},
    ),
    "verax.probe.RidgeProbe.fit regression": call(
        fit_regression, X, X[:, 1].copy(), exempt={"X": OBJECTS, "y": OBJECTS}
    ),
    "verax.probe.RidgeProbe.predict": call(PROBE.predict, X[:5], exempt={"X": OBJECTS}),
    "verax.probe.RidgeProbe.predict_proba": call(PROBE.predict_proba, X[:5], exempt={"X": OBJECTS}),
    "verax.probe.RidgeProbe.learning_curve": call(PROBE.learning_curve, np.array([64.0, 256.0])),
    "verax.probe.RidgeProbe.independence_check": call(
        PROBE.independence_check, X[:20], Y[:20], exempt={"fresh_x": OBJECTS, "fresh_y": OBJECTS}
    ),
    "verax.probe.RidgeProbe.samples_needed": call(PROBE.samples_needed, 0.25),
}
