"""Arguments and arrays that must be refused, with a message that names them."""

import jax
import numpy as np
import pytest

from support.state_dicts import cifar_arrays, torchvision_arrays
from verax.models import cifar_resnet, features_of, mlp, resnet18, small_cnn, torchvision_resnet

pytestmark = pytest.mark.bad_input

KEY = jax.random.key(0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mlp([3], key=KEY), "^sizes: got 1 of them"),
        (lambda: mlp([3, 0, 2], key=KEY), r"^sizes\[1\]: got 0"),
        (lambda: mlp([3, 2.5], key=KEY), r"^sizes\[1\]"),
        (lambda: small_cnn(0, key=KEY), "^num_outputs"),
        (lambda: small_cnn(2, in_channels=-1, key=KEY), "^in_channels"),
        (lambda: small_cnn(2, convolution="fft", key=KEY), "^convolution"),
        (lambda: small_cnn(2, num_groups=0, key=KEY), "^num_groups"),
        (lambda: small_cnn(2, num_groups=5, key=KEY), "^num_groups"),
        (lambda: resnet18(True, key=KEY), "^num_outputs"),
        (lambda: resnet18(2, width=7, key=KEY), "^width"),
        (lambda: resnet18(2, width=80, key=KEY), "^width"),
        (lambda: cifar_resnet({}, train=1), "^train"),
        (lambda: cifar_resnet([1, 2]), "^arrays: got list"),
        (lambda: torchvision_resnet({}), r"^arrays: got no 'conv1\.weight'"),
        (lambda: features_of(lambda params, x: x, {}), "^network"),
        (lambda: features_of(mlp([3, 2], key=KEY)[0], {"layers": []}), "^params: got no entry 'head'"),
    ],
)
def test_bad_constructor_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((2, 8, 8), np.float32), r"^x: got shape \(2, 8, 8\)"),
        (np.zeros((2, 8, 8, 1), np.float32), "^x: .*need 3 channels"),
        (np.zeros((2, 3, 8, 8), np.float32), "^x: .*need 3 channels"),
        (np.zeros((2, 8, 8, 3), np.uint8), "^x: got dtype uint8"),
    ],
)
def test_bad_images(x, message):
    network, params = small_cnn(4, in_channels=3, key=KEY)
    for call in (network, jax.jit(network)):
        with pytest.raises(ValueError, match=message):
            call(params, x)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((2, 4), np.float32), r"^x: got shape \(2, 4\); need \[n, \.\.\.\] with 3 values"),
        (np.zeros(3, np.float32), "^x: got shape"),
        (np.zeros((2, 3), np.int32), "^x: got dtype int32"),
    ],
)
@pytest.mark.parametrize("sizes", [[3, 2], [3, 5, 2]])
def test_bad_vectors(x, message, sizes):
    network, params = mlp(sizes, key=KEY)
    with pytest.raises(ValueError, match=message):
        network(params, x)


def _without(name):
    return lambda arrays: arrays.pop(name)


def _with(name, change):
    return lambda arrays: arrays.__setitem__(name, change(arrays.get(name)))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_without("conv1.weight"), r"no 'conv1\.weight'"),
        (_without("layer1.0.bn2.running_var"), r"no 'layer1\.0\.bn2\.running_var'"),
        (_without("layer2.0.conv1.weight"), r"no 'layer2\.0\.conv1\.weight'"),
        (_with("conv1.weight", lambda a: a.transpose(2, 3, 1, 0)), r"'conv1\.weight' of shape \(3, 3, 3, 16\)"),
        (_with("bn1.bias", lambda a: a[:-1]), r"'bn1\.bias' of shape \(15,\)"),
        (
            _with("bn1.weight", lambda a: np.where(np.arange(16) == 3, np.nan, a)),
            r"non-finite entries in 'bn1\.weight'",
        ),
        (_with("bn1.running_var", lambda a: -a), r"negative entry in 'bn1\.running_var'"),
        (_with("bn1.bias", lambda a: a.astype(np.int32)), r"'bn1\.bias' .*int32"),
        (_with("fc.weight", lambda _: np.zeros(3)), r"1 unknown names: 'fc\.weight'"),
    ],
)
def test_bad_cifar_arrays(rng, damage, message):
    arrays = cifar_arrays(rng, 1)
    damage(arrays)
    with pytest.raises(ValueError, match="^arrays: .*" + message):
        cifar_resnet(arrays)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_without("fc.bias"), r"no 'fc\.bias'"),
        (_without("layer2.0.downsample.0.weight"), r"no 'layer2\.0\.downsample\.0\.weight'"),
        (_without("layer3.0.bn1.running_mean"), r"no 'layer3\.0\.bn1\.running_mean'"),
        (_with("layer1.0.conv2.weight", lambda a: a[:, :2]), r"'layer1\.0\.conv2\.weight' of shape"),  # grouped
        (_with("layer5.0.conv1.weight", lambda _: np.zeros(3)), r"unknown names: 'layer5\.0\.conv1\.weight'"),
    ],
)
def test_bad_torchvision_arrays(rng, damage, message):
    arrays = torchvision_arrays(rng, (1, 1, 1, 1), expansion=1, width=4, num_outputs=3)
    damage(arrays)
    with pytest.raises(ValueError, match="^arrays: .*" + message):
        torchvision_resnet(arrays)
