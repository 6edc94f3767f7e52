"""Shared type aliases for array arguments and results."""

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import numpy as np

AnyArray: TypeAlias = jax.Array | np.ndarray
"""A NumPy or JAX array; use as ``Float[AnyArray, "n n"]``."""

PyTree: TypeAlias = Any
"""Any JAX pytree."""

ApplyFn: TypeAlias = Callable[[Any, Any], Any]
"""``apply_fn(params, x) -> [n, ...]``, the evaluation mode of a network."""
