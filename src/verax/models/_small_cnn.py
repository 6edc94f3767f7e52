"""Small convolutional network for images of any size."""

import itertools

import jax

from verax._arrays import to_integer, to_key
from verax._errors import check, check_option
from verax._types import PyTree

from ._conv import CONVOLUTIONS, choose_convolution, conv2d
from ._layers import as_images, global_average_pool, group_norm, init_kernels, init_norm
from ._network import Network

_CHANNELS = (32, 64, 64)
_STRIDES = (1, 2, 2)


def small_cnn(
    num_outputs: int, *, in_channels: int = 1, num_groups: int | None = None, convolution: str = "auto", key: jax.Array
) -> tuple[Network, PyTree]:
    """Three 3x3 convolutions with ReLU (32, 64, 64 channels; strides 1, 2, 2), global average pool, dense head.

    Parameters
    ----------
    num_outputs : int
        Number of logits.
    in_channels : int
        Channels of the images.
    num_groups : int, optional
        Group norm with so many groups, a divisor of 32, between each convolution and its ReLU; None for no norm.
    convolution : str
        "im2col" (slices and a matrix product), "native" (XLA's convolution), or "auto": im2col on a CPU,
        where a gradient of native convolutions is slow inside loops, and native elsewhere.
    key : jax.Array
        Key of the random initialisation.

    Returns
    -------
    network : Network
        ``network(params, x) -> [n, num_outputs]``; x is normalised images [n, h, w, in_channels] of any size.
    params : dict
        ``layers/<l>/{kernel,bias}`` and ``head/{kernel,bias}``, float32; 56,394 numbers with one channel, 10 outputs.
        Kernels are N(0, 2 / fan_in) (He et al. 2015), the head's N(0, 1 / 64), biases 0. With group norm each layer has
        a ``scale`` of ones too, and scale and bias are the norm's.

    Raises
    ------
    ValueError
        If a count is not a positive integer or the convolution unknown; when called, if x is not such images.

    Notes
    -----
    5.6 million multiply-adds per image at 28x28, of which 4 % are in the first layer.

    Examples
    --------
    >>> import jax
    >>> from verax.models import small_cnn
    >>> network, params = small_cnn(10, in_channels=3, key=jax.random.key(0))
    >>> network(params, jax.numpy.ones((2, 32, 32, 3))).shape
    (2, 10)
    """
    num_outputs = to_integer("num_outputs", num_outputs, minimum=1)
    in_channels = to_integer("in_channels", in_channels, minimum=1)
    if num_groups is not None:
        num_groups = to_integer("num_groups", num_groups, minimum=1)
        check(_CHANNELS[0] % num_groups == 0, "num_groups", num_groups, f"a divisor of {_CHANNELS[0]}")
    check_option("convolution", convolution, CONVOLUTIONS)
    shapes = [(3, 3, fan_in, fan_out) for fan_in, fan_out in itertools.pairwise((in_channels, *_CHANNELS))]
    kernels, head = init_kernels(to_key("key", key), shapes, (_CHANNELS[-1], num_outputs))
    layers = [{"kernel": kernel, **init_norm(kernel.shape[3])} for kernel in kernels]
    if num_groups is None:
        for layer in layers:
            del layer["scale"]
    params = {"layers": layers, "head": head}

    def features(params, x):
        chosen = choose_convolution(convolution, num_layers=len(_CHANNELS))
        hidden = as_images(x, in_channels, params["layers"][0]["kernel"])
        for layer, stride in zip(params["layers"], _STRIDES, strict=True):
            hidden = conv2d(hidden, layer["kernel"], stride=stride, padding=1, convolution=chosen)
            hidden = hidden + layer["bias"] if num_groups is None else group_norm(layer, hidden, num_groups)
            hidden = jax.nn.relu(hidden)
        return global_average_pool(hidden)

    return Network(features, _CHANNELS[-1], num_outputs), params
