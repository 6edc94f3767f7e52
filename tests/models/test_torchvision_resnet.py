"""ResNets in torchvision's naming, against a plain NCHW implementation on the arrays as they are."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from support.state_dicts import torchvision_arrays
from verax.models import features_of, torchvision_resnet

pytestmark = pytest.mark.reference


def reference_logits(arrays, x, *, counts, strides, train):
    """NCHW throughout, no layer of verax, float64 where x64 is on."""
    arrays = {name: jnp.asarray(value, x.dtype) for name, value in arrays.items()}

    def conv(x, name, stride, padding):
        padding = ((padding, padding), (padding, padding))
        return lax.conv_general_dilated(x, arrays[f"{name}.weight"], (stride, stride), padding)

    def norm(x, name):
        if train:
            mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3))
        else:
            mean, variance = arrays[f"{name}.running_mean"], arrays[f"{name}.running_var"]
        scale = arrays[f"{name}.weight"] / jnp.sqrt(variance + 1e-5)
        shift = arrays[f"{name}.bias"] - mean * scale
        return x * scale[:, None, None] + shift[:, None, None]

    x = jax.nn.relu(norm(conv(x, "conv1", 2, 3), "bn1"))
    padded = jnp.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))  # zeros are harmless: the activations are not negative
    rows, columns = (x.shape[2] - 1) // 2 + 1, (x.shape[3] - 1) // 2 + 1
    windows = [padded[:, :, i : i + 2 * rows - 1 : 2, j : j + 2 * columns - 1 : 2] for i in range(3) for j in range(3)]
    x = jnp.stack(windows).max(axis=0)
    for layer, count in enumerate(counts, start=1):
        for index in range(count):
            name, stride = f"layer{layer}.{index}", 2 if layer > 1 and index == 0 else 1
            y = x
            for position, (own_stride, padding) in enumerate(strides(stride), start=1):
                y = norm(conv(y, f"{name}.conv{position}", own_stride, padding), f"{name}.bn{position}")
                y = jax.nn.relu(y) if position < len(strides(stride)) else y
            if f"{name}.downsample.0.weight" in arrays:
                x = norm(conv(x, f"{name}.downsample.0", stride, 0), f"{name}.downsample.1")
            x = jax.nn.relu(x + y)
    return x.mean((2, 3)) @ arrays["fc.weight"].T + arrays["fc.bias"]


def basic(stride):
    return ((stride, 1), (1, 1))


def bottleneck(stride):
    return ((1, 0), (stride, 1), (1, 0))


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize(
    ("counts", "expansion", "strides"),
    [((2, 1, 1, 1), 1, basic), ((1, 2, 1, 1), 4, bottleneck)],
    ids=["basic", "bottleneck"],
)
def test_against_a_plain_implementation(rng, counts, expansion, strides, train):
    arrays = torchvision_arrays(rng, counts, expansion=expansion, width=4, num_outputs=5)
    network, params = torchvision_resnet(arrays, train=train)
    x = rng.normal(size=(3, 40, 36, 3)).astype(np.float32)
    got = jax.jit(network)(params, x)
    nchw = jnp.asarray(x.transpose(0, 3, 1, 2))
    want = jax.jit(lambda x: reference_logits(arrays, x, counts=counts, strides=strides, train=train))(nchw)
    np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-3 * float(jnp.abs(want).max()))


@pytest.mark.parametrize(
    ("depth", "counts", "expansion", "num_parameters", "width"),
    [
        (18, (2, 2, 2, 2), 1, 11_689_512, 512),
        (34, (3, 4, 6, 3), 1, 21_797_672, 512),
        (50, (3, 4, 6, 3), 4, 25_557_032, 2048),
    ],
)
def test_full_size_has_torchvisions_parameter_count(depth, counts, expansion, num_parameters, width):
    class Zeros:
        def normal(self, size):
            return np.zeros(size, np.float32)

        def uniform(self, size):
            return np.ones(size, np.float32)

    network, params = torchvision_resnet(
        torchvision_arrays(Zeros(), counts, expansion=expansion, width=64, num_outputs=1000)
    )
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == num_parameters
    features_fn, body, got_width = features_of(network, params)
    x = jax.ShapeDtypeStruct((2, 224, 224, 3), jnp.float32)
    assert jax.eval_shape(network, params, x).shape == (2, 1000)
    assert jax.eval_shape(features_fn, body, x).shape == (2, got_width) == (2, width)
