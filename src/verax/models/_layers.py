"""Layers as pure functions, and their initialisers."""

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from verax._arrays import to_array
from verax._errors import check

NORM_EPSILON = 1e-5  # PyTorch's, which the stored networks were trained with


def init_kernels(
    key: jax.Array, hidden: Sequence[tuple[int, ...]], head: tuple[int, int]
) -> tuple[list[Float[Array, "..."]], dict[str, jax.Array]]:
    """Random kernels of the hidden layers, one a shape, and the last layer.

    A hidden kernel, which a ReLU follows, is N(0, 2 / fan_in), fan_in the product of all axes but the last. The head is
    N(0, 1 / fan_in), so that logits have the scale of the features, with bias 0.
    """
    shapes = (*map(tuple, hidden), head)
    variances = (*(2.0 / math.prod(shape[:-1]) for shape in hidden), 1.0 / head[0])
    *kernels, last = _draw_normal(key, shapes, tuple(map(math.sqrt, variances)))
    return kernels, {"kernel": last, "bias": jnp.asarray(np.zeros(head[1], np.float32))}


@functools.partial(jax.jit, static_argnums=(1, 2))
def _draw_normal(key: jax.Array, shapes: tuple[tuple[int, ...], ...], deviations: tuple[float, ...]) -> list[jax.Array]:
    """Split one draw into arrays: a draw for each shape would be compiled for each shape, seconds for a ResNet."""
    sizes = [math.prod(shape) for shape in shapes]
    parts = jnp.split(jax.random.normal(key, (sum(sizes),), jnp.float32), np.cumsum(sizes[:-1]))
    return [part.reshape(shape) * deviation for part, shape, deviation in zip(parts, shapes, deviations, strict=True)]


def init_norm(channels: int) -> dict[str, jax.Array]:
    """Scale 1 and bias 0."""
    return {"scale": jnp.asarray(np.ones(channels, np.float32)), "bias": jnp.asarray(np.zeros(channels, np.float32))}


def dense(params: dict, x: Float[Array, "n i"]) -> Float[Array, "n o"]:
    """``x @ kernel + bias``."""
    return x @ params["kernel"] + params["bias"]


def group_norm(params: dict, x: Float[Array, "n h w c"], num_groups: int) -> Float[Array, "n h w c"]:
    """Standardise each example's groups of channels over positions and channels, then scale and shift each channel."""
    num, _, _, channels = x.shape

    def group_mean(values: Float[Array, "n h w c"]) -> Float[Array, "n 1 1 c"]:
        # Positions first, channel by channel: a sum over a few neighbouring channels at every position is slow.
        groups = values.mean(axis=(1, 2)).reshape(num, num_groups, channels // num_groups).mean(axis=2)
        return jnp.repeat(groups, channels // num_groups, axis=1)[:, None, None]

    centred = x - group_mean(x)
    return centred * lax.rsqrt(group_mean(jnp.square(centred)) + NORM_EPSILON) * params["scale"] + params["bias"]


class Statistics(NamedTuple):
    """Running mean and variance of a batch norm, float64 NumPy arrays of shape [channels]."""

    mean: np.ndarray
    variance: np.ndarray


def batch_norm(params: dict, x: Float[Array, "n h w c"], statistics: Statistics | None) -> Float[Array, "n h w c"]:
    """Standardise each channel, by the given statistics or, if None, by the batch's own (biased variance)."""
    if statistics is None:
        mean = x.mean(axis=(0, 1, 2))
        inverse_deviation = lax.rsqrt(jnp.square(x - mean).mean(axis=(0, 1, 2)) + NORM_EPSILON)
    else:
        mean = jnp.asarray(statistics.mean, x.dtype)
        inverse_deviation = jnp.asarray(1.0 / np.sqrt(statistics.variance + NORM_EPSILON), x.dtype)
    # Scale and bias each meet the activations directly, not folded with the statistics: an empirical-NTK engine
    # then recognises them as the scale and shift of a norm.
    return (x - mean) * inverse_deviation * params["scale"] + params["bias"]


def global_average_pool(x: Float[Array, "n h w c"]) -> Float[Array, "n c"]:
    """Mean over positions."""
    return x.mean(axis=(1, 2))


def as_images(x, channels: int, kernel: jax.Array) -> jax.Array:
    """``x`` as a JAX array, after checking that it is a batch of normalised NHWC images of the network's dtype."""
    x = as_network_input(x, kernel)
    check(x.ndim == 4, "x", f"shape {x.shape}", "images of shape [n, height, width, channels]")
    check(x.shape[3] == channels, "x", f"shape {x.shape}", f"{channels} channels on the last axis")
    return x


def as_network_input(x: Any, kernel: jax.Array) -> jax.Array:
    """``x`` as floats of the parameters' dtype: narrower ones are widened, wider ones refused."""
    x = to_array("x", x, dtype="any")
    floating = jnp.issubdtype(x.dtype, jnp.floating)
    check(floating, "x", f"dtype {x.dtype}", "floats: bytes have to be normalised first")
    wider = jnp.finfo(x.dtype).bits > jnp.finfo(kernel.dtype).bits
    check(not wider, "x", f"dtype {x.dtype}", f"{kernel.dtype}, the dtype of the parameters")
    return x.astype(kernel.dtype)
