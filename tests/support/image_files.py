"""Tiny image files in the formats of MNIST and CIFAR."""

import gzip

import numpy as np

from verax.data._registry import SOURCES

IDX_FILES = tuple(SOURCES["mnist"].sha256)


def idx_bytes(array):
    sizes = b"".join(int(size).to_bytes(4, "big") for size in array.shape)
    return bytes((0, 0, 8, array.ndim)) + sizes + array.tobytes()


def write_idx(folder, arrays, *, compress=False, rename=lambda name: name):
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in zip(IDX_FILES, arrays, strict=True):
        data = idx_bytes(array)
        path = folder / (rename(name) + (".gz" if compress else ""))
        path.write_bytes(gzip.compress(data) if compress else data)


def tiny_arrays(rng):
    return (
        rng.integers(0, 256, (5, 4, 3), dtype=np.uint8),
        rng.integers(0, 10, 5, dtype=np.uint8),
        rng.integers(0, 256, (2, 4, 3), dtype=np.uint8),
        rng.integers(0, 10, 2, dtype=np.uint8),
    )


def cifar_records(images, *labels):
    planes = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
    return np.concatenate([np.stack(labels, axis=1).astype(np.uint8), planes], axis=1).tobytes()
