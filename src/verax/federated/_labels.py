"""Labels of any kind as numbers of classes."""

from typing import Any, NamedTuple

import numpy as np

from verax._array_likes import read_array
from verax._arrays import to_labels
from verax._errors import check, is_traced
from verax._results import result


@result()
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
    codes, found = _read("labels", labels)
    if classes is None:
        return EncodedLabels(codes, found)
    _, distinct = _read("classes", classes)
    every = np.asarray(read_array("classes", classes, text=True)).reshape(-1)
    check(len(distinct) == len(every), "classes", "a class that is there twice", "distinct classes")
    position = {value: place for place, value in enumerate(every.tolist())}
    strange = [value for value in found.tolist() if value not in position]
    check(not strange, "labels", f"{strange[:5]}", f"labels among the classes {every[:10].tolist()}")
    return EncodedLabels(np.array([position[value] for value in found.tolist()])[codes], every)


def _read(argument: str, labels: Any) -> EncodedLabels:
    """Codes and classes; whole real numbers count as integers, other real numbers are no classes."""
    if not is_traced(labels):
        labels = read_array(argument, labels, text=True)
        labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    codes, classes = to_labels(argument, labels)
    check(len(codes) > 0, argument, "none", "at least one")
    missing = int((codes < 0).sum())
    check(missing == 0, argument, f"{missing} missing entries", "a label for each example")
    if classes.dtype.kind == "f":
        whole = bool((np.abs(classes) < 2**63).all() and (classes == np.round(classes)).all())
        check(
            whole,
            argument,
            "real numbers",
            "classes; for regression cut the targets into ranges first, such as "
            "np.digitize(y, np.quantile(y, [0.25, 0.5, 0.75]))",
        )
        classes = classes.astype(np.int64)
    return EncodedLabels(codes.astype(np.int64), classes)
