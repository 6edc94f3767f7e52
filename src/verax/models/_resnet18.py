"""ResNet-18 with group norm, for 32x32 images."""

from collections.abc import Iterator

import jax

from verax._arrays import to_integer, to_key
from verax._errors import check, check_option
from verax._types import PyTree

from ._conv import CONVOLUTIONS, choose_convolution, conv2d
from ._layers import as_images, global_average_pool, group_norm, init_kernels, init_norm
from ._network import Network

_BLOCKS = tuple((stage, 2 if stage > 0 and index == 0 else 1) for stage in range(4) for index in range(2))

_NUM_CONVOLUTIONS = 20  # the stem, two a block, three shortcuts


def resnet18(
    num_outputs: int, *, in_channels: int = 3, width: int = 64, convolution: str = "auto", key: jax.Array
) -> tuple[Network, PyTree]:
    """ResNet-18 for small images: 3x3 stem without pooling, group norm instead of batch norm.

    Four stages of two basic blocks (3x3 conv, norm, ReLU, 3x3 conv, norm, plus shortcut, ReLU) with ``width`` times
    1, 2, 4, 8 channels; stages 2 to 4 start with stride 2 and a 1x1 convolution with norm on the shortcut. Group norm
    has 32 groups, or channels / 2 where there are fewer than 64 channels. No example depends on another.

    Parameters
    ----------
    num_outputs : int
        Number of logits.
    in_channels : int
        Channels of the images.
    width : int
        Channels of the first stage, even; 64 is the ResNet-18 of the literature, less is a narrow one for a CPU. From
        64 on it must be a multiple of 32.
    convolution : str
        "im2col" (slices and a matrix product), "native" (XLA's convolution), or "auto": native. Take
        im2col for gradients inside ``scan`` or ``map`` on a CPU.
    key : jax.Array
        Key of the random initialisation.

    Returns
    -------
    network : Network
        ``network(params, x) -> [n, num_outputs]``; x is normalised images [n, h, w, in_channels], 32x32 by design.
    params : dict
        ``stem/``, ``blocks/<b>/{conv1,norm1,conv2,norm2[,shortcut,shortcut_norm]}``, ``head/``, float32; 11.17 million
        numbers with three channels, 10 outputs and width 64. Convolutions (no bias) are N(0, 2 / fan_in) (He et al.
        2015), the head N(0, 1 / (8 width)), scales 1, biases 0.

    Raises
    ------
    ValueError
        If an argument is out of range; when called, if x is not such images.

    Notes
    -----
    0.56 billion multiply-adds per image at 32x32 and width 64, proportional to width^2.

    Examples
    --------
    >>> import jax
    >>> from verax.models import resnet18
    >>> network, params = resnet18(10, width=8, key=jax.random.key(0))
    >>> network.width, sum(leaf.size for leaf in jax.tree.leaves(params))
    (64, 176402)

    References
    ----------
    K. He, X. Zhang, S. Ren, J. Sun. Deep residual learning for image recognition. CVPR 2016.
    Y. Wu, K. He. Group normalization. ECCV 2018.
    """
    num_outputs = to_integer("num_outputs", num_outputs, minimum=1)
    in_channels = to_integer("in_channels", in_channels, minimum=1)
    width = to_integer("width", width, minimum=2)
    check(width % (32 if width >= 64 else 2) == 0, "width", width, "an even number, from 64 on a multiple of 32")
    check_option("convolution", convolution, CONVOLUTIONS)
    in_channels, width = in_channels, width
    shapes, fan_in = [(3, 3, in_channels, width)], width
    for stage, stride in _BLOCKS:
        channels = width << stage
        shapes += [(3, 3, fan_in, channels), (3, 3, channels, channels)]
        shapes += [(1, 1, fan_in, channels)] if stride > 1 else []
        fan_in = channels
    kernels, head = init_kernels(to_key("key", key), shapes, (fan_in, num_outputs))
    rest = iter(kernels)
    params = {
        "stem": {"conv": {"kernel": next(rest)}, "norm": init_norm(width)},
        "blocks": [_init_block(rest, width << stage, projected=stride > 1) for stage, stride in _BLOCKS],
        "head": head,
    }

    def conv(layer, x, stride: int):
        chosen = choose_convolution(convolution, num_layers=_NUM_CONVOLUTIONS)
        kernel = layer["kernel"]
        return conv2d(x, kernel, stride=stride, padding=kernel.shape[0] // 2, convolution=chosen)

    def features(params, x):
        stem = params["stem"]
        hidden = conv(stem["conv"], as_images(x, in_channels, stem["conv"]["kernel"]), 1)
        hidden = jax.nn.relu(_norm(stem["norm"], hidden))
        for block, (_, stride) in zip(params["blocks"], _BLOCKS, strict=True):
            residual = jax.nn.relu(_norm(block["norm1"], conv(block["conv1"], hidden, stride)))
            residual = _norm(block["norm2"], conv(block["conv2"], residual, 1))
            if "shortcut" in block:
                hidden = _norm(block["shortcut_norm"], conv(block["shortcut"], hidden, stride))
            hidden = jax.nn.relu(residual + hidden)
        return global_average_pool(hidden)

    return Network(features, fan_in, num_outputs), params


def _norm(layer, x):
    return group_norm(layer, x, min(32, x.shape[-1] // 2))


def _init_block(kernels: Iterator[jax.Array], channels: int, *, projected: bool) -> dict:
    block = {
        "conv1": {"kernel": next(kernels)},
        "norm1": init_norm(channels),
        "conv2": {"kernel": next(kernels)},
        "norm2": init_norm(channels),
    }
    if projected:
        block["shortcut"] = {"kernel": next(kernels)}
        block["shortcut_norm"] = init_norm(channels)
    return block
