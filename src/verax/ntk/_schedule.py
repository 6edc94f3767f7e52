"""Blocks of examples: their size, and how many may be held, within the memory budget."""

import math
from typing import NamedTuple

import jax

from verax._errors import fail

from ._methods import Method, Structured

_LARGEST_BLOCK = {"cpu": 512, "gpu": 2048, "tpu": 2048}


class Schedule(NamedTuple):
    """Sizes of the tile schedule."""

    block_size: int
    resident: int  # blocks whose factors are held at once, besides the one that streams past them


def schedule_blocks(
    method: Method, num_rows: int, num_columns: int | None, block_size: int | None, memory_budget: int
) -> tuple[Schedule, int]:
    """Block size and number of blocks held, and the peak memory in bytes."""
    itemsize = max(4, method.itemsize)
    columns = num_rows if num_columns is None else num_columns
    entry = itemsize * (method.directions.num**2 if method.directions.full else 1)
    kernel = num_rows * columns * entry
    held, forming = method.held_bytes(), method.forming_bytes()
    limit = _LARGEST_BLOCK.get(jax.default_backend(), 512)

    def peak(size: int, resident: int) -> int:
        return kernel + 3 * size * size * entry + size * (forming + held * (resident + 1))

    symmetric_sum = num_columns is None and not method.directions.full
    if isinstance(method, Structured) and symmetric_sum and block_size is None:
        fused = 4 * kernel + num_rows * method.fused_bytes()
        if fused <= memory_budget and num_rows <= limit:
            return Schedule(num_rows, 1), fused
    if peak(1, 1) > memory_budget:
        fail("memory_budget", f"{memory_budget:,} bytes", f"at least {peak(1, 1):,} bytes for blocks of one example")
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
    return Schedule(block_size, resident), peak(block_size, resident)
