"""Random arrays under the names that PyTorch's ResNets give theirs."""

import numpy as np


def _norm(arrays, rng, name, channels):
    arrays[f"{name}.weight"] = 0.5 + rng.uniform(size=channels)
    arrays[f"{name}.bias"] = 0.1 * rng.normal(size=channels)
    arrays[f"{name}.running_mean"] = 0.1 * rng.normal(size=channels)
    arrays[f"{name}.running_var"] = 0.5 + rng.uniform(size=channels)
    arrays[f"{name}.num_batches_tracked"] = np.array(7)


def _conv(arrays, rng, name, channels, fan_in, size):
    arrays[f"{name}.weight"] = rng.normal(size=(channels, fan_in, size, size)) / np.sqrt(fan_in * size**2)


def torchvision_arrays(rng, counts, *, expansion, width, num_outputs):
    """ResNet with so many blocks a layer; ``expansion`` 1 for basic blocks, 4 for bottlenecks."""
    arrays, fan_in = {}, width
    _conv(arrays, rng, "conv1", width, 3, 7)
    _norm(arrays, rng, "bn1", width)
    for layer, count in enumerate(counts, start=1):
        inner = width * 2 ** (layer - 1)
        for index in range(count):
            name = f"layer{layer}.{index}"
            channels = [inner, inner] if expansion == 1 else [inner, inner, inner * expansion]
            sizes = [3, 3] if expansion == 1 else [1, 3, 1]
            for position, (out, size) in enumerate(zip(channels, sizes, strict=True), start=1):
                _conv(
                    arrays,
                    rng,
                    f"{name}.conv{position}",
                    out,
                    fan_in if position == 1 else channels[position - 2],
                    size,
                )
                _norm(arrays, rng, f"{name}.bn{position}", out)
            if index == 0 and fan_in != channels[-1]:
                _conv(arrays, rng, f"{name}.downsample.0", channels[-1], fan_in, 1)
                _norm(arrays, rng, f"{name}.downsample.1", channels[-1])
            fan_in = channels[-1]
    arrays["fc.weight"], arrays["fc.bias"] = rng.normal(size=(num_outputs, fan_in)), rng.normal(size=(num_outputs,))
    return arrays


def cifar_arrays(rng, num_blocks, *, num_outputs=10):
    """CIFAR ResNet of depth 6 num_blocks + 2."""
    arrays, fan_in = {}, 16
    _conv(arrays, rng, "conv1", 16, 3, 3)
    _norm(arrays, rng, "bn1", 16)
    for layer, channels in ((1, 16), (2, 32), (3, 64)):
        for index in range(num_blocks):
            for position, inner in ((1, fan_in), (2, channels)):
                _conv(arrays, rng, f"layer{layer}.{index}.conv{position}", channels, inner, 3)
                _norm(arrays, rng, f"layer{layer}.{index}.bn{position}", channels)
            fan_in = channels
    arrays["linear.weight"], arrays["linear.bias"] = rng.normal(size=(num_outputs, 64)), rng.normal(size=(num_outputs,))
    return arrays
