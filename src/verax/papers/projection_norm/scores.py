"""Projection Norm: every score of a set but retraining."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import verax.shift as vs
from verax import ntk
from verax.models import Network

from .config import Scoring
from .passes import Anchors, Passes, forward, stacked
from .sets import Draw
from .setting import Setting

LOGIT_SCORES = {
    "average confidence": jax.jit(vs.average_confidence),
    "entropy": jax.jit(vs.entropy),
    "difference of confidence": jax.jit(vs.difference_of_confidence),
    "ATC, confidence": jax.jit(vs.atc),
    "ATC, entropy": jax.jit(functools.partial(vs.atc, score="negative_entropy")),
    "importance re-weighting": jax.jit(vs.importance_reweighting),
    "CBPE": vs.cbpe,
    "nuclear norm": jax.jit(vs.nuclear_norm),
    "MaNo": jax.jit(vs.mano),
    "MDE": jax.jit(vs.mde),
    "COT": jax.jit(vs.cot),
    "COTT": jax.jit(vs.cott),
}


def score(
    setting: Setting,
    anchors: Anchors,
    scoring: Scoring,
    key: jax.Array,
    sets: Draw,
    outputs: Passes | None = None,
    *,
    brief: bool = False,
    tangents: bool = False,
) -> dict[str, np.ndarray]:
    """Every score but retraining, those of the closed form at every budget; in brief, closed forms and confidence."""
    if outputs is None:
        outputs = stacked(setting, sets.images, anchors.holdout.initial is not None)
    val_z, val_y = anchors.holdout.logits, setting.holdout_labels.astype(np.int32)
    z = outputs.logits
    predicted = z.argmax(2)
    scores: dict[str, np.ndarray] = {}
    temperature = np.float32(vs.fit_temperature(val_z, val_y))
    for name, score_fn in LOGIT_SCORES.items():
        if brief and name != "average confidence":
            continue
        # MaNo and MDE are defined on the logits as they are.
        scale = np.float32(1) if name in ("MaNo", "MDE") else temperature
        scores[name] = np.array([float(score_fn(val_z / scale, val_y, one / scale)) for one in z])
    if not brief:
        scores |= _feature_scores(setting, sets.images, anchors.holdout, outputs)
    scores |= _closed_forms(setting, anchors, scoring, key, sets.images if tangents else None, outputs)
    error = np.array([np.mean(p != y) for p, y in zip(predicted, sets.labels, strict=True)])
    counts = np.stack([np.bincount(p, minlength=z.shape[2]) for p in predicted])
    return {"family": sets.family, "strength": sets.strength, "error": error, "class_counts": counts, **scores}


def _feature_scores(
    setting: Setting, images: list[np.ndarray], holdout: Passes, outputs: Passes
) -> dict[str, np.ndarray]:
    """Scores that read features, and those that read other networks."""
    network, normalise = setting.network, setting.normalise
    val_z, val_f, val_y = holdout.logits, holdout.features, setting.holdout_labels.astype(np.int32)
    z, f = outputs.logits, outputs.features
    scores = {
        "Frechet distance": np.array(
            [
                float(vs.frechet(val_z, val_y, a, val_features=val_f, target_features=b))
                for a, b in zip(z, f, strict=True)
            ]
        ),
        # A constant prediction has no dispersion: the score is then missing, and shown as such.
        "dispersion": np.array(
            [
                float(vs.dispersion(val_z, val_y, a, target_features=b)) if np.ptp(a.argmax(1)) else np.nan
                for a, b in zip(z, f, strict=True)
            ]
        ),
    }
    if setting.others:
        other_val = np.stack([forward(network, other, normalise(setting.holdout))[0] for other in setting.others])
        other_z = [np.stack([forward(network, other, normalise(x))[0] for other in setting.others]) for x in images]
        scores["agreement"] = np.array(
            [float(vs.agreement(val_z, val_y, a, other_target_logits=b[0])) for a, b in zip(z, other_z, strict=True)]
        )
        scores["agreement on the line"] = np.array(
            [float(_on_the_line(val_z, val_y, a, other_val, b)) for a, b in zip(z, other_z, strict=True)]
        )
    return scores


def _closed_forms(
    setting: Setting,
    anchors: Anchors,
    scoring: Scoring,
    key: jax.Array,
    images: list[np.ndarray] | None,
    outputs: Passes,
) -> dict[str, np.ndarray]:
    """Projection Norm in closed form at every budget: on features of the last layer, and on the images' tangents."""
    reference, holdout = anchors.reference, anchors.holdout
    apart = function_rows(setting)
    found = {"kernel, deployed features": (reference.logits, reference.features, outputs.features, holdout.features)}
    if reference.initial is not None and holdout.initial is not None and outputs.initial is not None:
        found["kernel, initial features"] = (reference.logits, reference.initial, outputs.initial, holdout.initial)
    if images is not None:
        # Gradients cost a backward pass each: of the reference as many as its draws and the sets are made of.
        rows = slice((scoring.num_references + 1) * len(images[0]))
        features, normalise = (
            _tangents(setting.network, setting.params, scoring.num_tangent_features),
            setting.normalise,
        )
        found["kernel, deployed tangents"] = (
            reference.logits[rows],
            features(normalise(setting.reference[rows])),
            np.stack([features(normalise(x)) for x in images]),
            features(normalise(setting.holdout)),
        )
    scores: dict[str, np.ndarray] = {}
    for name, (labels, features, sets, held) in found.items():
        # Null draws are new to the network, as target sets are; where the holdout is too small, of the reference.
        nulls: dict[str, Any] = {"null_features": held[~apart], "null_logits": holdout.logits[~apart]}
        result = vs.kernel_projection_norm(
            features,
            labels,
            sets,
            outputs.logits,
            budget=list(scoring.budgets),
            holdout_features=held[apart],
            key=key,
            **(nulls if sets.shape[1] <= np.sum(~apart) else {}),
        )
        scores[name] = np.asarray(result.excess)
        scores[f"{name}, p-value"] = np.asarray(result.p_value)
    return scores


def _tangents(network: Network, params: Any, size: int) -> Callable[[np.ndarray], np.ndarray]:
    """Sketched gradients of a random head's output on the deployed network's features."""
    head_key, sketch_key = jax.random.split(jax.random.key(0))
    apply_fn, head = ntk.with_scalar_head(network.features, network.width, key=head_key)
    own = {"features": {name: leaf for name, leaf in params.items() if name != "head"}, "head": head}

    def features(x: np.ndarray) -> np.ndarray:
        return np.asarray(ntk.ntk_features(apply_fn, own, x, sketch=ntk.Rademacher(size), key=sketch_key))

    return features


def function_rows(setting: Setting) -> np.ndarray:
    """A fifth of the holdout for the function norm; null draws come from the rest, as new to it as target sets."""
    return np.arange(len(setting.holdout)) % 5 == 0


@jax.jit
def _on_the_line(val_z, val_y, z, other_val, other_z) -> jax.Array:
    """NaN where the line is not determined."""
    found = vs.agreement_on_the_line(val_z, val_y, z, other_val_logits=other_val, other_target_logits=other_z)
    return jnp.asarray(found)
