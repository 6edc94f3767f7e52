"""Windows of a convolution as rows, by strided slices: cheaper on CPU than convolving with an identity kernel."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax import Array, lax


def patches(x: Array, window: Sequence[int], params: dict[str, Any], groups: int) -> Array:
    """Rows ``[batch * positions, groups, taps * channels]`` of the windows that a convolution sees.

    Parameters
    ----------
    x : array, shape [batch, *spatial, channels]
        The convolution's input; channels last, so that each row is a run of memory.
    window
        Spatial extent of the kernel.
    params
        Parameters of ``conv_general_dilated``: padding, strides and dilations.
    groups
        ``feature_group_count``.
    """
    batch, channels = x.shape[0], x.shape[-1]
    spread = zip(params["padding"], params["lhs_dilation"], strict=True)
    config = [(0, 0, 0), *((low, high, dilation - 1) for (low, high), dilation in spread), (0, 0, 0)]
    x = lax.pad(x, jnp.zeros((), x.dtype), config)
    dilation, strides = params["rhs_dilation"], params["window_strides"]
    reach = [(size - 1) * d + 1 for size, d in zip(window, dilation, strict=True)]
    out = [(size - r) // s + 1 for size, r, s in zip(x.shape[1:-1], reach, strides, strict=True)]
    taps = []
    for tap in itertools.product(*(range(size) for size in window)):
        start = [t * d for t, d in zip(tap, dilation, strict=True)]
        limit = [b + (n - 1) * s + 1 for b, n, s in zip(start, out, strides, strict=True)]
        taps.append(lax.slice(x, (0, *start, 0), (batch, *limit, channels), (1, *strides, 1)))
    rows = jnp.concatenate(taps, axis=-1).reshape(batch * math.prod(out), len(taps), groups, channels // groups)
    return rows.swapaxes(1, 2).reshape(rows.shape[0], groups, -1)
