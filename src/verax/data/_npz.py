"""NumPy archives with ``x_train``, ``y_train``, ``x_test``, ``y_test``."""

import pathlib

import numpy as np

from verax._errors import check
from verax._files import read_archive

from ._dataset import Dataset
from ._registry import CifarSource, IdxSource

_REQUIRED = ("x_train", "y_train", "x_test", "y_test")


def read_npz(path: pathlib.Path, name: str, source: IdxSource | CifarSource | None) -> Dataset:
    """Read the data set in an archive; what it holds beside images and labels becomes ``extra``."""
    arrays = read_archive("name", path)
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
    fits = array.dtype == np.uint8 and array.ndim in (3, 4)
    check(fits, what, f"{array.dtype} {array.shape}", "uint8 [n, height, width] or [n, h, w, channels]")
    return array if array.ndim == 4 else array[..., None]


def _labels(array: np.ndarray, what: str) -> np.ndarray:
    flat = array.reshape(-1) if array.ndim == 2 and array.shape[1] == 1 else array
    fits = np.issubdtype(flat.dtype, np.integer) and flat.ndim == 1
    check(fits, what, f"{array.dtype} {array.shape}", "integers [n]")
    low, high = (int(flat.min()), int(flat.max())) if flat.size else (0, 0)
    check(low >= -(2**31) and high < 2**31, what, f"labels {low} to {high}", "integers of 32 bits")
    return flat.astype(np.int32)
