"""NumPy archives with ``x_train``, ``y_train``, ``x_test``, ``y_test``."""

import pathlib
import zipfile

import numpy as np

from ._dataset import Dataset
from ._registry import CifarSource, IdxSource

_REQUIRED = ("x_train", "y_train", "x_test", "y_test")


def read_npz(path: pathlib.Path, name: str, source: IdxSource | CifarSource | None) -> Dataset:
    """Read the data set in an archive; what it holds beside images and labels becomes ``extra``."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: not a readable .npz archive of plain arrays ({error})") from error
    missing = [key for key in _REQUIRED if key not in arrays]
    if missing:
        raise ValueError(f"{path}: got arrays {sorted(arrays)}; need {', '.join(missing)} too")
    class_names = source.class_names if source is not None else ()
    if "class_names" in arrays:
        class_names = tuple(str(value) for value in arrays.pop("class_names"))
    labels = {part: _labels(arrays.pop(f"y_{part}"), f"{path}: y_{part}") for part in ("train", "test")}
    largest = max(int(part.max(initial=-1)) for part in labels.values())
    return Dataset(
        x_train=_images(arrays.pop("x_train"), f"{path}: x_train"),
        y_train=labels["train"],
        x_test=_images(arrays.pop("x_test"), f"{path}: x_test"),
        y_test=labels["test"],
        num_classes=source.num_classes if source is not None else len(class_names) or largest + 1,
        name=name,
        class_names=class_names,
        extra=arrays,
        source=str(path),
    )


def _images(array: np.ndarray, what: str) -> np.ndarray:
    if array.dtype != np.uint8 or array.ndim not in (3, 4):
        raise ValueError(
            f"{what}: got {array.dtype} {array.shape}; need uint8 [n, height, width] or [n, h, w, channels]"
        )
    return array if array.ndim == 4 else array[..., None]


def _labels(array: np.ndarray, what: str) -> np.ndarray:
    flat = array.reshape(-1) if array.ndim == 2 and array.shape[1] == 1 else array
    if not np.issubdtype(flat.dtype, np.integer) or flat.ndim != 1:
        raise ValueError(f"{what}: got {array.dtype} {array.shape}; need integers [n]")
    return flat.astype(np.int32)
