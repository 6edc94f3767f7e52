"""What a user holds as features, weights and groups."""

from typing import Any

import numpy as np
from scipy import sparse

from verax._array_likes import read_array
from verax._arrays import to_host, to_labels
from verax._errors import check


def read_features(argument: str, value: Any) -> Any:
    """Features as scikit-learn reads them: narrow floats as float32, JAX and PyTorch arrays in NumPy."""
    if sparse.issparse(value):
        return value.tocsr()
    plain = isinstance(value, np.ndarray) and value.dtype.kind in "biufcOUSM"
    if plain or isinstance(value, list | tuple) or hasattr(value, "iloc"):
        return value
    if not hasattr(value, "shape"):
        return value
    array = read_array(argument, value)
    array = np.asarray(array)
    # Types that NumPy itself does not know (bfloat16, float8) have no kind of their own.
    return array.astype(np.float32) if array.dtype.kind == "V" or array.dtype.itemsize < 2 <= array.ndim else array


def read_weights(value: Any, num_samples: int) -> np.ndarray | None:
    """Weights [n] with mean 1 over the rows that have any; None where all are equal."""
    if value is None:
        return None
    weights = to_host("sample_weight", value, shape=[(), (num_samples,)], within="[0, inf)")
    weights = np.broadcast_to(weights, (num_samples,))
    used = weights > 0
    count = int(used.sum())
    check(count >= 2, "sample_weight", f"{count} positive weights, the others zero", "at least two positive weights")
    weights = weights / weights[used].mean()
    return None if bool(np.all(used) and np.ptp(weights) <= 1e-12) else weights


def read_groups(value: Any, num_samples: int) -> np.ndarray | None:
    """Group of each row as integers from 0."""
    if value is None:
        return None
    codes, names = to_labels("groups", value, num=num_samples)
    check(bool(np.all(codes >= 0)), "groups", f"{int(np.sum(codes < 0))} missing entries", "a group for every row")
    check(len(names) >= 2, "groups", "one group", "at least two, so that one can be left out")
    return codes
