"""Valid calls of verax.shift."""

import tempfile

import jax
import numpy as np

from support.border import call
from verax import shift
from verax.models import mlp
from verax.shift import corruptions

KEY = jax.random.key(0)
VAL = np.array([[2.0, -1, 0.5], [-1.5, 2, 0], [0.25, 0, 2], [1.0, 0.5, -1], [0, 1.5, 1], [2, 1, 0.25]])
LABELS = np.array([0, 1, 2, 0, 1, 1])
TARGET = np.array([[1.5, 0, -1], [0.5, 1.0, -0.25], [0, 0.25, 1.5], [1, -1, 2]])
FEATURES, OTHER = VAL[:, :2] + 1, TARGET[:, :2] - 0.5
MODELS = np.stack([VAL, VAL[:, [1, 0, 2]] + 0.5, VAL * [1, 0.5, 2], -VAL[:, ::-1]])
MODELS_TARGET = np.stack([TARGET, TARGET[:, [1, 0, 2]] + 0.5, TARGET * [1, 0.5, 2], -TARGET[:, ::-1]])
SETS, SET_LOGITS = np.stack([OTHER, OTHER + 0.5]), np.stack([TARGET, TARGET[::-1]])
HOLDOUT = np.array([[1.0, 0.5], [0.25, -1], [2, 1]])
NETWORK, PARAMS = mlp([2, 3], key=KEY)
IMAGES = np.arange(64, dtype=np.uint8).reshape(1, 8, 8, 1)
FOLDER = tempfile.TemporaryDirectory()
SCORES, ERRORS = np.linspace(0, 1, 9), np.linspace(0.125, 0.875, 9)
CALIBRATION = shift.ErrorCalibration.fit(SCORES, ERRORS, np.arange(9))
ROWS = {"list of rows": "a list of arrays is a pytree of examples"}


def of(score, **named):
    """A call of a score."""
    return call(score, VAL, LABELS, TARGET, **named)


def saved():
    """Path of a saved result."""
    shift.save(CALIBRATION, FOLDER.name + "/loaded.npz")
    return FOLDER.name + "/loaded.npz"


def retrained(reference_x, target_x, reference_labels):
    return shift.projection_norm(
        NETWORK,
        PARAMS,
        PARAMS,
        reference_x,
        target_x,
        steps=2,
        batch_size=3,
        norm="parameter",
        reference_labels=reference_labels,
        num_references=1,
        num_nulls=0,
        key=KEY,
    )


CALLS = {
    **{
        f"verax.shift.{name}": of(getattr(shift, name), traceable=name in ("atc", "entropy", "average_confidence"))
        for name in (
            "atc",
            "average_confidence",
            "cbpe",
            "cot",
            "cott",
            "difference_of_confidence",
            "entropy",
            "importance_reweighting",
            "mano",
            "mde",
            "nuclear_norm",
        )
    },
    "verax.shift.agreement": of(shift.agreement, other_target_logits=TARGET[::-1].copy()),
    "verax.shift.agreement_on_the_line": of(
        shift.agreement_on_the_line, other_val_logits=MODELS, other_target_logits=MODELS_TARGET, variant="S"
    ),
    "verax.shift.rotation": of(shift.rotation, target_rotation_logits=np.stack([TARGET[:, :2], TARGET[:, 1:]])),
    "verax.shift.dispersion": of(shift.dispersion, target_features=OTHER),
    "verax.shift.frechet": of(shift.frechet, val_features=FEATURES, target_features=OTHER),
    "verax.shift.estimate_confusion": of(shift.estimate_confusion, num_resamples=2, key=KEY),
    "verax.shift.fit_temperature": call(shift.fit_temperature, VAL, LABELS),
    "verax.shift.from_probabilities": call(
        shift.from_probabilities,
        np.array([[0.25, 0.75], [0.5, 0.5]]),
    ),
    "verax.shift.bootstrap_scores": call(
        shift.bootstrap_scores, shift.average_confidence, VAL, LABELS, TARGET, num_resamples=2, key=KEY
    ),
    "verax.shift.kernel_projection_norm": call(
        shift.kernel_projection_norm,
        FEATURES,
        VAL,
        SETS,
        SET_LOGITS,
        budget=1.0,
        holdout_features=HOLDOUT,
        num_references=1,
        num_nulls=1,
        key=KEY,
    ),
    "verax.shift.gram_projection_norm": call(
        shift.gram_projection_norm,
        OTHER @ OTHER.T + np.eye(4),
        FEATURES @ FEATURES.T + np.eye(6),
        FEATURES @ OTHER.T,
        TARGET,
        VAL,
        budget=1.0,
    ),
    "verax.shift.projection_norm": call(
        retrained, FEATURES, SETS, LABELS, exempt={"reference_x": ROWS, "target_x": ROWS}
    ),
    "verax.shift.save": call(shift.save, CALIBRATION, FOLDER.name + "/calibration.npz"),
    "verax.shift.load": call(lambda: shift.load(saved()).scores),
    "verax.shift.corruptions.corrupt": call(corruptions.corrupt, IMAGES, "brightness", 2, key=KEY),
}
