"""Rows and columns of a feature matrix in float64 blocks, so that a memory-mapped file is never held whole."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from verax._errors import check, check_integer, fail

NUM_FOLDS = 8
"""Random eighths of the rows, from which the fits to fewer examples are put together."""
MIN_SAMPLES = 64
"""Fewer examples are not split: an eighth of them would be too few for a fit."""
LARGEST = 1e100
"""Entries beyond it overflow where they are squared and added up."""
_BLOCK_BYTES = 2**25
_LEAST_ROWS = 64


class Work(NamedTuple):
    """How the features will be walked through."""

    primal: bool
    """Whether the covariance (features by features) is decomposed, rather than the kernel (samples by samples)."""
    num_folds: int
    block_rows: int
    block_columns: int
    bytes: int
    """What the fit holds at its largest, the features themselves not counted."""


def plan(num_samples: int, num_features: int, num_targets: int, memory_budget: int | None) -> Work:
    """Choose the smaller of covariance and kernel, and blocks that fit the budget; refuse a budget that cannot hold it.

    Counted in float64 numbers: in the primal the covariances of all folds and four matrices as large beside them; in
    the dual the kernel and four as large; targets and predictions in both.
    """
    primal = num_features <= num_samples
    num_folds = NUM_FOLDS if num_samples >= MIN_SAMPLES else 1
    side = min(num_samples, num_features)
    fixed = 8 * (((num_folds if primal else 1) + 4) * side**2 + 5 * num_samples * (num_targets + 2))
    row = 8 * 3 * (max(num_features, num_targets) + 40)
    column = 8 * 2 * num_samples
    least = fixed + (_LEAST_ROWS * row if primal else 8 * column)
    if memory_budget is not None:
        check_integer("memory_budget", memory_budget, minimum=1)
        check(
            memory_budget >= least,
            "memory_budget",
            f"{memory_budget:,} bytes",
            f"at least {least:,} bytes to decompose {num_samples:,} samples of {num_features:,} features, or None",
        )
    room = _BLOCK_BYTES if memory_budget is None else min(_BLOCK_BYTES, memory_budget - fixed)
    rows = min(num_samples, max(_LEAST_ROWS, room // row))
    columns = min(num_features, max(8, room // column))
    return Work(primal, num_folds, rows, columns, fixed + (rows * row if primal else columns * column))


def row_blocks(x: Any, rows: int) -> Iterator[tuple[slice, np.ndarray]]:
    """Float64 copies of consecutive rows."""
    for start in range(0, x.shape[0], rows):
        part = slice(start, min(start + rows, x.shape[0]))
        yield part, dense(x[part])


def column_blocks(x: Any, columns: int) -> Iterator[tuple[slice, np.ndarray]]:
    """Float64 copies of consecutive columns."""
    x = x.tocsc() if hasattr(x, "tocsc") else x
    for start in range(0, x.shape[1], columns):
        part = slice(start, min(start + columns, x.shape[1]))
        yield part, dense(x[:, part])


def dense(rows: Any) -> np.ndarray:
    """Float64 copy of rows of an array or of a sparse matrix."""
    return np.array(rows.toarray() if hasattr(rows, "toarray") else rows, np.float64)


def check_block(block: np.ndarray, first_row: int) -> None:
    """Raise for a block with NaN or infinity, naming the first row."""
    if not np.isfinite(block.sum()) and not np.isfinite(block).all():
        bad = ~np.isfinite(block)
        row = first_row + int(np.argmax(bad.any(1)))
        fail("X", f"NaN or infinity in {int(bad.any(1).sum())} rows, the first of them row {row}", "finite features")

    largest = float(np.abs(block).max(initial=0.0))
    check(largest <= LARGEST, "X", f"entries up to {largest:.3g}", f"entries up to {LARGEST:g}")


def draw_folds(num_samples: int, num_folds: int, groups: np.ndarray | None = None) -> np.ndarray:
    """Fold of each row: a fixed random division into parts whose sizes differ by at most one; groups stay whole."""
    count = num_samples if groups is None else int(groups.max()) + 1
    order = np.random.default_rng(20220722).permutation(count)
    folds = np.empty(count, np.int8)
    folds[order] = np.arange(count) % num_folds
    return folds if groups is None else folds[groups]


def varies(centred: Any, total: Any) -> bool:
    """Whether any sum of squares about the mean is more than rounding of the sum about zero that it was taken from."""
    return bool(np.any(centred > 1e-12 * total))
