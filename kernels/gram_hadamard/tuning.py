"""Where the fused kernel was measured against XLA, and how it did; ``benchmarks/kernels.py`` adds rows on a GPU."""

import functools
import json
import pathlib
from typing import NamedTuple

TABLE = pathlib.Path(__file__).with_name("tuning.json")
ENOUGH = 1.3
"""Times that the kernel must be faster to be taken unasked."""


class Shape(NamedTuple):
    """Parameters that determine the speed, for tiles of many examples."""

    device: str
    dtype: str
    positions: int
    left_width: int
    right_width: int


@functools.cache
def measured() -> dict[Shape, float]:
    """Read the table: XLA's time over the kernel's, by shape."""
    return {Shape(*shape): speedup for *shape, speedup in json.loads(TABLE.read_text())}


def pays(shape: Shape) -> bool:
    """Whether a measurement on this device shows it; without one, no."""
    return measured().get(shape, 0.0) >= ENOUGH
