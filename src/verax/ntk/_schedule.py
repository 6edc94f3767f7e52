"""Blocks of examples: their size, and how many may be held, within the memory budget."""

import math
from typing import Any, NamedTuple

import jax

from verax.kernels.gram_hadamard import GRAM_BYTES

from ._methods import Method

_LARGEST_BLOCK = {"cpu": 512, "gpu": 2048, "tpu": 2048}


class Schedule(NamedTuple):
    """Sizes of the tile schedule, and its peak memory."""

    block_size: int
    resident: int  # blocks whose factors are held at once, besides the one that streams past them
    bytes: int


def largest_block() -> int:
    """Examples beyond which a block gains nothing."""
    return _LARGEST_BLOCK.get(jax.default_backend(), 512)


def schedule_kernel(
    method: Method[Any], num_rows: int, num_columns: int | None, block_size: int | None, memory_budget: int
) -> Schedule:
    """The schedule of a kernel; with blocks of one example, beyond the budget, where nothing fits."""
    itemsize = max(4, method.itemsize)
    columns = num_rows if num_columns is None else num_columns
    entry = itemsize * (method.num**2 if method.full else 1)
    kernel = num_rows * columns * entry + method.num * method.network.num_outputs * itemsize
    held, forming = method.held_bytes(), method.forming_bytes()
    limit = largest_block()

    def peak(size: int, resident: int) -> int:
        return kernel + 3 * size * size * entry + size * (forming + held * (resident + 1))

    fused_bytes = method.fused_bytes()
    if fused_bytes is not None and num_columns is None and block_size is None:
        fused = 4 * kernel + num_rows * fused_bytes
        if fused <= memory_budget and num_rows <= limit:
            return Schedule(num_rows, 1, fused)
    if peak(1, 1) > memory_budget:
        return Schedule(1, 1, peak(1, 1))
    largest = max(num_rows, columns)
    if block_size is None:
        block_size = min(largest, limit)
        while block_size > 1 and peak(block_size, 1) - kernel > (memory_budget - kernel) // 2:
            block_size = (block_size + 1) // 2
        block_size = math.ceil(largest / math.ceil(largest / block_size))
    block_size = min(block_size, largest)
    blocks = math.ceil(num_rows / block_size)
    spare = memory_budget - peak(block_size, 0)
    resident = max(1, min(blocks, spare // max(1, block_size * held)))
    return Schedule(block_size, resident, peak(block_size, resident))


def schedule_diagonal(method: Method[Any], num: int, memory_budget: int) -> Schedule:
    """The schedule of the diagonal alone: nothing of size n^2."""
    result = num * max(4, method.itemsize) * (method.num**2 if method.full else 1)
    each = method.forming_bytes() + method.held_bytes()
    # Examples pass a few at a time through the products of positions: their Grams, and the elementwise product.
    fixed = 2 * result + method.num * method.network.num_outputs * max(4, method.itemsize)
    fixed += 3 * min(max(GRAM_BYTES, method.diagonal_bytes() if method.full else 0), num * method.diagonal_bytes())
    size = max(1, min(num, largest_block(), (memory_budget - fixed) // max(1, each)))
    size = math.ceil(num / math.ceil(num / size))
    return Schedule(size, 1, fixed + size * each)
