"""The networks of ``benchmarks/ntk.py`` in plain ``jax.numpy``: one function for every contestant, on old JAX and new.

Imports nothing but JAX and NumPy, since the peer lives in an environment of its own. Parameters and inputs come from
NumPy's generator. Convolutions are XLA's own.
"""

import itertools
import os
import pathlib
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax


class Case(NamedTuple):
    """One row of the benchmark: ``apply_fn(params, x) -> [n, num_outputs]``."""

    apply_fn: object
    params: object
    x: np.ndarray
    num_outputs: int


def _normal(rng, *shape, scale=1.0):
    return (scale * rng.standard_normal(shape)).astype(np.float32)


def _dense(rng, fan_in, fan_out):
    return {"kernel": _normal(rng, fan_in, fan_out, scale=fan_in**-0.5), "bias": _normal(rng, fan_out, scale=0.1)}


def _conv(rng, fan_in, fan_out):
    return {"kernel": _normal(rng, 3, 3, fan_in, fan_out, scale=(4.5 * fan_in) ** -0.5), "bias": _normal(rng, fan_out)}


def _convolve(x, kernel, stride=1):
    padding = ((1, 1), (1, 1))
    return lax.conv_general_dilated(x, kernel, (stride, stride), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def mlp(num, rng):
    """784 inputs, two hidden layers of 256, 10 logits."""
    sizes = (784, 256, 256, 10)
    params = [_dense(rng, *pair) for pair in itertools.pairwise(sizes)]

    def apply_fn(params, x):
        for layer in params[:-1]:
            x = jax.nn.relu(x @ layer["kernel"] + layer["bias"])
        return x @ params[-1]["kernel"] + params[-1]["bias"]

    return Case(apply_fn, params, _normal(rng, num, 784), 10)


def cnn(num, rng):
    """32x32x3 images; three convolutions of 32, 64, 64 channels with mean pooling between; 10 logits."""
    channels = (3, 32, 64, 64)
    params = {
        "convs": [_conv(rng, *pair) for pair in itertools.pairwise(channels)],
        "head": _dense(rng, 64, 10),
    }

    def apply_fn(params, x):
        for number, layer in enumerate(params["convs"]):
            x = jax.nn.relu(_convolve(x, layer["kernel"]) + layer["bias"])
            if number < 2:
                n, height, width, depth = x.shape
                x = jnp.mean(x.reshape(n, height // 2, 2, width // 2, 2, depth), axis=(2, 4))
        return jnp.mean(x, axis=(1, 2)) @ params["head"]["kernel"] + params["head"]["bias"]

    return Case(apply_fn, params, _normal(rng, num, 32, 32, 3), 10)


def _stored_resnet():
    path = pathlib.Path(os.environ.get("VERAX_DATA", "../shared/data")) / "resnet20_cifar10.npz"
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def resnet20(num, rng):
    """ResNet-20 for CIFAR, frozen batch statistics, one logit; trained weights where the data folder has them."""
    stored = _stored_resnet()
    widths, blocks = (16, 32, 64), 3
    statistics = {}

    def conv(name, fan_in, fan_out):
        if stored is None:
            return _normal(rng, 3, 3, fan_in, fan_out, scale=(4.5 * fan_in) ** -0.5)
        return stored[f"{name}.weight"].transpose(2, 3, 1, 0)

    def norm(name, width):
        if stored is None:
            statistics[name] = (np.zeros(width, np.float32), np.ones(width, np.float32))
            return {"scale": np.ones(width, np.float32), "bias": np.zeros(width, np.float32)}
        statistics[name] = (stored[f"{name}.running_mean"], stored[f"{name}.running_var"])
        return {"scale": stored[f"{name}.weight"], "bias": stored[f"{name}.bias"]}

    params = {"conv1": conv("conv1", 3, 16), "bn1": norm("bn1", 16)}
    fan_in, names = 16, []
    for layer, width in enumerate(widths, start=1):
        for block in range(blocks):
            name = f"layer{layer}.{block}"
            names.append((name, 2 if layer > 1 and block == 0 else 1))
            params[name] = {
                "conv1": conv(f"{name}.conv1", fan_in, width),
                "bn1": norm(f"{name}.bn1", width),
                "conv2": conv(f"{name}.conv2", width, width),
                "bn2": norm(f"{name}.bn2", width),
            }
            fan_in = width
    if stored is None:
        params["head"] = _normal(rng, 64, 1, scale=1 / 8)
    else:
        params["head"] = stored["linear.weight"][:1].T

    def normalise(name, layer, x):
        mean, variance = statistics[name]
        return (x - mean) * (layer["scale"] * lax.rsqrt(jnp.asarray(variance + 1e-5))) + layer["bias"]

    def apply_fn(params, x):
        x = jax.nn.relu(normalise("bn1", params["bn1"], _convolve(x, params["conv1"])))
        for name, stride in names:
            block = params[name]
            out = jax.nn.relu(normalise(f"{name}.bn1", block["bn1"], _convolve(x, block["conv1"], stride)))
            out = normalise(f"{name}.bn2", block["bn2"], _convolve(out, block["conv2"]))
            if stride == 2:
                extra = out.shape[-1] - x.shape[-1]
                x = jnp.pad(x[:, ::2, ::2], ((0, 0), (0, 0), (0, 0), (extra // 2, extra // 2)))
            x = jax.nn.relu(out + x)
        return jnp.mean(x, axis=(1, 2)) @ params["head"]

    return Case(apply_fn, params, _normal(rng, num, 32, 32, 3), 1)


def transformer(num, rng):
    """Two layers of width 64, four heads, 32 tokens of a vocabulary of 512, 10 logits from the mean position."""
    width, heads, length, vocabulary = 64, 4, 32, 512

    def norm():
        return {"scale": 1 + _normal(rng, width, scale=0.1), "bias": _normal(rng, width, scale=0.1)}

    def layer():
        return {
            "norm1": norm(),
            "qkv": _dense(rng, width, 3 * width),
            "out": _dense(rng, width, width),
            "norm2": norm(),
            "up": _dense(rng, width, 4 * width),
            "down": _dense(rng, 4 * width, width),
        }

    params = {
        "tokens": _normal(rng, vocabulary, width),
        "positions": _normal(rng, length, width, scale=0.1),
        "layers": [layer(), layer()],
        "norm": norm(),
        "head": _dense(rng, width, 10),
    }

    def affine(layer, x):
        return x @ layer["kernel"] + layer["bias"]

    def normalise(layer, x):
        x = x - jnp.mean(x, axis=-1, keepdims=True)
        return x * lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + 1e-5) * layer["scale"] + layer["bias"]

    def attend(layer, x):
        n = x.shape[0]
        query, key, value = jnp.split(affine(layer["qkv"], x).reshape(n, length, heads, -1), 3, axis=-1)
        weights = jax.nn.softmax(jnp.einsum("nshd,nthd->nhst", query, key) / query.shape[-1] ** 0.5, axis=-1)
        return affine(layer["out"], jnp.einsum("nhst,nthd->nshd", weights, value).reshape(n, length, width))

    def apply_fn(params, tokens):
        x = params["tokens"][tokens] + params["positions"]
        for layer in params["layers"]:
            x = x + attend(layer, normalise(layer["norm1"], x))
            x = x + affine(layer["down"], jax.nn.gelu(affine(layer["up"], normalise(layer["norm2"], x))))
        return affine(params["head"], jnp.mean(normalise(params["norm"], x), axis=1))

    return Case(apply_fn, params, rng.integers(vocabulary, size=(num, length)).astype(np.int32), 10)


NETWORKS = {"mlp": mlp, "cnn": cnn, "resnet20": resnet20, "transformer": transformer}
NUM_EXAMPLES = {"mlp": 1024, "cnn": 256, "resnet20": 256, "transformer": 256}


def make(name, num):
    """The case with device arrays, the same numbers in every process."""
    apply_fn, params, x, num_outputs = NETWORKS[name](num, np.random.default_rng([20220317, len(name)]))
    return Case(apply_fn, jax.tree_util.tree_map(jnp.asarray, params), jnp.asarray(x), num_outputs)
