"""Projection Norm: true errors and every score of every set, for one network and seed."""

import functools
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import verax.shift as vs
from verax import ntk
from verax._numpy_random import numpy_generator
from verax.models import Network
from verax.shift.corruptions import NAMES, corrupt

from ._cache import Cache
from ._projection_norm_setting import Setting

FAMILIES, EXTRA = NAMES[:15], NAMES[15:]
_BATCH = 250
_ATTACK_STEPS = 10

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


class Sets(NamedTuple):
    """Sets of one size, with what was measured on each."""

    family: np.ndarray
    """Name of the corruption, or what else was done, [S]."""
    strength: np.ndarray
    """Severity, radius, or number of classes, [S]."""
    error: np.ndarray
    """True error [S]."""
    predicted: np.ndarray
    """Predicted labels [S, m]."""
    scores: dict[str, np.ndarray]
    """By name: [S], and [B, S] for the closed form at each budget."""


class Measurement(NamedTuple):
    """All sets of one network and seed."""

    corrupted: Sets
    label_shifted: Sets
    adversarial: Sets | None
    holdout_predicted: np.ndarray
    holdout_error: float
    sized: dict[int, Sets]
    """Corrupted sets of other sizes, by the closed form and by average confidence."""


class Extent(NamedTuple):
    """Which of the costly parts a network and seed are measured with."""

    retrained: bool
    """Projection Norm by retraining."""
    adversarial: bool
    """Adversarial sets."""
    tangents: bool
    """The closed form on sketched tangents."""
    initial: bool
    """The closed form on features of the initialisation, that of retraining."""


class Passes(NamedTuple):
    """What the networks say of a set ``[n, ...]``, or of sets of one size ``[S, m, ...]``."""

    logits: np.ndarray
    features: np.ndarray
    """Inputs of the deployed network's last layer."""
    initial: np.ndarray | None
    """The same at the initialisation."""


class Anchors(NamedTuple):
    """What every set of a setting is compared with."""

    reference: Passes
    holdout: Passes


class Draw(NamedTuple):
    """Target sets."""

    family: np.ndarray
    strength: np.ndarray
    images: list[np.ndarray]
    labels: list[np.ndarray]


def make_anchors(setting: Setting, *, initial: bool) -> Anchors:
    """Pass the reference images and the holdout through the networks."""
    return Anchors(*(_passes(setting, images, initial) for images in (setting.reference, setting.holdout)))


def measure(
    setting: Setting, anchors: Anchors, config: Any, key: jax.Array, number: int, extent: Extent
) -> Measurement:
    """Build and score the sets of the setting's draw of this number, or read what an earlier run kept."""
    cache = Cache(config.cache or None)
    rng = numpy_generator(jax.random.fold_in(key, number), 1)
    identity = [config.size, config.small_size, config.severities, config.num_holdout, config.num_references,
                config.num_nulls, config.budgets, config.radii, config.num_tangent_features, number, extent,
                *map(np.asarray, jax.tree.leaves(setting.params)), setting.pool, setting.holdout]  # fmt: skip
    # Corrupting takes its time, and the images of a draw fill hundreds of megabytes: each once, one at a time.
    corrupted = functools.lru_cache(maxsize=1)(lambda number: _corrupted_sets(setting, config, key, number))
    shifted = _label_shifted_sets(setting, config, rng)
    draws: dict[str, Callable[[], Draw]] = {
        "corrupted": functools.partial(corrupted, number), "label-shifted": lambda: shifted,
    }  # fmt: skip
    if extent.adversarial:
        rows = rng.permutation(len(setting.pool))[: config.size]
        draws["adversarial"] = functools.cache(lambda: _adversarial_sets(setting, config, rows))
    parts = {}
    for kind, draw in draws.items():

        def compute(kind: str = kind, draw: Callable[[], Draw] = draw) -> dict[str, np.ndarray]:
            outputs = _kept(setting, config, draw, number, extent.initial) if kind == "corrupted" else None
            return score(setting, anchors, config, key, draw(), outputs, tangents=extent.tangents)

        parts[kind] = cache.get(f"{kind}2", [kind, *identity], compute)
        if extent.retrained:
            sets = draw()
            # The held-out corruptions choose budgets, of which retraining has none.
            wanted = ~np.isin(sets.family, (*EXTRA, "clean"))
            images = [one for one, chosen in zip(sets.images, wanted, strict=True) if chosen]
            for name, excess in retrained(setting, config, key, images, cache, [kind, *identity]).items():
                parts[kind][name] = np.full(len(wanted), np.nan)
                parts[kind][name][wanted] = excess
    sized = {}
    for size in config.other_sizes:
        if size < config.size or (setting.stored and number == 0):

            def compute_sized(size: int = size) -> dict[str, np.ndarray]:
                numbers = [number] if size < config.size else list(range(size // config.size))
                return _score_sized(setting, anchors, config, key, corrupted, numbers, size)

            sized[size] = _as_sets(cache.get("sized2", [size, *identity], compute_sized))
    predicted = anchors.holdout.logits.argmax(1)
    return Measurement(
        _as_sets(parts["corrupted"]),
        _as_sets(parts["label-shifted"]),
        _as_sets(parts["adversarial"]) if extent.adversarial else None,
        holdout_predicted=predicted,
        holdout_error=float(np.mean(predicted != setting.holdout_labels)),
        sized=sized,
    )


def with_agreement(measurements: dict[str, list[Measurement]], stored: list[str]) -> dict[str, list[Measurement]]:
    """Add how often each stored network and the next predict other labels: all of them are given the same sets."""
    found = dict(measurements)
    for network, partner in zip(stored, [*stored[1:], *stored[:1]], strict=True):
        if network == partner:
            continue

        def joined(own: Sets, other: Sets, partner: str = partner) -> Sets:
            apart = np.mean(own.predicted != other.predicted, axis=1)
            return own._replace(scores={**own.scores, f"agreement with {partner}": apart})

        found[network] = [
            own._replace(
                corrupted=joined(own.corrupted, other.corrupted),
                label_shifted=joined(own.label_shifted, other.label_shifted),
            )
            for own, other in zip(measurements[network], measurements[partner], strict=True)
        ]
    return found


def _kept(setting: Setting, config: Any, draw: Callable[[], Draw], number: int, initial: bool) -> Passes:
    """Outputs on the corrupted sets of a draw, kept: those of other sizes are made of them."""

    def compute() -> dict[str, np.ndarray]:
        found = _stacked(setting, draw().images, initial)
        return {name: value for name, value in found._asdict().items() if value is not None}

    identity = [config.size, config.severities, config.num_holdout, number, initial, setting.pool,
                *map(np.asarray, jax.tree.leaves(setting.params))]  # fmt: skip
    found = Cache(config.cache or None).get("outputs2", identity, compute)
    return Passes(found["logits"], found["features"], found.get("initial"))


def _score_sized(
    setting: Setting, anchors: Anchors, config: Any, key: jax.Array, corrupted: Callable[[int], Draw],
    numbers: list[int], size: int,
) -> dict[str, np.ndarray]:  # fmt: skip
    """Score the first examples of the corrupted sets of these draws, put together."""
    initial = anchors.holdout.initial is not None
    draws, outputs = [], []
    for number in numbers:
        draw = functools.partial(corrupted, number)
        draws.append(draw()._replace(images=[]))
        outputs.append(_kept(setting, config, draw, number, initial))

    def joined(parts: list[np.ndarray]) -> np.ndarray:
        return np.concatenate(parts, axis=1)[:, :size]

    sets = draws[0]._replace(labels=list(joined([np.stack(draw.labels) for draw in draws])))
    return score(setting, anchors, config, key, sets, _together(outputs, joined), brief=True)


def monitored(setting: Setting, config: Any, key: jax.Array) -> vs.MonitorTable:
    """A stream that is clean for four chunks and then ever more blurred, watched by ATC; labels come later."""
    chunk = min(config.num_holdout // 6, len(setting.pool))
    rng = numpy_generator(key, 2)
    images, labels = [], []
    for severity in (0, 0, 0, 0, *config.severities):
        rows = rng.permutation(len(setting.pool))[:chunk]
        picked = setting.pool[rows]
        one = jax.random.fold_in(key, severity)
        images.append(picked if severity == 0 else corrupt(picked, "motion_blur", severity, key=one))
        labels.append(setting.pool_labels[rows])
    normalise, y = setting.normalise, setting.holdout_labels.astype(np.int32)
    holdout, stream = (
        _forward(setting.network, setting.params, normalise(x))[0] for x in (setting.holdout, np.concatenate(images))
    )
    temperature = np.float32(vs.fit_temperature(holdout, y))
    monitor = vs.ShiftMonitor(vs.atc, chunk_size=chunk, num_resamples=20, key=key).fit(holdout / temperature, y)
    return monitor.estimate(stream / temperature).realize(np.concatenate(labels), stream.argmax(1))


def _as_sets(part: dict[str, np.ndarray]) -> Sets:
    fixed = ("family", "strength", "error", "predicted")
    scores = {name: value for name, value in part.items() if name not in fixed}
    return Sets(part["family"], part["strength"], part["error"], part["predicted"], scores)


def _corrupted_sets(setting: Setting, config: Any, key: jax.Array, number: int) -> Draw:
    """Every corruption and severity on its own draw of images, and as many clean sets as severities.

    Draws of other numbers have none of these images, as long as the pool lasts.
    """
    names = [n for n in NAMES if not (n == "saturate" and setting.pool.shape[3] == 1)]
    family, strength, images, labels = [], [], [], []
    for name in (*names, "clean"):
        for severity in config.severities:
            own = jax.random.fold_in(key, zlib.crc32(f"{name}{severity}".encode()))
            rows = numpy_generator(own).permutation(len(setting.pool))
            picked = rows[number * config.size : (number + 1) * config.size]
            one = jax.random.fold_in(own, number)
            pixels = setting.pool[picked]
            images.append(pixels if name == "clean" else corrupt(pixels, name, severity, key=one))
            labels.append(setting.pool_labels[picked])
            family.append(name)
            strength.append(0 if name == "clean" else severity)
    return Draw(np.array(family), np.array(strength, float), images, labels)


def _label_shifted_sets(setting: Setting, config: Any, rng: np.random.Generator) -> Draw:
    """Clean images of all, of four and of one class."""
    family, strength, images, labels = [], [], [], []
    for count in (10, 4, 1):
        for _ in range(3):
            classes = rng.permutation(setting.num_classes)[:count]
            inside = np.flatnonzero(np.isin(setting.pool_labels, classes))
            rows = rng.permutation(inside)[: config.small_size]
            family.append({10: "small, all classes", 4: "four classes", 1: "one class"}[count])
            strength.append(count)
            images.append(setting.pool[rows])
            labels.append(setting.pool_labels[rows])
    return Draw(np.array(family), np.array(strength, float), images, labels)


def _adversarial_sets(setting: Setting, config: Any, rows: np.ndarray) -> Draw:
    """Images moved within a radius by projected gradient ascent on the deployed network's own loss."""
    images, labels = setting.pool[rows], setting.pool_labels[rows]
    low, high = (setting.normalise(np.full((1, *images.shape[1:]), v, np.uint8)) for v in (0, 255))
    # A radius in pixels is another number in each normalised channel.
    unit = high - low

    @jax.jit
    def ascend(x, clean, y, radius):
        gradient = jax.grad(
            lambda x: optax.softmax_cross_entropy_with_integer_labels(setting.network(setting.params, x), y).sum()
        )(x)
        moved = x + 2.5 / _ATTACK_STEPS * radius * unit * jnp.sign(gradient)
        return jnp.clip(jnp.clip(moved, clean - radius * unit, clean + radius * unit), low, high)

    sets = [images]
    for radius in config.radii:
        moved = []
        for start in range(0, len(images), _BATCH):
            clean = x = jnp.asarray(setting.normalise(images[start : start + _BATCH]))
            y = jnp.asarray(labels[start : start + _BATCH].astype(np.int32))
            for _ in range(_ATTACK_STEPS):
                x = ascend(x, clean, y, np.float32(radius))
            pixels = np.clip(np.rint((np.asarray(x) - low) / unit * 255), 0, 255)
            moved.append(pixels.astype(np.uint8))
        sets.append(np.concatenate(moved))
    family = np.array(["adversarial"] * len(sets))
    return Draw(family, np.array([0.0, *config.radii]), sets, [labels] * len(sets))


@functools.partial(jax.jit, static_argnums=0)
def _evaluate(network: Network, params: Any, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    features = network.features(params, x)
    return features @ params["head"]["kernel"] + params["head"]["bias"], features


def _forward(network: Network, params: Any, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Logits and last-layer features, in batches of one shape."""
    outputs = []
    for start in range(0, len(x), _BATCH):
        part = x[start : start + _BATCH]
        # A short batch repeats itself, so that batch statistics, where the network takes them, are its own.
        full = part[np.arange(_BATCH) % len(part)]
        outputs.append([np.asarray(out)[: len(part)] for out in _evaluate(network, params, full)])
    logits, features = zip(*outputs, strict=True)
    return np.concatenate(logits), np.concatenate(features)


def _passes(setting: Setting, images: np.ndarray, initial: bool) -> Passes:
    x = setting.normalise(images)
    at_start = _forward(setting.train_network, setting.init_params, x)[1] if initial else None
    return Passes(*_forward(setting.network, setting.params, x), at_start)


def _together(parts: list[Passes], join: Callable[[list[np.ndarray]], np.ndarray]) -> Passes:
    initial = [part.initial for part in parts if part.initial is not None]
    logits, features = ([part.logits for part in parts], [part.features for part in parts])
    return Passes(join(logits), join(features), join(initial) if initial else None)


def _stacked(setting: Setting, images: list[np.ndarray], initial: bool) -> Passes:
    return _together([_passes(setting, one, initial) for one in images], np.stack)


def score(
    setting: Setting, anchors: Anchors, config: Any, key: jax.Array, sets: Draw, outputs: Passes | None = None, *,
    brief: bool = False, tangents: bool = False,
) -> dict[str, np.ndarray]:  # fmt: skip
    """Every score but retraining, those of the closed form at every budget; in brief, closed forms and confidence."""
    if outputs is None:
        outputs = _stacked(setting, sets.images, anchors.holdout.initial is not None)
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
    scores |= _closed_forms(setting, anchors, config, key, sets.images if tangents else None, outputs)
    error = np.array([np.mean(p != y) for p, y in zip(predicted, sets.labels, strict=True)])
    return {"family": sets.family, "strength": sets.strength, "error": error, "predicted": predicted, **scores}


def _feature_scores(
    setting: Setting, images: list[np.ndarray], holdout: Passes, outputs: Passes
) -> dict[str, np.ndarray]:
    """Scores that read features, and those that read other networks."""
    network, normalise = setting.network, setting.normalise
    val_z, val_f, val_y = holdout.logits, holdout.features, setting.holdout_labels.astype(np.int32)
    z, f = outputs.logits, outputs.features
    scores = {
        "Frechet distance": np.array(
            [float(vs.frechet(val_z, val_y, a, val_features=val_f, target_features=b))
             for a, b in zip(z, f, strict=True)]
        ),
        # A constant prediction has no dispersion: the score is then missing, and shown as such.
        "dispersion": np.array(
            [float(vs.dispersion(val_z, val_y, a, target_features=b)) if np.ptp(a.argmax(1)) else np.nan
             for a, b in zip(z, f, strict=True)]
        ),
    }  # fmt: skip
    if setting.others:
        other_val = np.stack([_forward(network, other, normalise(setting.holdout))[0] for other in setting.others])
        other_z = [np.stack([_forward(network, other, normalise(x))[0] for other in setting.others]) for x in images]
        scores["agreement"] = np.array(
            [float(vs.agreement(val_z, val_y, a, other_target_logits=b[0])) for a, b in zip(z, other_z, strict=True)]
        )
        scores["agreement on the line"] = np.array(
            [float(_on_the_line(val_z, val_y, a, other_val, b)) for a, b in zip(z, other_z, strict=True)]
        )
    return scores


def _closed_forms(
    setting: Setting, anchors: Anchors, config: Any, key: jax.Array, images: list[np.ndarray] | None, outputs: Passes
) -> dict[str, np.ndarray]:
    """Projection Norm in closed form at every budget: on features of the last layer, and on the images' tangents."""
    reference, holdout = anchors.reference, anchors.holdout
    apart = _function_rows(setting)
    found = {"kernel, deployed features": (reference.logits, reference.features, outputs.features, holdout.features)}
    if reference.initial is not None and holdout.initial is not None and outputs.initial is not None:
        found["kernel, initial features"] = (reference.logits, reference.initial, outputs.initial, holdout.initial)
    if images is not None:
        # Gradients cost a backward pass each: of the reference as many as its draws and the sets are made of.
        rows = slice((config.num_references + 1) * len(images[0]))
        features, normalise = _tangents(setting.network, setting.params, config.num_tangent_features), setting.normalise
        found["kernel, deployed tangents"] = (
            reference.logits[rows], features(normalise(setting.reference[rows])),
            np.stack([features(normalise(x)) for x in images]), features(normalise(setting.holdout)),
        )  # fmt: skip
    scores: dict[str, np.ndarray] = {}
    for name, (labels, features, sets, held) in found.items():
        # Null draws are new to the network, as target sets are; where the holdout is too small, of the reference.
        nulls: dict[str, Any] = {"null_features": held[~apart], "null_logits": holdout.logits[~apart]}
        result = vs.kernel_projection_norm(
            features, labels, sets, outputs.logits, budget=list(config.budgets), holdout_features=held[apart],
            key=key, **(nulls if sets.shape[1] <= np.sum(~apart) else {}),
        )  # fmt: skip
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


def _function_rows(setting: Setting) -> np.ndarray:
    """A fifth of the holdout for the function norm; null draws come from the rest, as new to it as target sets."""
    return np.arange(len(setting.holdout)) % 5 == 0


@jax.jit
def _on_the_line(val_z, val_y, z, other_val, other_z) -> jax.Array:
    """NaN where the line is not determined."""
    found = vs.agreement_on_the_line(val_z, val_y, z, other_val_logits=other_val, other_target_logits=other_z)
    return jnp.asarray(found)


def retrained(
    setting: Setting, config: Any, key: jax.Array, images: list[np.ndarray], cache: Cache, identity: list[Any]
) -> dict[str, np.ndarray]:
    """Excess by retraining, a few sets at a time, each kept when done."""
    is_small = setting.pool.ndim < 4 or setting.pool.shape[1] < 28
    chunk = len(images) if is_small else 5
    optimizer = optax.sgd(config.retrain_learning_rate, momentum=0.9)
    size, apart = len(images[0]), _function_rows(setting)
    columns = []
    for start in range(0, len(images), chunk):
        sets = np.stack([setting.normalise(x) for x in images[start : start + chunk]])

        def compute(sets: np.ndarray = sets, first: bool = start == 0) -> dict[str, np.ndarray]:
            result = vs.projection_norm(
                setting.network, setting.init_params, setting.params, setting.normalise(setting.reference), sets,
                steps=config.retrain_steps, batch_size=min(config.retrain_batch, size), optimizer=optimizer,
                train_apply_fn=setting.train_network, holdout_x=setting.normalise(setting.holdout[apart][:500]),
                null_x=setting.normalise(setting.holdout[~apart]), norm=("function", "parameter", "disagreement"),
                num_references=config.num_references if is_small else 1,
                # The null is the same for every chunk of sets.
                num_nulls=config.num_nulls if first else 0, set_chunk=16 if is_small else None, key=key,
            )  # fmt: skip
            return {"value": np.asarray(result.value), "null": np.asarray(result.null_mean)}

        columns.append(cache.get("retrained1", [start, config.retrain_steps, config.retrain_batch, *identity], compute))
    excess = np.concatenate([part["value"] for part in columns], axis=1) - columns[0]["null"][:, None]
    return {
        f"retrained, {norm}": row for norm, row in zip(("function", "parameter", "disagreement"), excess, strict=True)
    }
