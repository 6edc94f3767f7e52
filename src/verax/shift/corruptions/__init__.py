"""The corruptions of CIFAR-10-C, for images of 32x32, 28x28 and 8x8 pixels."""

from ._corrupt import NAMES as NAMES
from ._corrupt import corrupt as corrupt
