"""Input and output types of every corruption."""

from collections.abc import Sequence
from typing import TypeAlias, TypeVar

import numpy as np

Images: TypeAlias = np.ndarray
"""float32 [n, h, w, c] in [0, 1] on the way in; on the way out it may leave that range."""


T = TypeVar("T")

# From this side on images take the parameters of ImageNet-C, whose images have 224 pixels a side.
_LARGE = 128


def is_large(images: Images) -> bool:
    """Whether images are corrupted as in ImageNet-C rather than as in CIFAR-10-C."""
    return min(images.shape[1:3]) >= _LARGE


def parameters(images: Images, severity: int, cifar: Sequence[T], imagenet: Sequence[T]) -> T:
    """Parameters of a severity for images of this size."""
    return (imagenet if is_large(images) else cifar)[severity - 1]


def scaled(length: float, images: Images) -> float:
    """A length given for 32 or 224 pixels, for these images; never below half: a blur below a pixel is none."""
    return length * max(images.shape[1] / (224 if is_large(images) else 32), 0.5)
