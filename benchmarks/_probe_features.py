"""Real representations with labels for the probe's benchmark, kept in build/probe_features once computed."""

import os
import pathlib
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from verax import data, models, ntk

CACHE = pathlib.Path("build/probe_features")
NUM_ENTK = 4_000
NUM_SKETCH = 512
BATCH = 250


def folder() -> pathlib.Path:
    return pathlib.Path(os.environ["VERAX_DATA"])


def cached(name: str, make: Callable[[], tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    path = CACHE / f"{name}.npz"
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        features, labels = make()
        np.savez(path, x=features, y=labels)
    with np.load(path, allow_pickle=False) as file:
        return file["x"], file["y"]


def digits():
    source = data.load("digits")
    x = np.concatenate([source.x_train, source.x_test]).reshape(-1, 64)
    return x.astype(np.float32) / 16, np.concatenate([source.y_train, source.y_test])


def fashion_pixels():
    source = data.load("fashion_mnist", folder())
    x = np.concatenate([source.x_train, source.x_test])
    return x.reshape(len(x), -1).astype(np.float32) / 255, np.concatenate([source.y_train, source.y_test])


def fashion_random_network():
    """Last hidden layer of an untrained network: two layers of 512 rectified units."""
    x, y = fashion_pixels()
    rng = np.random.default_rng(0)
    for width in (512, 512):
        x = np.maximum(x @ (rng.normal(size=(x.shape[1], width)) * np.sqrt(2 / x.shape[1])).astype(np.float32), 0)
    return x, y


def _cifar(part: str) -> tuple[np.ndarray, np.ndarray]:
    source = data.load("cifar10_10k", folder())
    if part == "seen":
        return source.x_train, source.y_train
    whole = np.asarray(source.extra["lossless_test"], bool)
    return source.x_test[whole], source.y_test[whole]


def cifar_pixels():
    x, y = _cifar("unseen")
    return x.reshape(len(x), -1).astype(np.float32) / 255, y


def _network(depth: int):
    with np.load(folder() / f"resnet{depth}_cifar10.npz", allow_pickle=False) as file:
        return models.cifar_resnet(dict(file))


def _images(part: str, number: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    x, y = _cifar(part)
    x = data.normalise(x[:number], mean=data.IMAGENET_MEAN, std=data.IMAGENET_STD, max_value=255)
    return x, y[:number]


def resnet(depth: int, part: str = "unseen") -> tuple[np.ndarray, np.ndarray]:
    """Pooled features (64) of a network that was trained on CIFAR-10's training images."""
    network, params = _network(depth)
    x, y = _images(part, None if part == "unseen" else 2_000)
    features = jax.jit(network.features)
    return np.concatenate([np.asarray(features(params, x[i : i + BATCH])) for i in range(0, len(x), BATCH)]), y


def entk(depth: int) -> tuple[np.ndarray, np.ndarray]:
    """Sketched tangent features of a fresh scalar head on the trained network."""
    network, params = _network(depth)
    apply_fn, head = ntk.with_scalar_head(network.features, 64, key=jax.random.key(0))
    x, y = _images("unseen", NUM_ENTK)
    sketch = ntk.Rademacher(NUM_SKETCH)
    both = {"features": params, "head": head}
    found = ntk.ntk_features(apply_fn, both, jnp.asarray(x), sketch=sketch, key=jax.random.key(1))
    return np.asarray(found), y


def sentiment():
    """Counts of the 2,000 most frequent words of SST-2 (in training, development and test sentences together)."""
    from sklearn.feature_extraction.text import CountVectorizer

    with np.load(folder() / "sentiment.npz", allow_pickle=False) as file:
        parts = ("train", "dev", "test")
        text = np.concatenate([file[f"sst2_{part}_text"] for part in parts])
        y = np.concatenate([file[f"sst2_{part}_y"] for part in parts])
    counts = CountVectorizer(max_features=2_000, binary=True).fit_transform(text)
    return np.asarray(counts.todense(), np.float32), y


# Name -> (maker, sizes n, number of seeds); the forecast is for 4 n.
SETS = {
    "digits pixels": (digits, (320,), 5),
    "Fashion-MNIST pixels": (fashion_pixels, (2000, 8000), 5),
    "Fashion-MNIST random network": (fashion_random_network, (2000, 8000), 5),
    "CIFAR-10 pixels": (cifar_pixels, (500,), 3),
    "CIFAR-10 ResNet-20 features": (lambda: resnet(20), (1000, 2000), 5),
    "CIFAR-10 ResNet-32 features": (lambda: resnet(32), (1000, 2000), 5),
    "CIFAR-10 ResNet-20 sketched eNTK": (lambda: entk(20), (700,), 5),
    "SST-2 bag of words": (sentiment, (1600,), 4),
}


def load(name: str) -> tuple[np.ndarray, np.ndarray]:
    return cached(name.replace(" ", "_"), SETS[name][0])


def load_seen() -> tuple[np.ndarray, np.ndarray]:
    """Features of images that the network was trained on: what nobody should probe."""
    return cached("resnet20_seen", lambda: resnet(20, "seen"))
