"""What every corruption takes and gives."""

from typing import TypeAlias

import numpy as np

Images: TypeAlias = np.ndarray
"""float32 [n, h, w, c] in [0, 1] on the way in; on the way out it may leave that range."""


def scaled(length: float, side: int) -> float:
    """A length given for 32 pixels, for another side; not below half of it, since a blur below a pixel is none."""
    return length * max(side / 32, 0.5)
