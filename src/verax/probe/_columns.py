"""Columns that explain why features have less than full rank."""

from typing import Any

import numpy as np

from ._blocks import row_blocks


def name_columns(x: Any, block_rows: int, names: Any = None) -> str:
    """Say which columns are constant or copies of others, if that explains the rank."""
    lowest, highest = np.full(x.shape[1], np.inf), np.full(x.shape[1], -np.inf)
    digest = np.zeros(x.shape[1])
    numbers = np.random.default_rng(0).normal(size=x.shape[0])
    for part, block in row_blocks(x, block_rows):
        lowest, highest = np.minimum(lowest, block.min(0)), np.maximum(highest, block.max(0))
        digest += numbers[part] @ block
    constant = np.flatnonzero(lowest == highest)
    varying = np.flatnonzero(lowest != highest)
    # Products of equal columns agree up to rounding.
    digest = np.round(digest / np.maximum(np.maximum(np.abs(lowest), np.abs(highest)), 1e-300), 9)
    _, first = np.unique(np.stack([digest, lowest, highest])[:, varying], axis=1, return_index=True)
    copies = np.setdiff1d(varying, varying[first])

    def listed(columns: np.ndarray) -> str:
        shown = [str(index if names is None else names[index]) for index in columns[:5]]
        return ", ".join(shown) + (f" and {len(columns) - 5} more" if len(columns) > 5 else "")

    parts = [f"columns {listed(constant)} are constant"] if len(constant) else []
    parts += [f"columns {listed(copies)} are copies of others"] if len(copies) else []
    return "; ".join(parts) or "some columns are combinations of others"
