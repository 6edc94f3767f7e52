"""CIFAR-10, whole or in part."""

import os

from ._dataset import Dataset
from ._load import load

_EXTRACT = "cifar10_10k"


def load_cifar10(folder: str | os.PathLike | None = None) -> Dataset:
    """Load CIFAR-10, or an extract of its training images where the whole set is missing.

    Parameters
    ----------
    folder : path, optional
        Folder of the files; by default the environment variable ``VERAX_DATA``.

    Returns
    -------
    Dataset
        The whole set, as ``load("cifar10")`` reads it; otherwise the archive ``cifar10_10k.npz``, with 10,000 training
        images and all 10,000 test images. ``Dataset.name`` tells which. ``extra["lossless_test"]``, if present, is
        False for the test images that the archive holds only in a lossy copy.

    Raises
    ------
    FileNotFoundError
        If neither is there; the message is that for the whole set.
    ValueError
        If there is no folder, or a file is damaged.

    Examples
    --------
    >>> from verax.data import load_cifar10
    >>> try:
    ...     load_cifar10("no-such-folder")
    ... except ValueError as error:
    ...     print(error)
    folder: got no-such-folder; need an existing folder
    """
    try:
        return load("cifar10", folder)
    except FileNotFoundError as missing:
        try:
            return load(_EXTRACT, folder)
        except FileNotFoundError:
            raise missing from None
