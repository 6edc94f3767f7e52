"""Valid calls of verax.data."""

import pathlib
import tempfile

import numpy as np

from support.border import call
from verax import data

IMAGES = np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3)


def extract():
    """CIFAR-10 from an extract of four images."""
    labels = np.array([0, 1, 2, 9])
    with tempfile.TemporaryDirectory() as folder:
        images = np.zeros((4, 32, 32, 3), np.uint8)
        parts = {"x_train": images, "y_train": labels, "x_test": images, "y_test": labels}
        np.savez(pathlib.Path(folder) / "cifar10_10k.npz", **parts)
        return data.load_cifar10(folder)


CALLS = {
    "verax.data.load_cifar10": call(extract),
    "verax.data.load": call(data.load, "digits"),
    "verax.data.normalise": call(
        data.normalise,
        IMAGES,
        mean=np.array([0.5, 0.25, 0.5]),
        std=np.array([0.5, 0.5, 0.25]),
        exempt={"images": dict.fromkeys(("JAX bfloat16", "float16", "bfloat16", "torch bfloat16"), "images are bytes")},
    ),
}
