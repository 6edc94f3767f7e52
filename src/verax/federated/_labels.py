"""Labels of any kind as numbers of classes."""

from typing import Any, NamedTuple

import numpy as np

from verax._errors import check, fail


class EncodedLabels(NamedTuple):
    """Labels as numbers of classes.

    Attributes
    ----------
    codes : int64 [n]
        Position of each label in ``classes``.
    classes : [C]
        Distinct labels in ascending order, as they came in.
    """

    codes: np.ndarray
    classes: np.ndarray


def encode_labels(labels: Any, classes: Any = None) -> EncodedLabels:
    """Number the classes of labels: integers with gaps, strings, booleans.

    Parameters
    ----------
    labels : [n]
        One label per example.
    classes : [C], optional
        All classes in the order of their numbers, where some may be absent from ``labels``; by default the distinct
        labels in ascending order.

    Returns
    -------
    EncodedLabels

    Raises
    ------
    ValueError
        For missing labels (NaN, None), real numbers that are not integers, and labels outside ``classes``.

    Examples
    --------
    >>> from verax.federated import encode_labels
    >>> encode_labels(["dog", "cat", "dog"]).codes.tolist()
    [1, 0, 1]
    >>> encode_labels([7, 3, 7], classes=[3, 5, 7]).codes.tolist()
    [2, 0, 2]
    """
    y = _plain("labels", labels)
    if classes is None:
        values, codes = np.unique(y, return_inverse=True)
        return EncodedLabels(codes.reshape(-1).astype(np.int64), values)
    values = _plain("classes", classes)
    check(len(np.unique(values)) == len(values), "classes", "a class that is there twice", "distinct classes")
    check(values.dtype.kind == y.dtype.kind, "labels", f"dtype {y.dtype}", f"the kind of classes, {values.dtype}")
    order = np.argsort(values)
    place = np.minimum(np.searchsorted(values, y, sorter=order), len(values) - 1)
    codes = order[place]
    strange = np.unique(y[values[codes] != y])
    check(len(strange) == 0, "labels", f"{strange[:5].tolist()}", f"labels among classes {values[:10].tolist()}")
    return EncodedLabels(codes.astype(np.int64), values)


def _plain(argument: str, labels: Any) -> np.ndarray:
    """Labels as a NumPy array of integers or strings; whole real numbers count as integers."""
    y = np.asarray(labels)
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    check(y.ndim == 1, argument, f"shape {y.shape}", "one label per example, [n]")
    check(y.size > 0, argument, "none", "at least one")
    if y.dtype.kind == "O":
        missing = np.array([value is None or value != value for value in y.tolist()])
        check(not missing.any(), argument, f"{missing.sum()} missing entries", "a label for each example")
        kinds = {type(value) for value in y.tolist()}
        check(len(kinds) == 1, argument, f"labels of types {sorted(kind.__name__ for kind in kinds)}", "one type")
        y = np.array(y.tolist())
    if y.dtype.kind not in "biufUS":
        try:
            y = y.astype(np.float64)  # bfloat16 and its kin
        except (TypeError, ValueError):
            fail(argument, f"dtype {y.dtype}", "integers, strings or booleans")
    if y.dtype.kind == "f":
        missing = np.isnan(y)
        check(not missing.any(), argument, f"{missing.sum()} missing entries (NaN)", "a label for each example")
        whole = np.isfinite(y).all() and (y == np.round(y)).all() and np.abs(y).max() < 2**53
        check(bool(whole), argument, "real numbers", "classes; for regression cut the targets into ranges first, "
              "such as np.digitize(y, np.quantile(y, [0.25, 0.5, 0.75]))")  # fmt: skip
        y = y.astype(np.int64)
    return y
