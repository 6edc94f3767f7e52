"""Copies and near-copies among the rows of a feature matrix."""

from typing import Any, NamedTuple

import numpy as np

from ._blocks import dense, row_blocks

# Squared distance below this share of the pair's squared distances from the mean: copies, not neighbours.
_SHARE = 1e-3
# Natural neighbours that the threshold may catch among independent rows.
_NATURAL = 0.01
_CHECKED = 2_000
_PROJECTION = 32
_CONFIRMED = 20_000


class Duplicates(NamedTuple):
    """Counts of copies."""

    exact: int
    near_share: float
    num_checked: int


def count_duplicates(x: Any, block_rows: int) -> Duplicates:
    """Count exact copies among all rows, and find the near-copies of up to 2,000 random rows among all rows.

    Near-copies are searched for in a random projection to 32 dimensions and confirmed at full length. Data of low
    effective dimension ``d`` have close neighbours by nature, about ``n s^(d/2)`` a row within the share ``s`` of the
    typical squared distance; the threshold is lowered until that is 1 %.
    """
    n, num_features = x.shape
    rng = np.random.default_rng(20220722)
    if num_features <= _PROJECTION:
        projection = np.eye(num_features)
    else:
        projection = rng.normal(size=(num_features, _PROJECTION)) / np.sqrt(_PROJECTION)
    short, hashes = np.empty((n, projection.shape[1]), np.float32), np.empty(n, np.int64)
    shift = np.zeros(num_features)
    for part, block in row_blocks(x, block_rows):
        if part.start == 0:
            shift = block.mean(0)
        block += 0.0  # minus zero and zero are equal, and so are their copies
        hashes[part] = [hash(row.tobytes()) for row in block]
        short[part] = (block - shift) @ projection
    exact = n - len(np.unique(hashes))
    short -= short.mean(0)
    short /= max(float(np.abs(short).max()), 1e-30)  # squares stay in range
    size = np.sum(short.astype(np.float64) ** 2, axis=1)
    checked = np.sort(rng.choice(n, min(n, _CHECKED), replace=False))
    if not size.mean() > 0:
        return Duplicates(exact, float(n > 1), len(checked))
    share = _share(short, n)
    found = np.zeros(len(checked), bool)
    # A projected distance may come out smaller than the true one; candidates within 4 times the share are confirmed.
    slack = 4.0 if num_features > _PROJECTION else 1.0
    step = max(1, 2**22 // n)
    budget = _CONFIRMED
    for start in range(0, len(checked), step):
        rows = checked[start : start + step]
        pair_size = size[rows, None] + size
        distance = pair_size - 2 * (short[rows] @ short.T)
        distance[np.arange(len(rows)), rows] = np.inf
        i, j = np.nonzero(distance < slack * share * pair_size)
        i, j = i[:budget], j[:budget]
        budget -= len(i)
        for inner in range(0, len(i), block_rows):
            one, other = i[inner : inner + block_rows], j[inner : inner + block_rows]
            a = dense(x[rows[one]]) - shift
            b = dense(x[other]) - shift
            close = np.sum((a - b) ** 2, axis=1) <= share * (np.sum(a**2, axis=1) + np.sum(b**2, axis=1))
            found[start + one[close]] = True
    return Duplicates(exact, float(found.mean()), len(checked))


def _share(short: np.ndarray, num_samples: int) -> float:
    """The threshold, lowered for data of few effective dimensions (the participation ratio of their covariance)."""
    values = np.linalg.eigvalsh(np.cov(short.astype(np.float64), rowvar=False, ddof=0).reshape(short.shape[1], -1))
    dimension = float(values.sum() ** 2 / np.sum(values**2))
    return min(_SHARE, (_NATURAL / num_samples) ** (2 / dimension))
