"""Finding, checking and reading a data set by name."""

import hashlib
import os
import pathlib

import numpy as np

from verax._errors import check
from verax._extras import extra
from verax._files import read_bytes

from ._cifar import parse_cifar
from ._dataset import Dataset
from ._idx import find_idx, parse_idx
from ._npz import read_npz
from ._registry import SOURCES, CifarSource, IdxSource


def load(name: str, folder: str | os.PathLike | None = None, *, verify: bool = True) -> Dataset:
    """Load images and labels from files that are already on this machine; nothing is downloaded.

    Parameters
    ----------
    name : str
        "digits" (scikit-learn's bundled handwritten digits, no file needed), "mnist", "fashion_mnist", "cifar10",
        "cifar100", or the stem of an archive ``<name>.npz`` with uint8 ``x_train``, ``x_test`` and integer ``y_train``,
        ``y_test``.
    folder : path, optional
        Where the files are; by default the environment variable ``VERAX_DATA``. The set's own sub-folders are searched
        for IDX files (plain or gzip) or binary batches, then the folder for ``<name>.npz``, then the folder for IDX
        files or batches.
    verify : bool
        Refuse IDX files and binary batches whose contents (after gzip) do not have the published SHA-256. Archives have
        no published one: ``Dataset.verified`` says whether a check was made and passed.

    Returns
    -------
    Dataset
        uint8 images NHWC and int32 labels, training and test part. A fixed random permutation puts
        1,297 of the 1,797 digits in the training part and 500 in the test part, so that both are draws of one
        population.

    Raises
    ------
    FileNotFoundError
        If the files are not there; the message lists where they were looked for and how to get them.
    ValueError
        If there is no folder, or a file is damaged, of another format, or not the published one.

    Notes
    -----
    Published SHA-256 values exist for the decompressed IDX files of MNIST and Fashion-MNIST and for CIFAR's binary
    batches. CIFAR-100's labels are the 100 fine ones; ``extra`` holds the 20 coarse ones.

    Examples
    --------
    >>> from verax.data import load
    >>> load("digits")
    Dataset('digits': 1297 training and 500 test images of 8x8x1, 10 classes)

    References
    ----------
    Y. LeCun et al. Gradient-based learning applied to document recognition. Proceedings of the IEEE, 1998.
    H. Xiao, K. Rasul, R. Vollgraf. Fashion-MNIST. arXiv:1708.07747, 2017.
    A. Krizhevsky. Learning multiple layers of features from tiny images. University of Toronto, 2009.
    """
    if name == "digits":
        return _digits()
    place = _folder(name, folder)
    source = SOURCES.get(name)
    archive = place / f"{name}.npz"
    looked: list[str] = []
    if source is not None:
        for subfolder in source.folders:
            data = _read_published(name, place / subfolder, source, verify, looked)
            if data is not None:
                return data
    if archive.is_file():
        return _check_consistent(read_npz(archive, name, source))
    looked.append(f"{archive}: no such file")
    if source is None:
        raise _not_found(name, looked, f"Known names: digits, {', '.join(SOURCES)}.")
    # The files themselves lying in the folder come last: MNIST's and Fashion-MNIST's have the same names.
    data = _read_published(name, place, source, verify, looked)
    if data is None:
        raise _not_found(name, looked, source.how_to_get)
    return data


def _not_found(name: str, looked: list[str], help_text: str) -> FileNotFoundError:
    return FileNotFoundError("\n  ".join([f"data set {name!r} was not found; looked in", *looked]) + f"\n{help_text}")


def _read_published(
    name: str, base: pathlib.Path, source: IdxSource | CifarSource, verify: bool, looked: list[str]
) -> Dataset | None:
    """Read the files as published, or note in ``looked`` which are not there and return None."""
    find = find_idx if isinstance(source, IdxSource) else _find_exact
    found = {file: path for file in source.sha256 if (path := find(base, file)) is not None}
    missing = [file for file in source.sha256 if file not in found]
    if missing:
        looked.append(f"{base}: no {', '.join(missing)}")
        return None
    contents = {file: read_bytes("name", path) for file, path in found.items()}
    if isinstance(source, IdxSource):
        images, labels = _parse_idx_set(contents, found)
    else:
        images, labels = _parse_cifar_set(contents, found, source.num_labels)
    verified = [_verify(contents[file], path, source.sha256[file], verify) for file, path in found.items()]
    fine = {part: rows[:, -1].astype(np.int32) for part, rows in labels.items()}
    coarse = {f"coarse_{part}": rows[:, 0].astype(np.int32) for part, rows in labels.items() if rows.shape[1] == 2}
    return _check_consistent(
        Dataset(
            images["train"],
            fine["train"],
            images["test"],
            fine["test"],
            source.num_classes,
            name,
            class_names=source.class_names,
            extra=coarse,
            source=str(base),
            verified=all(verified),
        )
    )


def _folder(name: str, folder: str | os.PathLike | None) -> pathlib.Path:
    check(
        isinstance(name, str) and name != "" and pathlib.PurePath(name).name == name,
        "name",
        repr(name),
        "the name of a data set, not a path",
    )
    if folder is None:
        folder = os.environ.get("VERAX_DATA")
        check(bool(folder), "folder", "None, and VERAX_DATA is not set", f"the folder that holds the files of {name!r}")
    path = pathlib.Path(str(folder)).expanduser()
    check(path.is_dir(), "folder", str(path), "an existing folder")
    return path


def _find_exact(folder: pathlib.Path, name: str) -> pathlib.Path | None:
    return folder / name if (folder / name).is_file() else None


_Parts = dict[str, np.ndarray]


def _parse_idx_set(contents: dict[str, bytes], paths: dict[str, pathlib.Path]) -> tuple[_Parts, _Parts]:
    """Images [n, h, w, 1] and labels [n, 1] of the two parts."""
    images, labels = {}, {}
    for file, data in contents.items():
        part = "train" if file.startswith("train") else "test"
        ndim, target = (3, images) if "idx3" in file else (1, labels)
        target[part] = parse_idx(data, paths[file], ndim=ndim)[..., None]
    return images, labels


def _parse_cifar_set(
    contents: dict[str, bytes], paths: dict[str, pathlib.Path], num_labels: int
) -> tuple[_Parts, _Parts]:
    """Images [n, 32, 32, 3] and labels, [n, 1] or [n, 2] (coarse, fine), of the two parts."""
    batches = {"train": [], "test": []}
    for file, data in contents.items():
        part = "test" if file.startswith("test") else "train"
        batches[part].append(parse_cifar(data, paths[file], num_labels=num_labels))
    images = {part: np.concatenate([batch[0] for batch in both]) for part, both in batches.items()}
    return images, {part: np.concatenate([batch[1] for batch in both]) for part, both in batches.items()}


def _verify(contents: bytes, path: pathlib.Path, digest: str, required: bool) -> bool:
    got = hashlib.sha256(contents).hexdigest()
    if required and got != digest:
        raise ValueError(
            f"{path}: got SHA-256 {got} of the (decompressed) contents; need {digest}, the published one; "
            "download it again, or pass verify=False for files of your own in this format"
        )
    return got == digest


def _check_consistent(data: Dataset) -> Dataset:
    for part, x, y in (("train", data.x_train, data.y_train), ("test", data.x_test, data.y_test)):
        if len(x) != len(y):
            raise ValueError(f"{data.source}: got {len(x)} images but {len(y)} labels in the {part} part; need as many")
        if len(y) and not (y.min() >= 0 and y.max() < data.num_classes):
            raise ValueError(
                f"{data.source}: got labels {y.min()} to {y.max()} in the {part} part; need 0 to {data.num_classes - 1}"
            )
    if data.x_train.shape[1:] != data.x_test.shape[1:]:
        raise ValueError(
            f"{data.source}: got {data.x_train.shape[1:]} training and {data.x_test.shape[1:]} test images"
        )
    return data


def _digits() -> Dataset:
    with extra("probe"):
        from sklearn.datasets import load_digits  # takes a second to import; only the digits need it

    images, labels = load_digits(return_X_y=True)
    images, labels = np.asarray(images), np.asarray(labels)
    # RandomState's stream is frozen by NumPy, Generator's is not: everyone must get the same split.
    order = np.random.RandomState(0).permutation(len(labels))
    images = images.astype(np.uint8).reshape(-1, 8, 8, 1)[order]
    labels = labels.astype(np.int32)[order]
    num_train = len(labels) - 500
    return Dataset(
        images[:num_train],
        labels[:num_train],
        images[num_train:],
        labels[num_train:],
        10,
        "digits",
        max_value=16,
        class_names=tuple("0123456789"),
        source="sklearn.datasets.load_digits",
    )
