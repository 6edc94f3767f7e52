"""CIFAR's binary batches: records of label bytes and 3,072 pixel bytes, channel by channel."""

import pathlib

import numpy as np

_PIXELS = 3 * 32 * 32


def parse_cifar(contents: bytes, path: pathlib.Path, *, num_labels: int) -> tuple[np.ndarray, np.ndarray]:
    """Images [n, 32, 32, 3] and labels [n, num_labels] of one batch; ``path`` is for the messages."""
    record = num_labels + _PIXELS
    if not contents or len(contents) % record:
        raise ValueError(
            f"{path}: got {len(contents)} bytes; need a multiple of {record}, one record per image (truncated?)"
        )
    records = np.frombuffer(contents, np.uint8).reshape(-1, record)
    images = records[:, num_labels:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), records[:, :num_labels]
