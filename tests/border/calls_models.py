"""Valid calls of verax.models."""

import jax
import numpy as np

from support.border import call
from support.state_dicts import cifar_arrays, torchvision_arrays
from verax import models

KEY = jax.random.key(0)
NETWORK, PARAMS = models.mlp([3, 4, 2], key=KEY)
IMAGE_NETWORK, IMAGE_PARAMS = models.small_cnn(2, in_channels=1, key=KEY)
BYTES = dict.fromkeys(("int32", "int64", "uint8", "bool"), "bytes have to be normalised first")


def apply_mlp(x):
    return NETWORK(PARAMS, x)


def apply_small_cnn(x):
    return IMAGE_NETWORK(IMAGE_PARAMS, x)


CALLS = {
    "verax.models.mlp": call(models.mlp, [3, 4, 2], key=KEY),
    "verax.models.small_cnn": call(models.small_cnn, 2, key=KEY),
    "verax.models.resnet18": call(models.resnet18, 2, width=8, key=KEY),
    "verax.models.features_of": call(models.features_of, NETWORK, PARAMS),
    "verax.models.cifar_resnet": call(models.cifar_resnet, cifar_arrays(np.random.default_rng(0), 1)),
    "verax.models.torchvision_resnet": call(
        models.torchvision_resnet,
        torchvision_arrays(np.random.default_rng(0), (1, 1, 1, 1), expansion=1, width=4, num_outputs=3),
    ),
    "verax.models.mlp()": call(
        apply_mlp, np.array([[1.0, -0.5, 2], [0.25, 0, 1]]), traceable=True, exempt={"x": BYTES}
    ),
    "verax.models.small_cnn()": call(
        apply_small_cnn, np.linspace(-1, 1, 2 * 64).reshape(2, 8, 8, 1), traceable=True, exempt={"x": BYTES}
    ),
}
