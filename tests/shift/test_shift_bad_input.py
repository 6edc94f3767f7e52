"""Bad input of the room: a ValueError that names the argument."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import verax.shift as vs
from verax.models import mlp
from verax.shift import corruptions

pytestmark = pytest.mark.bad_input

RNG = np.random.default_rng(0)
Z, Y, T = RNG.normal(size=(6, 3)), np.array([0, 1, 2, 0, 1, 2]), RNG.normal(size=(5, 3))
F, G = RNG.normal(size=(6, 2)), RNG.normal(size=(5, 2))
NAN = np.where(np.arange(15).reshape(5, 3) == 7, np.nan, T)
P = np.exp(T) / np.exp(T).sum(1, keepdims=True)
KEY = jax.random.key(0)
IMAGES = np.zeros((2, 8, 8, 1), np.uint8)
SCORES = {
    "average_confidence": vs.average_confidence,
    "entropy": vs.entropy,
    "difference_of_confidence": vs.difference_of_confidence,
    "atc": vs.atc,
    "nuclear_norm": vs.nuclear_norm,
    "mano": vs.mano,
    "mde": vs.mde,
    "importance_reweighting": vs.importance_reweighting,
    "cbpe": vs.cbpe,
    "cot": vs.cot,
    "cott": vs.cott,
    "agreement": lambda *a: vs.agreement(*a, other_target_logits=T),
    "rotation": lambda *a: vs.rotation(*a, target_rotation_logits=np.ones((4, 5, 4))),
    "dispersion": lambda *a: vs.dispersion(*a, target_features=G),
    "frechet": lambda *a: vs.frechet(*a, val_features=F, target_features=G),
}
BAD = {
    "nan": ((Z, Y, NAN), "target_logits"),
    "width": ((Z, Y, T[:, :2]), "target_logits.*classes"),
    "probabilities": ((Z, Y, P), "target_logits.*probabilities"),
    "validation probabilities": ((np.eye(3)[Y], Y, T), "val_logits.*probabilities"),
    "empty": ((Z, Y, T[:0]), "target_logits"),
    "flat": ((Z, Y, T[0]), "target_logits"),
    "text": ((Z, Y, T.astype(str)), "target_logits: got text"),
    "complex": ((Z, Y, T + 1j), "target_logits.*complex"),
    "a row of -inf": ((Z, Y, np.where(np.arange(5)[:, None] == 2, -np.inf, T)), "target_logits"),
    "infinity": ((Z, Y, np.where(np.arange(15).reshape(5, 3) == 7, np.inf, T)), "target_logits: got 1 non-finite"),
    "sigmoids": ((1 / (1 + np.exp(Z[:, 0])), Y % 2, T[:, 0]), "val_logits: got probabilities"),
    "label count": ((Z, Y[:5], T), "val_labels"),
    "label range": ((Z, Y + 1, T), "val_labels"),
    "missing labels": ((Z, np.where(Y == 1, np.nan, Y), T), "val_labels: got 2 missing labels"),
    "real labels": ((Z, Y + 0.5, T), "val_labels: got real numbers"),
    "two names": ((Z, np.array(["a", "b"])[Y % 2], T), "val_labels: got 2 distinct names; need 3"),
}


@pytest.mark.parametrize("score", SCORES.values(), ids=SCORES)
@pytest.mark.parametrize(("arguments", "message"), BAD.values(), ids=BAD)
def test_scores(score, arguments, message):
    with pytest.raises(ValueError, match=message):
        score(*arguments)


X = RNG.normal(size=(12, 4)).astype(np.float32)
NETWORK, PARAMS = mlp([4, 3], key=KEY)


def kernel(**changes):
    features = RNG.normal(size=(8, 2))
    arguments = {
        "reference_features": features, "reference_logits": RNG.normal(size=(8, 3)),
        "target_features": RNG.normal(size=(2, 5, 2)), "target_logits": RNG.normal(size=(2, 5, 3)), "budget": 1.0,
        "holdout_features": features, "key": KEY,
    }  # fmt: skip
    return vs.kernel_projection_norm(**{**arguments, **changes})


def retrain(**changes):
    arguments = {
        "apply_fn": NETWORK, "init_params": PARAMS, "model_params": PARAMS, "reference_x": X,
        "target_x": X[None, :6], "steps": 2, "batch_size": 3, "norm": "parameter", "key": KEY,
    }  # fmt: skip
    return vs.projection_norm(**{**arguments, **changes})


def fit(num=10, names=None, scale=1.0, **options):
    scores = np.linspace(0, 1, num)
    return vs.ErrorCalibration.fit(scores, scale * scores, range(num) if names is None else names, **options)


KERNEL = {
    "small pool": ({"reference_features": F[:4, :2], "reference_logits": Z[:4]}, "at least 5"),
    "features": ({"target_features": np.ones((2, 5, 3))}, "target_features"),
    "one set": ({"target_features": np.ones((5, 2))}, "target_features"),
    "logits": ({"target_logits": np.ones((2, 4, 3))}, "target_logits"),
    "probabilities": ({"reference_logits": np.eye(3)[np.arange(8) % 3]}, "probabilities"),
    "budget": ({"budget": -1.0}, "budget"),
    "no budgets": ({"budget": []}, "budget"),
    "text budget": ({"budget": "auto"}, "budget"),
    "norm": ({"norm": "rms"}, "'function'"),
    "normalize": ({"normalize": "batch"}, "'set'"),
    "no holdout": ({"holdout_features": None}, "holdout_features"),
    "half a null": ({"null_features": np.ones((8, 2))}, "null_features"),
    "no references": ({"num_references": 0}, "num_references"),
    "key": ({"key": 0}, "key"),
}
RETRAIN = {
    "smaller than the batch": ({"batch_size": 7}, "batch_size = 7"),
    "uint8 against float": ({"target_x": np.zeros((1, 6, 4), np.uint8)}, "uint8"),
    "other shape": ({"target_x": np.zeros((1, 6, 5), np.float32)}, "target_x"),
    "small pool": ({"reference_x": X[:5]}, "reference_x"),
    "holdout": ({"norm": "function"}, "holdout_x"),
    "holdout dtype": ({"holdout_x": np.zeros((3, 4), np.uint8)}, "holdout_x"),
    "steps": ({"steps": 0}, "steps"),
    "norm": ({"norm": "weights"}, "'function'"),
    "no norms": ({"norm": ()}, "norm"),
    "labels": ({"reference_labels": np.zeros(5, int)}, "reference_labels"),
    "key": ({"key": 0}, "key"),
    "chunk": ({"set_chunk": 0}, "set_chunk"),
}
CALLS = {
    "atc score": (lambda: vs.atc(Z, Y, T, score="margin"), "'max_confidence'"),
    "mano power": (lambda: vs.mano(Z, Y, T, power=0), "power"),
    "mde temperature": (lambda: vs.mde(Z, Y, T, temperature=0.0), "temperature"),
    "mde of one": (lambda: vs.mde(Z, Y, T[:1]), "target_logits"),
    "bins": (lambda: vs.importance_reweighting(Z, Y, T, num_bins=0), "num_bins"),
    "traced cbpe": (lambda: jax.jit(vs.cbpe)(jnp.asarray(Z), jnp.asarray(Y), jnp.asarray(T)), "traced"),
    "one predicted class": (
        lambda: vs.dispersion(Z, Y, T - np.array([0.0, 99.0, 99.0]), target_features=G),
        "one predicted class",
    ),
    "features": (lambda: vs.dispersion(Z, Y, T, target_features=G[:3]), "target_features"),
    "feature width": (lambda: vs.frechet(Z, Y, T, val_features=F, target_features=G[:, :1]), "target_features"),
    "other logits": (lambda: vs.agreement(Z, Y, T, other_target_logits=T[:3]), "other_target_logits"),
    "one other model": (
        lambda: vs.agreement_on_the_line(Z, Y, T, other_val_logits=Z[None], other_target_logits=T[None]),
        "J >= 2",
    ),
    "equal models": (
        lambda: vs.agreement_on_the_line(
            Z, Y, T, other_val_logits=np.stack([Z] * 3), other_target_logits=np.stack([T] * 3)
        ),
        "usable pairs",
    ),
    "rotation shape": (lambda: vs.rotation(Z, Y, T, target_rotation_logits=np.ones((4, 3, 4))), "target_rotation"),
    "perfect holdout": (lambda: vs.fit_temperature(9 * np.eye(3), np.arange(3)), "temperature"),
    "severity 0": (lambda: corruptions.corrupt(IMAGES, "fog", 0, key=KEY), "severity"),
    "severity 6": (lambda: corruptions.corrupt(IMAGES, "fog", 6, key=KEY), "severity"),
    "severity text": (lambda: corruptions.corrupt(IMAGES, "fog", "3", key=KEY), "severity"),
    "corruption": (lambda: corruptions.corrupt(IMAGES, "rain", 1, key=KEY), "'fog'"),
    "float images": (lambda: corruptions.corrupt(IMAGES / 255, "fog", 1, key=KEY), "uint8"),
    "image shape": (lambda: corruptions.corrupt(IMAGES[..., 0], "fog", 1, key=KEY), "images"),
    "tiny images": (lambda: corruptions.corrupt(IMAGES[:, :4], "fog", 1, key=KEY), "images"),
    "image list": (lambda: corruptions.corrupt([[1]], "fog", 1, key=KEY), "images"),
    "grey saturation": (lambda: corruptions.corrupt(IMAGES, "saturate", 1, key=KEY), "one channel"),
    "seed": (lambda: corruptions.corrupt(IMAGES, "fog", 1, key=0), "jax.random.key"),
    **{f"kernel {name}": (lambda c=change: kernel(**c), message) for name, (change, message) in KERNEL.items()},
    **{f"retraining {name}": (lambda c=change: retrain(**c), message) for name, (change, message) in RETRAIN.items()},
    "gram shape": (lambda: vs.gram_projection_norm(np.eye(3), np.eye(3), np.eye(3), Z, Z[:3], budget=1.0), "target_k"),
    "families": (lambda: fit(num=8), "families: got 8 units for level 0.9; need at least 9"),
    "empty calibration": (lambda: vs.ErrorCalibration.fit([], [], []), "scores"),
    "empty family": (lambda: fit(names=[""] * 10), "families"),
    "errors in per cent": (lambda: fit(scale=100), "errors"),
    "equal scores": (lambda: vs.ErrorCalibration.fit(np.ones(10), np.linspace(0, 1, 10), range(10)), "scores"),
    "nan scores": (lambda: vs.ErrorCalibration.fit(np.full(10, np.nan), np.ones(10), range(10)), "scores"),
    "names": (lambda: fit(names=list("abc")), "families"),
    "level": (lambda: fit(level=90), "level"),
    "labels without reference": (lambda: fit().estimate(0.5, predicted_labels=np.zeros(3, int)), "reference_labels"),
    "float predictions": (lambda: fit(reference_labels=np.arange(9)).label_shift(np.ones(3)), "predicted_labels"),
    "one bootstrap sample": (lambda: fit().estimate(0.5, score_samples=np.ones(1)), "score_samples"),
    "matrix of scores": (lambda: fit().estimate(np.ones((2, 2))), "score"),
    "too few to validate": (lambda: fit(num=9).validate(), "families"),
    "resamples": (lambda: vs.bootstrap_scores(vs.atc, Z, Y, T, num_resamples=1, key=KEY), "num_resamples"),
    "chunk": (lambda: vs.ShiftMonitor(vs.atc, chunk_size=1, key=KEY), "chunk_size"),
    "no chunk": (lambda: vs.ShiftMonitor(vs.atc, key=KEY), "chunk_size: got None"),
    "alpha": (lambda: vs.ShiftMonitor(vs.atc, chunk_size=2, alpha=0.0, key=KEY), "alpha"),
    "sums of probabilities": (lambda: vs.from_probabilities(P * 2), "probabilities: got"),
    "negative probabilities": (lambda: vs.from_probabilities(P - 0.5), "probabilities: got"),
    "floor": (lambda: vs.from_probabilities(P, floor=0.4), "floor: got 0.4"),
    "impossible labels": (
        lambda: vs.fit_temperature(vs.from_probabilities([[1.0, 0.0], [0.0, 1.0]]), [0, 0]),
        "val_logits: got a probability of zero for 1 true labels; need .*floor",
    ),
    "not a score": (lambda: vs.ShiftMonitor("atc", chunk_size=2, key=KEY), "score_fn"),
    "short reference": (lambda: vs.ShiftMonitor(vs.atc, chunk_size=2, key=KEY).fit(Z, Y), "reference_logits"),
    "not fitted": (lambda: vs.ShiftMonitor(vs.atc, chunk_size=2, key=KEY).estimate(T), "fit"),
}


@pytest.mark.parametrize(("call", "message"), CALLS.values(), ids=CALLS)
def test_calls(call, message):
    with pytest.raises(ValueError, match=message):
        call()
