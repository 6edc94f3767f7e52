"""Projection Norm on text: a sentiment classifier in use on other sources, on fewer words, and on misspelt ones."""

import pathlib
import re
from collections import Counter
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from verax._errors import fail
from verax._numpy_random import numpy_generator
from verax._types import PyTree
from verax.models import Network
from verax.report import Claim, Criterion, Table

from ._cache import Cache
from ._estimate import over_seeds
from ._projection_norm_measure import Draw, make_anchors, retrained, score
from ._projection_norm_setting import Setting, fit_network

FILE = "sentiment.npz"
TEXT_NETWORKS = ("embeddings", "transformer")
NATURAL = ("amazon", "imdb", "yelp")
SEVERITIES = (0.1, 0.2, 0.35, 0.5, 0.7)
"""Share of words that are dropped, or misspelt."""

_LENGTH, _LARGEST, _WIDTH, _HEADS = 40, 6000, 32, 2
_PADDING, _UNKNOWN = 0, 1
_SIZE, _HOLDOUT, _DRAWS = 400, 1300, 2

MEAN_ERROR = Criterion(
    "mean absolute error on the natural sets, under a line of the synthetic ones, at most that of average confidence",
    lambda m, se: m - 2 * (se or 0.0) <= 0,
)


class Texts(NamedTuple):
    """Sentences by source, and the vocabulary of those that a network was trained on."""

    sentences: dict[str, np.ndarray]
    labels: dict[str, np.ndarray]
    ids: dict[str, int]

    def encode(self, sentences: list[list[str]]) -> np.ndarray:
        """Write words as ids ``[n, length]``; longer sentences are cut, unknown words share an id."""
        rows = np.full((len(sentences), _LENGTH), _PADDING, np.int32)
        for row, words in zip(rows, sentences, strict=True):
            found = [self.ids.get(word, _UNKNOWN) for word in words[:_LENGTH]]
            row[: len(found)] = found
        return rows


def read_texts(data: str | pathlib.Path | None) -> Texts:
    """Read SST-2 and three other sources from the data folder."""
    path = pathlib.Path(data or "") / FILE
    if not path.is_file():
        fail("data", f"no file {path}", f"a folder with {FILE}")
    with np.load(path, allow_pickle=False) as file:
        parts = ("sst2_train", "sst2_dev", "sst2_test", *NATURAL)
        sentences = {part: file[f"{part}_text"] for part in parts}
        labels = {part: file[f"{part}_y"].astype(np.int32) for part in parts}
    counts = Counter(word for sentence in sentences["sst2_train"] for word in words_of(sentence))
    known = [word for word, count in counts.most_common(_LARGEST) if count > 1]
    return Texts(sentences, labels, {word: number + 2 for number, word in enumerate(known)})


def words_of(sentence: str) -> list[str]:
    """Lower-case words; punctuation is no word."""
    return re.findall(r"[a-z0-9']+", str(sentence).lower())


def shifted(words: list[str], family: str, share: float, rng: np.random.Generator) -> list[str]:
    """Drop a share of the words, or exchange two neighbouring letters in it; at least one word stays."""
    chosen = rng.random(len(words)) < share
    if family == "dropping":
        kept = [word for word, out in zip(words, chosen, strict=True) if not out]
        return kept or words[:1]
    return [_misspelt(word, rng) if hit and len(word) > 1 else word for word, hit in zip(words, chosen, strict=True)]


def _misspelt(word: str, rng: np.random.Generator) -> str:
    place = int(rng.integers(len(word) - 1))
    return word[:place] + word[place + 1] + word[place] + word[place + 2 :]


def make_network(name: str, vocabulary: int, key: jax.Array) -> tuple[Network, PyTree]:
    """A mean of word embeddings under a hidden layer, or a transformer of two layers under a mean over words."""
    keys = iter(jax.random.split(key, 16))

    def normal(*shape: int, scale: float) -> jax.Array:
        return scale * jax.random.normal(next(keys), shape, jnp.float32)

    into = _WIDTH**-0.5
    params: dict[str, Any] = {
        "embedding": normal(vocabulary, _WIDTH, scale=0.3),
        "hidden": {"kernel": normal(_WIDTH, _WIDTH, scale=into), "bias": jnp.zeros(_WIDTH, jnp.float32)},
        "head": {"kernel": normal(_WIDTH, 2, scale=into), "bias": jnp.zeros(2, jnp.float32)},
    }
    if name == "transformer":
        params["positions"] = normal(_LENGTH, _WIDTH, scale=0.1)
        params["blocks"] = [
            {
                "qkv": normal(_WIDTH, 3, _HEADS, _WIDTH // _HEADS, scale=into),
                "project": normal(_HEADS, _WIDTH // _HEADS, _WIDTH, scale=0.5 * into),
                "up": normal(_WIDTH, 2 * _WIDTH, scale=into),
                "down": normal(2 * _WIDTH, _WIDTH, scale=0.5 * into),
            }
            for _ in range(2)
        ]
    return Network(_embedded if name == "embeddings" else _attended, _WIDTH, 2), params


def _embedded(params: PyTree, tokens: jax.Array) -> jax.Array:
    there = (tokens != _PADDING)[:, :, None].astype(jnp.float32)
    mean = (params["embedding"][tokens] * there).sum(axis=1) / jnp.maximum(there.sum(axis=1), 1)
    return jax.nn.relu(mean @ params["hidden"]["kernel"] + params["hidden"]["bias"])


def _attended(params: PyTree, tokens: jax.Array) -> jax.Array:
    there = tokens != _PADDING
    x = params["embedding"][tokens] + params["positions"]
    for block in params["blocks"]:
        query, key, value = jnp.einsum("ntc,cshd->snthd", _normalised(x), block["qkv"])
        scores = jnp.einsum("nqhd,nkhd->nhqk", query, key) * (_WIDTH // _HEADS) ** -0.5
        # An empty sentence attends to its padding, rather than to nothing.
        weights = jax.nn.softmax(jnp.where(there[:, None, None], scores, -1e9), axis=-1)
        x = x + jnp.einsum("nhqk,nkhd,hdc->nqc", weights, value, block["project"])
        x = x + jax.nn.gelu(_normalised(x) @ block["up"]) @ block["down"]
    weight = there[:, :, None].astype(x.dtype)
    mean = (_normalised(x) * weight).sum(axis=1) / jnp.maximum(weight.sum(axis=1), 1)
    return jax.nn.relu(mean @ params["hidden"]["kernel"] + params["hidden"]["bias"])


def _normalised(x: jax.Array) -> jax.Array:
    return x * jax.lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + 1e-6)


def measure_text(texts: Texts, name: str, config: Any, key: jax.Array) -> dict[str, np.ndarray]:
    """Train a network on SST-2, and score every shifted set; as ``_score`` returns them."""
    init_key, fit_key, score_key = jax.random.split(key, 3)
    network, init = make_network(name, len(texts.ids) + 2, init_key)
    train = texts.encode([words_of(s) for s in texts.sentences["sst2_train"]])
    params = fit_network(network, init, train, texts.labels["sst2_train"], fit_key)
    held = [words_of(s) for part in ("sst2_dev", "sst2_test") for s in texts.sentences[part]]
    labels = np.concatenate([texts.labels["sst2_dev"], texts.labels["sst2_test"]])
    rng = numpy_generator(key)
    order = rng.permutation(len(held))
    holdout, pool = order[:_HOLDOUT], order[_HOLDOUT:]
    setting = Setting(
        network, params, init, network, [], lambda tokens: tokens, train, texts.encode([held[i] for i in holdout]),
        labels[holdout], texts.encode([held[i] for i in pool]), labels[pool], 2,
    )  # fmt: skip
    family, strength, sets, truths = [], [], [], []

    def add(name: str, share: float, words: list[list[str]], labels: np.ndarray) -> None:
        family.append(name)
        strength.append(share)
        sets.append(texts.encode(words))
        truths.append(labels)

    for kind in ("dropping", "typos"):
        for share in SEVERITIES:
            for _ in range(_DRAWS):
                rows = rng.permutation(pool)[:_SIZE]
                add(kind, share, [shifted(held[i], kind, share, rng) for i in rows], labels[rows])
    for source in NATURAL:
        words = [words_of(s) for s in texts.sentences[source]]
        order = rng.permutation(len(words))
        for draw in range(_DRAWS):
            rows = order[draw * _SIZE : (draw + 1) * _SIZE]
            add(source, 0.0, [words[i] for i in rows], texts.labels[source][rows])
    draw = Draw(np.array(family), np.array(strength), sets, truths)
    found = score(setting, make_anchors(setting, initial=True), config, score_key, draw, tangents=True)
    return found | retrained(setting, config, score_key, sets, Cache(None), [])


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
        if name in ("family", "strength", "error", "predicted") or name.endswith("p-value"):
            continue
        if values.ndim == 2:  # of the budgets the one that fits the synthetic sets best
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
    """Squared correlation, 0 for a constant score."""
    return float(np.corrcoef(values, error)[0, 1] ** 2) if np.ptp(values) > 0 else 0.0


def text_claims(found: dict[str, list[dict[str, np.ndarray]]]) -> list[Claim]:
    """Return the verdict for each network; untested where none was trained."""
    source = "this library"
    claims = []
    for name in TEXT_NETWORKS:
        statement = (
            f"On text ({name}), Projection Norm by retraining predicts errors on other sources as well as average "
            "confidence: its mean absolute error less that"
        )
        if name not in found:
            untested = "not tested at this scale"
            claims.append(Claim(statement, source, None, None, None, 0, "real data", MEAN_ERROR, untested))
            continue
        judged = [judge_text(one) for one in found[name]]
        difference = [j["retrained, function"].natural_error - j["average confidence"].natural_error for j in judged]
        claims.append(Claim(statement, source, None, *over_seeds(np.array(difference)), "real data", MEAN_ERROR))
    return claims


def text_tables(found: dict[str, list[dict[str, np.ndarray]]]) -> dict[str, tuple[Table, str]]:
    """Scores of each network, and the true errors."""
    tables = {}
    for name, seeds in found.items():
        judged = [judge_text(one) for one in seeds]
        rows = [
            (
                label,
                *over_seeds(np.array([j[label].r_squared for j in judged]))[:2],
                *over_seeds(np.array([j[label].natural_error for j in judged]))[:2],
            )
            for label in judged[0]
        ]
        tables[f"text, {name}"] = (
            Table(("score", "R², synthetic", "± se", "MAE, natural", "± se"), rows),
            f"SST-2, {len(seeds)} seeds, sets of {_SIZE} sentences. Synthetic: words dropped or misspelt. Natural: "
            "Amazon, IMDb and Yelp, whose errors are predicted by the line of the synthetic sets. Without numbers: "
            "scores that are constant, as MaNo is with two classes and small logits, or missing.",
        )
        family, error = seeds[0]["family"], np.stack([one["error"] for one in seeds])
        truth = [(kind, float(error[:, family == kind].mean())) for kind in dict.fromkeys(family)]
        tables[f"text errors, {name}"] = Table(("sets", "true error"), truth), "Means over sets and seeds."
    return tables
