"""Projection Norm on text: a sentiment classifier in use on other sources, on fewer words, and on misspelt ones."""

from typing import NamedTuple

import jax
import numpy as np

from verax._numpy_random import numpy_generator

from .config import Retraining, Scoring
from .passes import make_anchors
from .retraining import NORMS, retrained
from .scores import score
from .sets import Draw
from .setting import Setting, fit_network
from .text_network import make_network
from .texts import NATURAL, SEVERITIES, Texts, shifted, words_of

TEXT_NETWORKS = ("embeddings", "transformer")


SIZE, HOLDOUT, DRAWS = 400, 1300, 2


class TextExperiment(NamedTuple):
    """A trained classifier, the shifted sets, and the key of their scores."""

    setting: Setting
    sets: Draw
    key: jax.Array


def make_experiment(texts: Texts, name: str, key: jax.Array) -> TextExperiment:
    """Train a network on SST-2, and draw every shifted set."""
    init_key, fit_key, score_key = jax.random.split(key, 3)
    network, init = make_network(name, len(texts.ids) + 2, init_key)
    train = texts.encode([words_of(s) for s in texts.sentences["sst2_train"]])
    params = fit_network(network, init, train, texts.labels["sst2_train"], fit_key)
    held = [words_of(s) for part in ("sst2_dev", "sst2_test") for s in texts.sentences[part]]
    labels = np.concatenate([texts.labels["sst2_dev"], texts.labels["sst2_test"]])
    rng = numpy_generator(key)
    order = rng.permutation(len(held))
    holdout, pool = order[:HOLDOUT], order[HOLDOUT:]
    setting = Setting(
        network,
        params,
        init,
        network,
        [],
        lambda tokens: tokens,
        train,
        texts.encode([held[i] for i in holdout]),
        labels[holdout],
        texts.encode([held[i] for i in pool]),
        labels[pool],
        2,
    )
    family, strength, sets, truths = [], [], [], []

    def add(name: str, share: float, words: list[list[str]], labels: np.ndarray) -> None:
        family.append(name)
        strength.append(share)
        sets.append(texts.encode(words))
        truths.append(labels)

    for kind in ("dropping", "typos"):
        for share in SEVERITIES:
            for _ in range(DRAWS):
                rows = rng.permutation(pool)[:SIZE]
                add(kind, share, [shifted(held[i], kind, share, rng) for i in rows], labels[rows])
    for source in NATURAL:
        words = [words_of(s) for s in texts.sentences[source]]
        order = rng.permutation(len(words))
        for draw in range(DRAWS):
            rows = order[draw * SIZE : (draw + 1) * SIZE]
            add(source, 0.0, [words[i] for i in rows], texts.labels[source][rows])
    return TextExperiment(setting, Draw(np.array(family), np.array(strength), sets, truths), score_key)


def score_texts(experiment: TextExperiment, scoring: Scoring) -> dict[str, np.ndarray]:
    """Every score but retraining, as ``score`` returns them."""
    setting, sets, key = experiment
    return score(setting, make_anchors(setting, initial=True), scoring, key, sets, tangents=True)


def retrain_texts(experiment: TextExperiment, retraining: Retraining) -> dict[str, np.ndarray]:
    """Distances of all sets by one recipe, as ``retrained`` returns them."""
    return retrained(experiment.setting, retraining, experiment.sets.images, experiment.key)


def with_retraining(scores: dict[str, np.ndarray], results: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Join scores with those by retraining, [recipes, S]."""
    excess = np.stack([result["value"] - result["null"][:, None] for result in results], axis=1)
    return scores | {f"retrained, {norm}": rows for norm, rows in zip(NORMS, excess, strict=True)}


class Judged(NamedTuple):
    """One score on one network and seed."""

    r_squared: float
    natural_error: float
    """Mean absolute error on the natural sets under a line of the synthetic ones."""


def judge_text(found: dict[str, np.ndarray]) -> dict[str, Judged]:
    """Fit a line of error on each score over the synthetic sets, and use it on the natural ones."""
    natural = np.isin(found["family"], NATURAL)
    error = found["error"]
    judged = {}
    for name, values in found.items():
        if name in ("family", "strength", "error", "class_counts") or name.endswith("p-value"):
            continue
        if values.ndim == 2:  # of the budgets or recipes the one that fits the synthetic sets best
            values = values[int(np.argmax([_fit(row[~natural], error[~natural]) for row in values]))]
        if not np.isfinite(values).all() or np.ptp(values[~natural]) == 0:
            judged[name] = Judged(np.nan, np.nan)
            continue
        slope, offset = np.polyfit(values[~natural], error[~natural], 1)
        predicted = np.clip(slope * values + offset, 0, 1)
        fit = _fit(values[~natural], error[~natural])
        judged[name] = Judged(fit, float(np.abs(predicted - error)[natural].mean()))
    return judged


def _fit(values: np.ndarray, error: np.ndarray) -> float:
    """Squared correlation, 0 for a constant or missing score."""
    return float(np.corrcoef(values, error)[0, 1] ** 2) if np.ptp(values) > 0 else 0.0
