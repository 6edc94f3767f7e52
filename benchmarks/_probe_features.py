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
NUM_SKETCH = 256
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


def _sentences():
    """Training, development and test sentences of SST-2."""
    with np.load(folder() / "sentiment.npz", allow_pickle=False) as file:
        parts = ("train", "dev", "test")
        text = np.concatenate([file[f"sst2_{part}_text"] for part in parts])
        return text, np.concatenate([file[f"sst2_{part}_y"] for part in parts])


def sentiment():
    """Whether each of the 512 most frequent words is in the sentence."""
    from sklearn.feature_extraction.text import CountVectorizer

    text, y = _sentences()
    counts = CountVectorizer(max_features=512, binary=True).fit_transform(text)
    return np.asarray(counts.todense(), np.float32), y


def cifar_small_pixels():
    """Means of 4 x 4 blocks, 192 numbers per image."""
    x, y = cifar_pixels()
    return x.reshape(len(x), 8, 4, 8, 4, 3).mean((2, 4)).reshape(len(x), -1), y


def digits_random_fourier():
    """Random Fourier features of a Gaussian kernel."""
    x, y = digits()
    rng = np.random.default_rng(0)
    return np.cos(x @ rng.normal(size=(64, 256)) * 0.35 + rng.uniform(0, 2 * np.pi, 256)).astype(np.float32), y


def minilm():
    """Sentence embeddings (384) of SST-2."""
    with np.load(folder() / "sentiment_minilm.npz", allow_pickle=False) as file:
        parts = ("train", "dev", "test")
        x = np.concatenate([file[f"sst2_{part}_x"].astype(np.float32) for part in parts])
        return x, np.concatenate([file[f"sst2_{part}_y"] for part in parts])


def tfidf():
    """Words of SST-2 weighted by their inverse document frequency, and the 256 leading singular vectors."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    text, y = _sentences()
    return TruncatedSVD(256, random_state=0).fit_transform(TfidfVectorizer(min_df=2).fit_transform(text)), y


def breast_cancer():
    """Bundled table: 30 measurements and their products, standardised, the first 120."""
    from sklearn.datasets import load_breast_cancer

    x, y = load_breast_cancer(return_X_y=True)
    x = (x - x.mean(0)) / x.std(0)
    first, second = np.triu_indices(30)
    return np.concatenate([x, x[:, first] * x[:, second]], axis=1)[:, :120].astype(np.float32), y


# Name -> maker; the sizes follow from the numbers of rows and columns.
SETS: dict[str, Callable[[], tuple[np.ndarray, np.ndarray]]] = {
    "SST-2 MiniLM embeddings": minilm,
    "SST-2 TF-IDF and singular vectors": tfidf,
    "SST-2 bag of words": sentiment,
    "digits pixels": digits,
    "digits random Fourier features": digits_random_fourier,
    "Fashion-MNIST pixels": fashion_pixels,
    "Fashion-MNIST random network": fashion_random_network,
    "CIFAR-10 small pixels": cifar_small_pixels,
    "breast cancer table": breast_cancer,
    "CIFAR-10 ResNet-20 features": lambda: resnet(20),
    "CIFAR-10 ResNet-32 features": lambda: resnet(32),
    "CIFAR-10 ResNet-20 sketched eNTK": lambda: entk(20),
}


def load(name: str) -> tuple[np.ndarray, np.ndarray]:
    return cached(name.replace(" ", "_"), SETS[name])


def load_seen() -> tuple[np.ndarray, np.ndarray]:
    """Features of images that the network was trained on: what nobody should probe."""
    return cached("resnet20_seen", lambda: resnet(20, "seen"))
