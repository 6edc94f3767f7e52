"""Hadamard product of two Gram matrices, summed over positions."""

from .api import gram_hadamard as gram_hadamard
from .xla import GRAM_BYTES as GRAM_BYTES
