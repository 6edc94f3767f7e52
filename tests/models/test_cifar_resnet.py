"""The stored CIFAR networks: PyTorch's logits and the stated test accuracy."""

import pathlib

import jax
import numpy as np
import pytest

from verax.data import IMAGENET_MEAN, IMAGENET_STD, load, normalise
from verax.models import cifar_resnet, features_of

pytestmark = [pytest.mark.needs_data, pytest.mark.reference]

GOLDEN = pathlib.Path(__file__).with_name("cifar_resnet_logits.npz")  # by make_cifar_resnet_logits.py
STATED_ACCURACY = {20: 0.9173, 32: 0.9262}


@pytest.fixture(scope="module")
def test_images(data_dir):
    data = load("cifar10_10k", data_dir)
    return normalise(data.x_test, mean=IMAGENET_MEAN, std=IMAGENET_STD), data.y_test


def stored(data_dir, depth):
    return np.load(data_dir / f"resnet{depth}_cifar10.npz", allow_pickle=False)


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("depth", [20, 32])
def test_logits_are_pytorchs(data_dir, test_images, depth, train):
    network, params = cifar_resnet(stored(data_dir, depth), train=train)
    with np.load(GOLDEN) as golden:
        want = golden[f"resnet{depth}_{'training' if train else 'evaluation'}"]
    got = jax.jit(network)(params, test_images[0][: len(want)])
    # float32 against float64 through 20 or 32 layers; the logits reach 30.
    np.testing.assert_allclose(got, want, atol=1e-4)


def test_the_head_is_dense_on_the_features(data_dir, test_images):
    network, params = cifar_resnet(stored(data_dir, 20))
    features_fn, body, width = features_of(network, params)
    x = test_images[0][:8]
    features = np.asarray(jax.jit(features_fn)(body, x))
    assert features.shape == (8, width) == (8, 64)
    head = {name: np.asarray(value) for name, value in params["head"].items()}
    np.testing.assert_allclose(features @ head["kernel"] + head["bias"], jax.jit(network)(params, x), atol=1e-4)


def accuracy(data_dir, depth, images, labels, batch_size):
    network, params = cifar_resnet(stored(data_dir, depth))
    apply = jax.jit(network)
    starts = range(0, len(images), batch_size)
    predicted = np.concatenate([np.asarray(apply(params, images[i : i + batch_size])).argmax(axis=1) for i in starts])
    return float((predicted == labels).mean())


def test_accuracy_on_a_subset(data_dir, test_images):
    images, labels = test_images[0][:500], test_images[1][:500]
    standard_error = np.sqrt(0.9173 * (1 - 0.9173) / 500)
    assert abs(accuracy(data_dir, 20, images, labels, 250) - STATED_ACCURACY[20]) < 4 * standard_error


@pytest.mark.slow
@pytest.mark.parametrize("depth", [20, 32])
def test_accuracy_on_all_test_images(data_dir, test_images, depth):
    images, labels = test_images
    # The stated accuracy is a count of 10,000; two images on the decision boundary may fall either way.
    assert abs(accuracy(data_dir, depth, images, labels, 250) - STATED_ACCURACY[depth]) <= 2.5e-4
