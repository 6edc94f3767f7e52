"""More Than a Toy: networks with a fresh scalar head, and their empirical neural tangent kernels, kept by content."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from verax._errors import check_option, fail
from verax._numpy_random import numpy_generator
from verax._types import PyTree
from verax.models import Network, cifar_resnet, features_of, mlp, small_cnn, torchvision_resnet
from verax.ntk import empirical_ntk, with_scalar_head
from verax.papers._cache import Cache

from .images import Images

_TRAINING_STEPS, _BATCH, _LEARNING_RATE, _MOMENTUM = 150, 50, 0.05, 0.9


class Body(NamedTuple):
    """A network without its head: ``features_fn(body, x) -> [n, width]``, and how to draw ``body`` for a seed."""

    features_fn: Callable[[PyTree, Any], jax.Array]
    width: int
    draw: Callable[[jax.Array], PyTree]


_RANDOM = ("mlp", "cnn")


_STORED = {"resnet20": cifar_resnet, "torchvision": torchvision_resnet}


_NETWORKS = (*_RANDOM, "trained cnn", *_STORED, *(f"random {name}" for name in _STORED))


def is_random(name: str) -> bool:
    """Whether a network has random weights; the others were trained."""
    return name in _RANDOM or name.startswith("random ")


def needs_weights(name: str) -> bool:
    """Whether a network is built from stored arrays, be it only for its shapes."""
    return name.removeprefix("random ") in _STORED


def make_body(name: str, images: Images, arrays: Mapping[str, np.ndarray] | None) -> Body:
    """Build a network for these images; ``arrays`` are stored weights, for the networks that have some."""
    check_option("network", name, _NETWORKS)
    if needs_weights(name):
        if arrays is None:
            fail("arrays", "None", f"the stored weights of the network {name!r}")
        return _stored_body(name, arrays)
    channels, pixels = images.unseen.shape[-1], int(np.prod(images.unseen.shape[1:]))
    network, make = _random_network(name.removeprefix("trained "), channels, pixels)
    features_fn, _, width = features_of(network, make(jax.random.key(0)))
    if name == "trained cnn":
        return Body(features_fn, width, lambda key: _train(images, channels, key))
    return Body(features_fn, width, lambda key: features_of(network, make(key))[1])


def _stored_body(name: str, arrays: Mapping[str, np.ndarray]) -> Body:
    build = _STORED[name.removeprefix("random ")]
    if not is_random(name):
        network, params = build(arrays)
        features_fn, body, width = features_of(network, params)
        return Body(_sized(name, features_fn), width, lambda _: body)
    # Frozen statistics 0 and 1, as of a new network in evaluation mode, do not depend on the draw.
    network, params = build(_randomised(arrays, jax.random.key(0)))
    features_fn, _, width = features_of(network, params)
    return Body(
        _sized(name, features_fn), width, lambda key: features_of(network, build(_randomised(arrays, key))[1])[1]
    )


def _randomised(arrays: Mapping[str, np.ndarray], key: jax.Array) -> dict[str, np.ndarray]:
    """Weights of a new network of the same shapes: N(0, 2 / fan_in) kernels, normalisation that does nothing yet."""
    rng = numpy_generator(key)
    fresh = {}
    for name in sorted(arrays):
        array = np.asarray(arrays[name])
        if array.ndim >= 2:
            fan_in = array[0].size
            fresh[name] = (rng.normal(size=array.shape) * np.sqrt(2 / fan_in)).astype(np.float32)
        elif name.endswith((".running_var", ".weight")):
            fresh[name] = np.ones(array.shape, np.float32)
        elif name.endswith((".running_mean", ".bias")):
            fresh[name] = np.zeros(array.shape, np.float32)
        else:
            fresh[name] = array
    return fresh


def _sized(name: str, features_fn: Callable[[PyTree, Any], jax.Array]) -> Callable[[PyTree, Any], jax.Array]:
    return functools.partial(_enlarged, features_fn) if name.endswith("torchvision") else features_fn


def _enlarged(features_fn: Callable[[PyTree, Any], jax.Array], params: PyTree, x: jax.Array) -> jax.Array:
    # Inside the network, so that only a block of images is ever held at this size.
    return features_fn(params, jax.image.resize(x, (x.shape[0], 224, 224, x.shape[3]), "bilinear"))


@functools.cache
def _random_network(name: str, channels: int, pixels: int) -> tuple[Network, Callable[[jax.Array], PyTree]]:
    def make(key: jax.Array) -> tuple[Network, PyTree]:
        if name == "mlp":
            return mlp([pixels, 256, 256, 1], key=key)
        return small_cnn(1, in_channels=channels, key=key)

    return make(jax.random.key(0))[0], lambda key: make(key)[1]


@functools.cache
def _classifier(num_classes: int, channels: int) -> Network:
    return small_cnn(num_classes, in_channels=channels, key=jax.random.key(0))[0]


def _train(images: Images, channels: int, key: jax.Array) -> PyTree:
    """Train a small network on the seen images, and on no other; its body without the head."""
    network = _classifier(images.num_classes, channels)
    init_key, order_key = jax.random.split(key)
    _, params = small_cnn(images.num_classes, in_channels=channels, key=init_key)
    velocity = jax.tree.map(jnp.zeros_like, params)
    rng = numpy_generator(order_key)
    for _ in range(_TRAINING_STEPS):
        batch = rng.choice(len(images.seen_labels), _BATCH, replace=False)
        params, velocity = _train_step(network, params, velocity, images.seen[batch], images.seen_labels[batch])
    return features_of(network, params)[1]


@functools.partial(jax.jit, static_argnums=0)
def _train_step(
    network: Network, params: PyTree, velocity: PyTree, x: jax.Array, labels: jax.Array
) -> tuple[PyTree, PyTree]:
    def loss(params: PyTree) -> jax.Array:
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(network(params, x)), labels[:, None], axis=1))

    velocity = jax.tree.map(lambda v, g: _MOMENTUM * v + g, velocity, jax.grad(loss)(params))
    return jax.tree.map(lambda p, v: p - _LEARNING_RATE * v, params, velocity), velocity


@functools.cache
def _with_head(features_fn: Callable[[PyTree, Any], jax.Array], width: int) -> Callable[[PyTree, Any], jax.Array]:
    """One function object for each network, so that its kernel is compiled once for all seeds."""
    return with_scalar_head(features_fn, width, key=jax.random.key(0))[0]


def kernel_of(
    body: Body, images: np.ndarray, *, key: jax.Array, memory_budget: int, block_size: int | None, cache: "Cache"
) -> np.ndarray:
    """Kernel of all parameters of a network with a fresh random scalar head, float32 [n, n]."""
    body_key, head_key = jax.random.split(key)
    _, head = with_scalar_head(body.features_fn, body.width, key=head_key)
    apply_fn = _with_head(body.features_fn, body.width)
    params = {"features": body.draw(body_key), "head": head}

    def compute() -> dict[str, np.ndarray]:
        kernel = empirical_ntk(apply_fn, params, images, output=0, memory_budget=memory_budget, block_size=block_size)
        return {"kernel": np.asarray(kernel)}

    leaves = [
        (jax.tree_util.keystr(path), np.asarray(leaf)) for path, leaf in jax.tree_util.tree_leaves_with_path(params)
    ]
    return cache.get("kernel1", [images, *(part for pair in leaves for part in pair)], compute)["kernel"]
