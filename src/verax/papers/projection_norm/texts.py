"""Projection Norm: sentences by source, and how they are shifted."""

import pathlib
import re
from collections import Counter
from typing import NamedTuple

import numpy as np

from verax._errors import fail

FILE = "sentiment.npz"


NATURAL = ("amazon", "imdb", "yelp")


SEVERITIES = (0.1, 0.2, 0.35, 0.5, 0.7)
"""Share of words that are dropped, or misspelt."""


LENGTH, LARGEST, WIDTH, HEADS = 40, 6000, 32, 2


PADDING, UNKNOWN = 0, 1


class Texts(NamedTuple):
    """Sentences by source, and the vocabulary of those that a network was trained on."""

    sentences: dict[str, np.ndarray]
    labels: dict[str, np.ndarray]
    ids: dict[str, int]

    def encode(self, sentences: list[list[str]]) -> np.ndarray:
        """Write words as ids ``[n, length]``; longer sentences are cut, unknown words share an id."""
        rows = np.full((len(sentences), LENGTH), PADDING, np.int32)
        for row, words in zip(rows, sentences, strict=True):
            found = [self.ids.get(word, UNKNOWN) for word in words[:LENGTH]]
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
    known = [word for word, count in counts.most_common(LARGEST) if count > 1]
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
