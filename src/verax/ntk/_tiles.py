"""The tile schedule: blocks of examples, factors kept where memory allows, symmetric tiles computed once."""

import functools
import math
from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
from jax import Array, lax

from verax._errors import is_traced
from verax._progress import progress_bar
from verax._types import PyTree

from ._gram import mirrored
from ._schedule import Schedule

F = TypeVar("F")


def assemble(
    block_factors: Callable[[PyTree], F],
    tile: Callable[[F, F], Array],
    diagonal_tile: Callable[[F], Array],
    x1: PyTree,
    x2: PyTree | None,
    schedule: Schedule,
    progress: bool,
) -> Array:
    """Compute a kernel tile by tile.

    ``resident`` blocks of rows are formed and held; every later block of columns is formed once for each such group, so
    a kernel whose factors fit in memory forms each block exactly once.
    """
    size, resident = schedule.block_size, schedule.resident
    num_rows = num_examples(x1)
    symmetric = x2 is None
    columns = x1 if x2 is None else x2
    num_columns = num_examples(columns)
    row_starts = list(range(0, num_rows, size))
    column_starts = list(range(0, num_columns, size))
    kernel: Array | None = None

    def put(kernel: Array | None, values: Array, row: int, column: int) -> Array:
        values = values[: num_rows - row, : num_columns - column]
        if kernel is None:
            kernel = jnp.zeros((num_rows, num_columns, *values.shape[2:]), values.dtype)
        write = _write if is_traced(values) else _write_in_place
        return write(kernel, values, jnp.int32(row), jnp.int32(column))

    total = len(row_starts) * (len(row_starts) + 1) // 2 if symmetric else len(row_starts) * len(column_starts)
    with progress_bar("kernel tiles", total, progress) as advance:
        for first in range(0, len(row_starts), resident):
            group = row_starts[first : first + resident]
            held = {row: block_factors(block_of(x1, row, size)) for row in group}
            if symmetric:
                for row in group:
                    kernel = put(kernel, diagonal_tile(held[row]), row, row)
                    advance()
            for column in column_starts:
                if symmetric and column < group[0]:
                    continue
                streamed = (
                    held[column] if symmetric and column in held else block_factors(block_of(columns, column, size))
                )
                for row in group:
                    if symmetric and row >= column:
                        continue
                    values = tile(held[row], streamed)
                    kernel = put(kernel, values, row, column)
                    if symmetric:
                        kernel = put(kernel, mirrored(values), column, row)
                    advance()
    assert kernel is not None
    return kernel


def num_formed(num_blocks: int, num_columns: int | None, resident: int) -> int:
    """How many blocks of factors the schedule forms."""
    groups = math.ceil(num_blocks / resident)
    if num_columns is not None:
        return num_blocks + groups * num_columns
    later = sum(max(0, num_blocks - (group + 1) * resident) for group in range(groups))
    return num_blocks + later


def num_examples(x: PyTree) -> int:
    """Length of the leading axis of examples."""
    return jax.tree.leaves(x)[0].shape[0]


def block_of(x: PyTree, start: int, size: int) -> PyTree:
    """A block of exactly ``size`` examples; a short last one repeats its last example, and the tile is cut later."""

    def cut(leaf: Array) -> Array:
        leaf = leaf[start : start + size]
        missing = size - leaf.shape[0]
        return leaf if not missing else leaf[jnp.minimum(jnp.arange(size, dtype=jnp.int32), leaf.shape[0] - 1)]

    return jax.tree.map(cut, x)


def _write(kernel: Array, values: Array, row: Array, column: Array) -> Array:
    zeros = [jnp.int32(0)] * (kernel.ndim - 2)
    return lax.dynamic_update_slice(kernel, values, (row, column, *zeros))


_write_in_place = functools.partial(jax.jit, donate_argnums=0)(_write)
