"""ResNets for 224 px images, from arrays in torchvision's names."""

from collections.abc import Mapping

import jax
import numpy as np
from jax import lax

from verax._errors import check, check_option
from verax._types import PyTree

from ._conv import CONVOLUTIONS, choose_convolution, conv2d
from ._layers import as_images, batch_norm, global_average_pool
from ._network import Network
from ._state_dict import StateDict

_LAYERS = ("layer1", "layer2", "layer3", "layer4")


def torchvision_resnet(arrays: Mapping, *, train: bool = False, convolution: str = "auto") -> tuple[Network, PyTree]:
    """ResNet-18, 34 or 50 (or another of the family) from arrays in torchvision's names.

    7x7 stem with stride 2, batch norm, ReLU, 3x3 max pool with stride 2; four layers of basic blocks (two 3x3
    convolutions) or, where the arrays have a ``conv3``, of bottlenecks (1x1, 3x3, 1x1, the stride in the 3x3); layers 2
    to 4 start with stride 2; global average pool; dense head. Depth, widths and the number of outputs are read from the
    arrays.

    Parameters
    ----------
    arrays : mapping from str to array
        ``conv1.weight`` [O, I, H, W], ``bn1.{weight,bias,running_mean,running_var}``,
        ``layer{1,2,3,4}.{block}.{conv,bn}{1,2[,3]}.*``, ``layer*.*.downsample.{0,1}.*``, ``fc.{weight,bias}``; an open
        ``.npz`` file serves. ``num_batches_tracked`` is not used.
    train : bool
        Batch norm by the batch's own mean and biased variance, so that examples are coupled: for gradient training,
        never for a kernel. The default uses the stored running statistics, which are constants of gradients too.
    convolution : str
        "im2col" (slices and a matrix product), "native" (XLA's convolution), or "auto": native. Take
        im2col for gradients inside ``scan`` or ``map`` on a CPU.

    Returns
    -------
    network : Network
        ``network(params, x) -> [n, num_outputs]``; x is [n, h, w, 3], ``(pixel / 255 - mean) / std`` with
        ``verax.data.IMAGENET_MEAN`` and ``IMAGENET_STD``; 224x224 by design, though any size works.
    params : dict
        Trainable arrays only, float32: ``conv1/kernel``, ``bn1/{scale,bias}``, ``layer{1,2,3,4}/<block>/...`` and
        ``head/``; a fresh head is a new ``params["head"]``.

    Raises
    ------
    ValueError
        If an array is missing, mis-shaped (grouped convolutions are not in this family), non-finite or unknown, naming
        it; when called, if x is not such images.

    Notes
    -----
    1.8, 3.7 and 4.1 billion multiply-adds per image at 224x224 for ResNet-18, 34 and 50. With a PyTorch checkpoint at
    hand: ``np.savez("resnet34.npz", **{k: v.numpy() for k, v in model.state_dict().items()})``.

    References
    ----------
    K. He, X. Zhang, S. Ren, J. Sun. Deep residual learning for image recognition. CVPR 2016.
    """
    check(isinstance(train, bool), "train", repr(train), "True or False")
    check_option("convolution", convolution, CONVOLUTIONS)
    source = StateDict(arrays)
    params: dict = {"conv1": source.convolution("conv1", None, 3, 7)}
    fan_in = params["conv1"]["kernel"].shape[3]
    statistics: dict = {}
    params["bn1"], statistics["bn1"] = source.batch_norm("bn1", fan_in)
    for layer in _LAYERS:
        params[layer], statistics[layer] = [], []
        for index in range(source.count_blocks(layer)):
            block, block_statistics, fan_in = _read_block(source, f"{layer}.{index}", fan_in)
            params[layer].append(block)
            statistics[layer].append(block_statistics)
    num_layers = sum(leaf.ndim == 4 for leaf in jax.tree.leaves(params))
    params["head"] = source.dense("fc", fan_in)
    source.finish()

    def conv(layer, x, stride: int):
        chosen = choose_convolution(convolution, num_layers=num_layers)
        kernel = layer["kernel"]
        return conv2d(x, kernel, stride=stride, padding=kernel.shape[0] // 2, convolution=chosen)

    def norm(layer, x, running):
        return batch_norm(layer, x, None if train else running)

    def apply_block(block, running, x, stride: int):
        depth = 3 if "conv3" in block else 2
        residual = x
        for position in range(1, depth + 1):
            strided = position == depth - 1  # the 3x3 of a bottleneck, the first 3x3 of a basic block
            residual = conv(block[f"conv{position}"], residual, stride if strided else 1)
            residual = norm(block[f"bn{position}"], residual, running[f"bn{position}"])
            if position < depth:
                residual = jax.nn.relu(residual)
        if "downsample" in block:
            x = norm(block["downsample_bn"], conv(block["downsample"], x, stride), running["downsample_bn"])
        return jax.nn.relu(residual + x)

    def features(params, x):
        hidden = conv(params["conv1"], as_images(x, 3, params["conv1"]["kernel"]), 2)
        hidden = _max_pool(jax.nn.relu(norm(params["bn1"], hidden, statistics["bn1"])))
        for layer in _LAYERS:
            for index, (block, running) in enumerate(zip(params[layer], statistics[layer], strict=True)):
                hidden = apply_block(block, running, hidden, 2 if index == 0 and layer != "layer1" else 1)
        return global_average_pool(hidden)

    return Network(features, fan_in, params["head"]["bias"].shape[0]), params


def _read_block(source: StateDict, name: str, fan_in: int) -> tuple[dict, dict, int]:
    """Parameters, running statistics and output channels of one residual block."""
    sizes = (1, 3, 1) if f"{name}.conv3.weight" in source else (3, 3)
    block, statistics, channels = {}, {}, fan_in
    for position, size in enumerate(sizes, start=1):
        block[f"conv{position}"] = source.convolution(f"{name}.conv{position}", None, channels, size)
        channels = block[f"conv{position}"]["kernel"].shape[3]
        block[f"bn{position}"], statistics[f"bn{position}"] = source.batch_norm(f"{name}.bn{position}", channels)
    if f"{name}.downsample.0.weight" in source or channels != fan_in:
        block["downsample"] = source.convolution(f"{name}.downsample.0", channels, fan_in, 1)
        block["downsample_bn"], statistics["downsample_bn"] = source.batch_norm(f"{name}.downsample.1", channels)
    return block, statistics, channels


def _max_pool(x):
    """Maximum over 3x3 windows, stride 2, one pixel of padding."""
    window, strides, padding = (1, 3, 3, 1), (1, 2, 2, 1), ((0, 0), (1, 1), (1, 1), (0, 0))
    # The start value is a constant of NumPy: JAX then knows this as a maximum, which has a gradient.
    return lax.reduce_window(x, np.asarray(-np.inf, x.dtype), lax.max, window, strides, padding)
