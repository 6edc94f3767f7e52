"""Projection Norm: true errors and every score of every set, for one network and seed."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from verax._numpy_random import numpy_generator
from verax.papers._cache import Cache

from .config import Config
from .passes import Anchors, Passes, stacked, together
from .retraining import retrained
from .scores import score
from .sets import EXTRA, Draw, adversarial_sets, corrupted_sets, label_shifted_sets
from .setting import Setting


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


def measure_draw(
    setting: Setting, anchors: Anchors, config: Config, key: jax.Array, number: int, extent: Extent
) -> Measurement:
    """Build and score the sets of the setting's draw of this number, or read what an earlier run kept."""
    cache = Cache(config.cache or None)
    rng = numpy_generator(jax.random.fold_in(key, number), 1)
    identity = [config.size, config.small_size, config.severities, config.num_holdout, config.num_references,
                config.num_nulls, config.budgets, config.radii, config.num_tangent_features, number, extent,
                *map(np.asarray, jax.tree.leaves(setting.params)), setting.pool, setting.holdout]  # fmt: skip
    # Corrupting takes its time, and the images of a draw fill hundreds of megabytes: each once, one at a time.
    corrupted = functools.lru_cache(maxsize=1)(lambda number: corrupted_sets(setting, config, key, number))
    shifted = label_shifted_sets(setting, config, rng)
    draws: dict[str, Callable[[], Draw]] = {
        "corrupted": functools.partial(corrupted, number), "label-shifted": lambda: shifted,
    }  # fmt: skip
    if extent.adversarial:
        rows = rng.permutation(len(setting.pool))[: config.size]
        draws["adversarial"] = functools.cache(lambda: adversarial_sets(setting, config, rows))
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


def _kept(setting: Setting, config: Config, draw: Callable[[], Draw], number: int, initial: bool) -> Passes:
    """Outputs on the corrupted sets of a draw, kept: those of other sizes are made of them."""

    def compute() -> dict[str, np.ndarray]:
        found = stacked(setting, draw().images, initial)
        return {name: value for name, value in found._asdict().items() if value is not None}

    identity = [config.size, config.severities, config.num_holdout, number, initial, setting.pool,
                *map(np.asarray, jax.tree.leaves(setting.params))]  # fmt: skip
    found = Cache(config.cache or None).get("outputs2", identity, compute)
    return Passes(found["logits"], found["features"], found.get("initial"))


def _score_sized(
    setting: Setting, anchors: Anchors, config: Config, key: jax.Array, corrupted: Callable[[int], Draw],
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
    return score(setting, anchors, config, key, sets, together(outputs, joined), brief=True)


def _as_sets(part: dict[str, np.ndarray]) -> Sets:
    fixed = ("family", "strength", "error", "predicted")
    scores = {name: value for name, value in part.items() if name not in fixed}
    return Sets(part["family"], part["strength"], part["error"], part["predicted"], scores)
