"""Two-dimensional convolution: the one place that chooses, by backend, how it is computed."""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Float

from verax._arrays import to_integer
from verax._errors import check, check_option

CONVOLUTIONS = ("auto", "im2col", "native")

# Measured by benchmarks/convolution.py on two busy CPU cores (JAX 0.10.2; small CNN, 64 images of 32x32; native's time
# over im2col's): gradient inside `scan` 37, under `vmap` over eight kernels 2.0, gradient 1.1, per-example
# gradients 1.2, forward 0.42. So im2col behaves alike everywhere and XLA's convolution is far slower in loops;
# but im2col takes longer to compile, layer by layer (26 s against 13 s for a ResNet-18's gradient), and
# runs that gradient slower (0.57). Hence im2col serves the shallow network that people train in loops or by
# the dozen, and XLA's convolution the deep ones. Accelerators take XLA's; nothing has been measured there.
_MOST_IM2COL_LAYERS = 4


def choose_convolution(convolution: str, *, num_layers: int) -> str:
    """Turn "auto" into "im2col" or "native", for a network with so many convolutions on the backend of this trace."""
    check_option("convolution", convolution, CONVOLUTIONS)
    if convolution != "auto":
        return convolution
    return "im2col" if _platform() == "cpu" and num_layers <= _MOST_IM2COL_LAYERS else "native"


def conv2d(
    x: Float[jax.Array, "n h w i"],
    kernel: Float[jax.Array, "kh kw i o"],
    *,
    stride: int = 1,
    padding: int = 0,
    convolution: str,
) -> Float[jax.Array, "n p q o"]:
    """Cross-correlate images with a kernel, zero-padded by ``padding`` pixels on every side: "im2col" or "native"."""
    stride = to_integer("stride", stride, minimum=1)
    padding = to_integer("padding", padding, minimum=0)
    check(x.ndim == 4, "x", f"shape {x.shape}", "images of shape [n, height, width, channels]")
    check(x.shape[3] == kernel.shape[2], "x", f"{x.shape[3]} channels", f"{kernel.shape[2]}, as the kernel has")
    smallest = min(x.shape[1] - kernel.shape[0], x.shape[2] - kernel.shape[1]) + 2 * padding
    check(smallest >= 0, "x", f"images of {x.shape[1]} by {x.shape[2]} pixels", "images no smaller than the kernel")
    if convolution == "native":
        return lax.conv_general_dilated(
            x,
            kernel,
            window_strides=(stride, stride),
            padding=((padding, padding), (padding, padding)),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
    return _im2col(x, kernel, stride, padding)


def _platform() -> str:
    """Backend on which a computation traced now will run."""
    device = jax.config.jax_default_device  # pyright: ignore[reportAttributeAccessIssue]
    if device is None:
        return jax.default_backend()
    return device if isinstance(device, str) else device.platform


def _im2col(x, kernel, stride: int, padding: int):
    kernel_height, kernel_width = kernel.shape[:2]
    num, height, width, channels = x.shape
    height, width = height + 2 * padding, width + 2 * padding
    rows, columns = (height - kernel_height) // stride + 1, (width - kernel_width) // stride + 1
    padded = jnp.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    # A row of the window at a time. Slicing columns of the whole image first, then rows, would copy less and compile in
    # half the time, but XLA fuses its transpose into one loop that takes five times as long at stride 2.
    bottom, right = (rows - 1) * stride + 1, (columns - 1) * stride + 1
    bands = []
    for top in range(kernel_height):
        band = lax.slice(padded, (0, top, 0, 0), (num, top + bottom, width, channels), (1, stride, 1, 1))
        taps = [
            lax.slice(band, (0, 0, left, 0), (num, rows, left + right, channels), (1, 1, stride, 1))
            for left in range(kernel_width)
        ]
        bands.append(jnp.concatenate(taps, axis=3))
    patches = jnp.concatenate(bands, axis=3)
    # The kernel enters the product as it is: an empirical-NTK engine then sees a parameter used by one dot_general.
    patches = patches.reshape(num, rows, columns, kernel_height, kernel_width, channels)
    return lax.dot_general(patches, kernel, (((3, 4, 5), (0, 1, 2)), ((), ())))
