"""Windows of a convolution as rows, by strided slices: cheaper on CPU than convolving with an identity kernel."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax import Array, lax


def patches(x: Array, window: Sequence[int], params: dict[str, Any], groups: int) -> Array:
    """Rows ``[batch * positions, groups, channels * taps]`` of the windows that a convolution sees.

    Parameters
    ----------
    x : array, shape [batch, channels, *spatial]
        The convolution's input.
    window
        Spatial extent of the kernel.
    params
        Parameters of ``conv_general_dilated``: padding, strides and dilations.
    groups
        ``feature_group_count``.
    """
    batch, channels = x.shape[:2]
    config = [
        (0, 0, 0),
        (0, 0, 0),
        *((low, high, d - 1) for (low, high), d in zip(params["padding"], params["lhs_dilation"], strict=True)),
    ]
    x = lax.pad(x, jnp.zeros((), x.dtype), config)
    dilation, strides = params["rhs_dilation"], params["window_strides"]
    reach = [(size - 1) * d + 1 for size, d in zip(window, dilation, strict=True)]
    out = [(size - r) // s + 1 for size, r, s in zip(x.shape[2:], reach, strides, strict=True)]
    taps = []
    for tap in itertools.product(*(range(size) for size in window)):
        start = [t * d for t, d in zip(tap, dilation, strict=True)]
        limit = [b + (n - 1) * s + 1 for b, n, s in zip(start, out, strides, strict=True)]
        taps.append(lax.slice(x, (0, 0, *start), (batch, channels, *limit), (1, 1, *strides)))
    rows = jnp.stack(taps, axis=2).reshape(batch, groups, channels // groups * len(taps), math.prod(out))
    return rows.transpose(0, 3, 1, 2).reshape(batch * math.prod(out), groups, -1)
