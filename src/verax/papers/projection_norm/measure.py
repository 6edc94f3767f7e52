"""Projection Norm: true errors and every score of every set, for one network and seed."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from verax._numpy_random import numpy_generator
from verax.papers._cache import Cache
from verax.papers._measurements import Measurements

from .config import Config, Retraining, TargetSets
from .passes import Anchors, Passes, stacked, together
from .retraining import NORMS, retrained
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
    class_counts: np.ndarray
    """How often each class is predicted, [S, C]."""
    scores: dict[str, np.ndarray]
    """By name: [S], and [B, S] for the closed form at each budget."""
    recipe: int | None = None
    """Position of the recipe of retraining that was chosen."""

    def predicted(self) -> list[np.ndarray]:
        """Predicted labels of each set, in the order of the classes."""
        return [np.repeat(np.arange(len(counts)), counts) for counts in self.class_counts]


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
    setting: Setting,
    anchors: Anchors,
    config: Config,
    key: jax.Array,
    number: int,
    extent: Extent,
    labels: dict[str, Any],
    kept: Measurements,
) -> Measurement:
    """Build and score the sets of the setting's draw of this number, or read what an earlier run kept."""
    plan, scoring = config.target_sets, config.scoring
    cache = Cache(config.cache or None)
    rng = numpy_generator(jax.random.fold_in(key, number), 1)
    identity = [setting.identity(), plan, number]
    # Corrupting takes its time, and the images of a draw fill hundreds of megabytes: each once, one at a time.
    corrupted = functools.lru_cache(maxsize=1)(lambda number: corrupted_sets(setting, plan, key, number))
    shifted = label_shifted_sets(setting, plan, rng)
    draws: dict[str, Callable[[], Draw]] = {
        "corrupted": functools.partial(corrupted, number),
        "label-shifted": lambda: shifted,
    }
    if extent.adversarial:
        rows = rng.permutation(len(setting.pool))[: plan.size]
        draws["adversarial"] = functools.cache(lambda: adversarial_sets(setting, plan, rows))
    parts = {}
    for kind, draw in draws.items():

        def compute(kind: str = kind, draw: Callable[[], Draw] = draw) -> dict[str, np.ndarray]:
            outputs = _outputs(setting, identity, draw, cache, extent.initial) if kind == "corrupted" else None
            return score(setting, anchors, scoring, key, draw(), outputs, tangents=extent.tangents)

        own = {**labels, "measurement": "scores", "sets": kind}
        parts[kind] = kept.get(own, [*identity, scoring, extent.tangents, extent.initial], compute)
    if extent.retrained:
        _add_retrained(setting, config, key, identity, draws, parts, labels, kept)
    sized = {}
    for size in config.other_sizes:
        if size < plan.size or (setting.stored and number == 0):

            def compute_sized(size: int = size) -> dict[str, np.ndarray]:
                numbers = [number] if size < plan.size else list(range(size // plan.size))
                sets, outputs = _sized(setting, plan, anchors, corrupted, numbers, size, cache)
                return score(setting, anchors, scoring, key, sets, outputs, brief=True)

            own = {**labels, "measurement": "scores", "sets": f"corrupted, {size} examples"}
            sized[size] = as_sets(kept.get(own, [*identity, scoring, size, extent.initial], compute_sized))
    predicted = anchors.holdout.logits.argmax(1)
    return Measurement(
        as_sets(parts["corrupted"]),
        as_sets(parts["label-shifted"]),
        as_sets(parts["adversarial"]) if extent.adversarial else None,
        holdout_predicted=predicted,
        holdout_error=float(np.mean(predicted != setting.holdout_labels)),
        sized=sized,
    )


def _add_retrained(
    setting: Setting,
    config: Config,
    key: jax.Array,
    identity: list[Any],
    draws: dict[str, Callable[[], Draw]],
    parts: dict[str, dict[str, np.ndarray]],
    labels: dict[str, Any],
    kept: Measurements,
) -> None:
    """Add scores by retraining: the recipe that fits the held-out corruptions best, then all sets by that recipe."""

    def distances(kind: str, families: list[str], retraining: Retraining, *, nulls: bool) -> dict[str, np.ndarray]:
        def compute() -> dict[str, np.ndarray]:
            sets = draws[kind]()
            chosen = np.isin(sets.family, families)
            images = [one for one, wanted in zip(sets.images, chosen, strict=True) if wanted]
            return retrained(setting, retraining, images, key, nulls=nulls)

        own = {**labels, "measurement": "retraining", "sets": kind, "families": ", ".join(families)}
        return kept.get({**own, "recipe": str(retraining)}, [*identity, retraining, nulls], compute)

    def groups(kind: str, wanted: Callable[[str], bool]) -> list[list[str]]:
        """Families whose sets are retrained in one go: each alone where that takes its time."""
        found = [name for name in dict.fromkeys(parts[kind]["family"].tolist()) if wanted(name)]
        return [found] if setting.is_small else [[name] for name in found]

    def excess(kind: str, groups: list[list[str]], retraining: Retraining, null: np.ndarray | None) -> Excess:
        """Distances beyond the null, [norms, S], NaN for the other sets; the null comes with the first group."""
        family = parts[kind]["family"]
        values = np.full((len(NORMS), len(family)), np.nan)
        for names in groups:
            found = distances(kind, names, retraining, nulls=null is None)
            null = found["null"] if null is None else null
            values[:, np.isin(family, names)] = found["value"] - null[:, None]
        assert null is not None  # there is a group
        return Excess(values, null)

    outside = (*EXTRA, "clean")
    held_out = groups("corrupted", lambda name: name in outside)
    tried = [excess("corrupted", held_out, retraining, None) for retraining in config.retrainings]
    error, inside = parts["corrupted"]["error"], np.isin(parts["corrupted"]["family"], outside)
    index = best_row(np.stack([one.values[0] for one in tried]), error, inside)
    retraining, chosen = config.retrainings[index], tried[index]
    judged = excess("corrupted", groups("corrupted", lambda name: name not in outside), retraining, chosen.null)
    found = {"corrupted": np.where(np.isnan(judged.values), chosen.values, judged.values)}
    for kind in draws:
        if kind != "corrupted":
            found[kind] = excess(kind, groups(kind, lambda name: True), retraining, None).values
    for kind, rows in found.items():
        parts[kind] |= {f"retrained, {norm}": row for norm, row in zip(NORMS, rows, strict=True)}
    parts["corrupted"]["recipe"] = np.array(index)


class Excess(NamedTuple):
    """Distances of retrained networks beyond those of null draws, and the mean distance of these."""

    values: np.ndarray
    null: np.ndarray


def best_row(rows: np.ndarray, error: np.ndarray, inside: np.ndarray) -> int:
    """The rule, fixed before any run: the row with the largest R^2 on sets held out of calibration and claims."""
    fits = [np.corrcoef(row[inside], error[inside])[0, 1] if np.ptp(row[inside]) > 0 else 0.0 for row in rows]
    return int(np.argmax(np.square(np.nan_to_num(fits))))


def with_agreement(
    measurements: dict[str, list[Measurement]], partners: dict[str, str], kept: Callable[..., dict[str, np.ndarray]]
) -> dict[str, list[Measurement]]:
    """Add how often each network and its partner predict other labels on the same sets."""
    found = dict(measurements)
    for network, partner in partners.items():
        joined = []
        for number, own in enumerate(measurements[network]):
            apart = kept(*sorted((network, partner)), number)

            def with_score(sets: Sets, kind: str, partner: str = partner, apart: Any = apart) -> Sets:
                return sets._replace(scores={**sets.scores, f"agreement with {partner}": apart[kind]})

            joined.append(
                own._replace(
                    corrupted=with_score(own.corrupted, "corrupted"),
                    label_shifted=with_score(own.label_shifted, "label-shifted"),
                )
            )
        found[network] = joined
    return found


def measure_agreement(
    first: Setting, second: Setting, plan: TargetSets, key: jax.Array, number: int
) -> dict[str, np.ndarray]:
    """Shares of examples to which two networks give other labels, on each set of a draw that both are given."""
    corrupted = functools.cache(lambda: corrupted_sets(first, plan, key, number))
    shifted = label_shifted_sets(first, plan, numpy_generator(jax.random.fold_in(key, number), 1))
    found = {}
    for kind, draw in (("corrupted", corrupted), ("label-shifted", lambda: shifted)):
        predicted = [stacked(setting, draw().images, False).logits.argmax(2) for setting in (first, second)]
        found[kind] = np.mean(predicted[0] != predicted[1], axis=1)
    return found


def _outputs(setting: Setting, identity: list[Any], draw: Callable[[], Draw], cache: Cache, initial: bool) -> Passes:
    """Outputs on the corrupted sets of a draw, kept: those of other sizes are made of them."""

    def compute() -> dict[str, np.ndarray]:
        found = stacked(setting, draw().images, initial)
        return {name: value for name, value in found._asdict().items() if value is not None}

    found = cache.get("outputs3", [*identity, setting.params, initial], compute)
    return Passes(found["logits"], found["features"], found.get("initial"))


def _sized(
    setting: Setting,
    plan: TargetSets,
    anchors: Anchors,
    corrupted: Callable[[int], Draw],
    numbers: list[int],
    size: int,
    cache: Cache,
) -> tuple[Draw, Passes]:
    """Put together the first examples of the corrupted sets of these draws, and the outputs on them."""
    initial = anchors.holdout.initial is not None
    draws, outputs = [], []
    for number in numbers:
        draw = functools.partial(corrupted, number)
        draws.append(draw()._replace(images=[]))
        outputs.append(_outputs(setting, [setting.identity(), plan, number], draw, cache, initial))

    def joined(parts: list[np.ndarray]) -> np.ndarray:
        return np.concatenate(parts, axis=1)[:, :size]

    sets = draws[0]._replace(labels=list(joined([np.stack(draw.labels) for draw in draws])))
    return sets, together(outputs, joined)


def as_sets(part: dict[str, np.ndarray]) -> Sets:
    """Tell scores from what describes the sets."""
    fixed = ("family", "strength", "error", "class_counts", "recipe")
    scores = {name: value for name, value in part.items() if name not in fixed}
    recipe = int(part["recipe"]) if "recipe" in part else None
    return Sets(part["family"], part["strength"], part["error"], part["class_counts"], scores, recipe)
