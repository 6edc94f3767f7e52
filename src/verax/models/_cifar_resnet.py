"""ResNet-20 and ResNet-32 for CIFAR, from stored arrays."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jax import lax

from verax._errors import check, check_option
from verax._types import PyTree

from ._conv import CONVOLUTIONS, choose_convolution, conv2d
from ._layers import as_images, batch_norm, global_average_pool
from ._network import Network
from ._state_dict import StateDict

_CHANNELS = (16, 32, 64)


def cifar_resnet(arrays: Mapping, *, train: bool = False, convolution: str = "auto") -> tuple[Network, PyTree]:
    """ResNet of depth 6 k + 2 for 32x32 RGB images (ResNet-20: k = 3; ResNet-32: k = 5) from arrays in PyTorch's names.

    Three layers of k basic blocks with 16, 32, 64 channels and batch norm; layers 2 and 3 start with stride 2, where
    the shortcut takes every second pixel and pads channels with zeros, half on each side (option A of He et al. 2016).

    Parameters
    ----------
    arrays : mapping from str to array
        ``conv1.weight`` [O, I, H, W], ``bn1.{weight,bias,running_mean,running_var}``,
        ``layer{1,2,3}.{block}.{conv1,bn1,conv2,bn2}.*``, ``linear.{weight,bias}``; an open ``.npz`` file serves. k and
        the number of outputs are read from it. ``norm_mean``, ``norm_std`` and ``num_batches_tracked`` are not used.
    train : bool
        Batch norm by the batch's own mean and biased variance, so that examples are coupled: for gradient training,
        never for a kernel. The default uses the stored running statistics, which are constants of gradients too.
    convolution : str
        "im2col" (slices and a matrix product), "native" (XLA's convolution), or "auto": native. Take
        im2col for gradients inside ``scan`` or ``map`` on a CPU.

    Returns
    -------
    network : Network
        ``network(params, x) -> [n, num_outputs]``; x is [n, 32, 32, 3], ``(pixel / 255 - mean) / std`` with the mean
        and std of the training (``verax.data.IMAGENET_MEAN``, ``IMAGENET_STD`` for the usual checkpoints).
    params : dict
        Trainable arrays only, float32: ``conv1/kernel``, ``bn1/{scale,bias}``, ``layer{1,2,3}/<block>/...``, ``head/``.
        Both values of ``train`` give the same params, so that one can be trained and the other evaluated.

    Raises
    ------
    ValueError
        If an array is missing, mis-shaped, non-finite or unknown, naming it; when called, if x is not such images.

    Notes
    -----
    41 million multiply-adds per image for ResNet-20, 69 million for ResNet-32. Running statistics are not updated by
    training: after it, the evaluation mode still standardises by the stored ones.

    References
    ----------
    K. He, X. Zhang, S. Ren, J. Sun. Deep residual learning for image recognition. CVPR 2016, section 4.2.
    """
    check(isinstance(train, bool), "train", repr(train), "True or False")
    check_option("convolution", convolution, CONVOLUTIONS)
    source = StateDict(arrays, ignore=("norm_mean", "norm_std"))
    params: dict = {"conv1": source.convolution("conv1", _CHANNELS[0], 3, 3)}
    params["bn1"], stem_statistics = source.batch_norm("bn1", _CHANNELS[0])
    statistics, fan_in = [], _CHANNELS[0]
    for layer, channels in zip(("layer1", "layer2", "layer3"), _CHANNELS, strict=True):
        params[layer] = []
        for index in range(source.count_blocks(layer)):
            name, block = f"{layer}.{index}", {}
            block["conv1"] = source.convolution(f"{name}.conv1", channels, fan_in, 3)
            block["bn1"], first = source.batch_norm(f"{name}.bn1", channels)
            block["conv2"] = source.convolution(f"{name}.conv2", channels, channels, 3)
            block["bn2"], second = source.batch_norm(f"{name}.bn2", channels)
            params[layer].append(block)
            statistics.append((first, second))
            fan_in = channels
    params["head"] = source.dense("linear", fan_in)
    source.finish()

    def norm(layer, x, running):
        return batch_norm(layer, x, None if train else running)

    def features(params, x):
        chosen = choose_convolution(convolution, num_layers=1 + 2 * len(statistics))
        x = as_images(x, 3, params["conv1"]["kernel"])
        hidden = conv2d(x, params["conv1"]["kernel"], padding=1, convolution=chosen)
        hidden = jax.nn.relu(norm(params["bn1"], hidden, stem_statistics))
        blocks = [block for layer in ("layer1", "layer2", "layer3") for block in params[layer]]
        for block, (first, second) in zip(blocks, statistics, strict=True):
            channels = block["conv1"]["kernel"].shape[3]
            stride = 1 if channels == hidden.shape[3] else 2
            residual = conv2d(hidden, block["conv1"]["kernel"], stride=stride, padding=1, convolution=chosen)
            residual = jax.nn.relu(norm(block["bn1"], residual, first))
            residual = conv2d(residual, block["conv2"]["kernel"], padding=1, convolution=chosen)
            residual = norm(block["bn2"], residual, second)
            hidden = jax.nn.relu(residual + (hidden if stride == 1 else _subsample_and_widen(hidden, channels)))
        return global_average_pool(hidden)

    return Network(features, fan_in, params["head"]["bias"].shape[0]), params


def _subsample_and_widen(x, channels: int):
    pixels = lax.slice(x, (0, 0, 0, 0), x.shape, (1, 2, 2, 1))
    added = (channels - x.shape[3]) // 2
    return jnp.pad(pixels, ((0, 0), (0, 0), (0, 0), (added, added)))
