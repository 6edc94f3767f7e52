"""Projection Norm: a deployed network, the images that it saw, and those that it did not."""

import functools
import os
import pathlib
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from verax._digest import digest
from verax._errors import check, fail
from verax._numpy_random import numpy_generator
from verax._types import PyTree
from verax.data import IMAGENET_MEAN, IMAGENET_STD, load, load_cifar10
from verax.models import Network, cifar_resnet, mlp, small_cnn

from .config import Config

_TRAINING_STEPS, BATCH, _LEARNING_RATE = 400, 64, 3e-3


_FASHION_MEAN, _FASHION_STD = 0.286, 0.353


_MOST_REFERENCES = 10_000


class Setting(NamedTuple):
    """A network in use. Images are uint8, 0 to 255."""

    network: Network
    params: PyTree
    init_params: PyTree
    """Where retraining starts."""
    train_network: Network
    """The network as it is retrained: with batch statistics of its own set, where it has any."""
    others: list[PyTree]
    """Parameters of further networks of this kind, trained from other initialisations."""
    normalise: Callable[[np.ndarray], np.ndarray]
    reference: np.ndarray
    """Images that the network was trained on."""
    holdout: np.ndarray
    holdout_labels: np.ndarray
    pool: np.ndarray
    pool_labels: np.ndarray
    num_classes: int
    stored: bool = False
    """Whether the weights are not trained here: one split of the images then serves all seeds."""

    @property
    def is_small(self) -> bool:
        """Whether retraining is quick enough for many sets side by side."""
        return self.pool.ndim < 4 or self.pool.shape[1] < 28

    def identity(self) -> str:
        """Digest of all images and labels and of where training starts, and of weights that are not trained here."""
        given = self.params if self.stored else None
        parts = (self.reference, self.holdout, self.holdout_labels, self.pool, self.pool_labels)
        return digest(self.init_params, given, *parts)


def load_setting(name: str, data: str | pathlib.Path | None, config: Config, key: jax.Array) -> Setting:
    """Load images and network; both depend on the key only."""
    rng = numpy_generator(key)
    if name == "mlp":
        return _digits(config, rng, key)
    if name == "small cnn":
        return _fashion(data, config, rng, key)
    return _cifar(name, data, config, rng, key)


def _digits(config: Config, rng: np.random.Generator, key: jax.Array) -> Setting:
    digits = load("digits")
    images, labels = (
        np.concatenate(both) for both in ((digits.x_train, digits.x_test), (digits.y_train, digits.y_test))
    )
    order = rng.permutation(len(labels))
    images, labels = (images[order].astype(np.int32) * 255 // 16).astype(np.uint8), labels[order]
    num_train = 650
    first = num_train + config.num_holdout

    def normalise(pixels: np.ndarray) -> np.ndarray:
        return (pixels / np.float32(255) - np.float32(0.3)) / np.float32(0.38)

    train_x, train_y = normalise(images[:num_train]), labels[:num_train]
    network, fitted = _perceptron(), []
    for index in range(4):  # the deployed one, and three for agreement
        _, init = mlp([64, 64, 10], key=jax.random.fold_in(key, index))
        fitted.append((init, fit_network(network, init, train_x, train_y, jax.random.fold_in(key, 100 + index))))
    return Setting(
        network,
        fitted[0][1],
        fitted[0][0],
        network,
        [params for _, params in fitted[1:]],
        normalise,
        images[:num_train],
        images[num_train:first],
        labels[num_train:first],
        images[first:],
        labels[first:],
        10,
    )


def _fashion(data: str | pathlib.Path | None, config: Config, rng: np.random.Generator, key: jax.Array) -> Setting:
    source = load("fashion_mnist", data)
    chosen, order = rng.permutation(len(source.y_train))[:_MOST_REFERENCES], rng.permutation(len(source.y_test))
    seen, seen_labels = source.x_train[chosen], source.y_train[chosen]
    held, rest = order[: config.num_holdout], order[config.num_holdout :]

    def normalise(pixels: np.ndarray) -> np.ndarray:
        return (pixels / np.float32(255) - np.float32(_FASHION_MEAN)) / np.float32(_FASHION_STD)

    network, (_, init) = _convolutional(), small_cnn(10, key=key)
    params = fit_network(network, init, normalise(seen), seen_labels, jax.random.fold_in(key, 100))
    return Setting(
        network,
        params,
        init,
        network,
        [],
        normalise,
        seen,
        source.x_test[held],
        source.y_test[held],
        source.x_test[rest],
        source.y_test[rest],
        10,
    )


@functools.cache
def _convolutional() -> Network:
    return small_cnn(10, key=jax.random.key(0))[0]


@functools.cache  # one object, so that what is compiled for it serves all seeds
def _perceptron() -> Network:
    return mlp([64, 64, 10], key=jax.random.key(0))[0]


def fit_network(network: Network, params: PyTree, x: np.ndarray, y: np.ndarray, key: jax.Array) -> PyTree:
    """Train a small network by Adam on cross-entropy, 400 batches of 64."""
    rows = jax.random.randint(key, (_TRAINING_STEPS, BATCH), 0, len(y))
    return _fit(network, params, jnp.asarray(x), jnp.asarray(y, jnp.int32), rows)


@functools.partial(jax.jit, static_argnums=0)
def _fit(network: Network, params: PyTree, x: jax.Array, y: jax.Array, rows: jax.Array) -> PyTree:
    optimizer = optax.adam(_LEARNING_RATE)

    def loss(params: PyTree, rows: jax.Array) -> jax.Array:
        return optax.softmax_cross_entropy_with_integer_labels(network(params, x[rows]), y[rows]).mean()

    def step(carry: tuple[PyTree, PyTree], rows: jax.Array) -> tuple[tuple[PyTree, PyTree], None]:
        params, state = carry
        with jax.numpy_dtype_promotion("standard"):  # optax mixes dtypes
            updates, state = optimizer.update(jax.grad(loss)(params, rows), state, params)
            return (optax.apply_updates(params, updates), state), None

    with jax.numpy_dtype_promotion("standard"):
        state = optimizer.init(params)
    return lax.scan(step, (params, state), rows)[0][0]


def _cifar(
    name: str, data: str | pathlib.Path | None, config: Config, rng: np.random.Generator, key: jax.Array
) -> Setting:
    folder = pathlib.Path(data or os.environ.get("VERAX_DATA") or "")
    weights = folder / f"{name}_cifar10.npz"
    if not weights.is_file():
        fail("data", f"no file {weights}", "a folder with the stored weights")
    with np.load(weights, allow_pickle=False) as arrays:
        network, params = cifar_resnet(arrays)
        train_network, _ = cifar_resnet(arrays, train=True)
    source = load_cifar10(folder)
    whole = np.asarray(source.extra.get("lossless_test", np.ones(len(source.y_test), bool)), bool)
    images, labels = source.x_test[whole], source.y_test[whole]
    enough = len(labels) >= config.num_holdout + 2 * config.size
    check(enough, "data", f"{len(labels)} test images", "enough for holdout and target sets")
    order = rng.permutation(len(labels))
    held, rest = order[: config.num_holdout], order[config.num_holdout :]
    mean, std = np.array(IMAGENET_MEAN, np.float32), np.array(IMAGENET_STD, np.float32)

    def normalise(pixels: np.ndarray) -> np.ndarray:
        return (pixels / np.float32(255) - mean) / std

    init = _fresh(params, key)
    return Setting(
        network,
        params,
        init,
        train_network,
        [],
        normalise,
        rng.permutation(source.x_train)[:_MOST_REFERENCES],
        images[held],
        labels[held],
        images[rest],
        labels[rest],
        10,
        stored=True,
    )


def _fresh(params: PyTree, key: jax.Array) -> PyTree:
    """Random kernels N(0, 2 / fan_in) of the same shapes, scales 1, biases 0: the true initialisation is not known."""
    leaves, tree = jax.tree_util.tree_flatten_with_path(params)
    fresh = []
    for index, (path, leaf) in enumerate(leaves):
        last = jax.tree_util.keystr(path, simple=True, separator="/").rpartition("/")[2]
        if last == "kernel":
            scale = (2 / np.prod(leaf.shape[:-1])) ** 0.5
            fresh.append(jax.random.normal(jax.random.fold_in(key, index), leaf.shape, leaf.dtype) * np.float32(scale))
        else:
            fresh.append(jnp.ones_like(leaf) if last == "scale" else jnp.zeros_like(leaf))
    return jax.tree.unflatten(tree, fresh)
