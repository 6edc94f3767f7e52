"""Two-dimensional convolution: the one place that chooses, by backend, how it is computed."""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Float

from verax._errors import check, check_integer, check_option
from verax._types import AnyArray

IMPLEMENTATIONS = ("auto", "im2col", "native")


def conv2d(
    x: Float[AnyArray, "n h w i"],
    kernel: Float[AnyArray, "kh kw i o"],
    *,
    stride: int = 1,
    padding: int = 0,
    implementation: str = "auto",
) -> Float[jax.Array, "n p q o"]:
    """Cross-correlate images with a kernel, zero-padded by ``padding`` pixels on every side."""
    check_option("implementation", implementation, IMPLEMENTATIONS)
    check_integer("stride", stride, minimum=1)
    check_integer("padding", padding, minimum=0)
    check(x.ndim == 4, "x", f"shape {x.shape}", "images of shape [n, height, width, channels]")
    check(
        x.shape[3] == kernel.shape[2], "x", f"{x.shape[3]} channels", f"{kernel.shape[2]} channels, as the kernel has"
    )
    smallest = min(x.shape[1] - kernel.shape[0], x.shape[2] - kernel.shape[1]) + 2 * padding
    check(smallest >= 0, "x", f"images of {x.shape[1]} by {x.shape[2]} pixels", "images no smaller than the kernel")
    if implementation == "auto":
        implementation = _PREFERRED.get(_platform(), "native")
    if implementation == "native":
        return _native(x, kernel, stride, padding)
    return _im2col(x, kernel, stride, padding)


_PREFERRED = {"cpu": "im2col"}


def _platform() -> str:
    """Backend on which a computation traced now will run."""
    device = jax.config.jax_default_device  # pyright: ignore[reportAttributeAccessIssue]
    if device is None:
        return jax.default_backend()
    return device if isinstance(device, str) else device.platform


def _native(x, kernel, stride: int, padding: int):
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(stride, stride),
        padding=((padding, padding), (padding, padding)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def _im2col(x, kernel, stride: int, padding: int):
    kernel_height, kernel_width = kernel.shape[:2]
    num, height, width, channels = x.shape
    height, width = height + 2 * padding, width + 2 * padding
    rows, columns = (height - kernel_height) // stride + 1, (width - kernel_width) // stride + 1
    padded = jnp.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0))) if padding else x
    taps = [
        lax.slice(
            padded,
            (0, top, left, 0),
            (num, top + (rows - 1) * stride + 1, left + (columns - 1) * stride + 1, channels),
            (1, stride, stride, 1),
        )
        for top in range(kernel_height)
        for left in range(kernel_width)
    ]
    patches = jnp.concatenate(taps, axis=-1) if len(taps) > 1 else taps[0]
    # The kernel enters the product as it is: an empirical-NTK engine then sees a parameter used by one dot_general.
    patches = patches.reshape(num, rows, columns, kernel_height, kernel_width, channels)
    return lax.dot_general(patches, kernel, (((3, 4, 5), (0, 1, 2)), ((), ())))
