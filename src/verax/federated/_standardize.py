"""Standardising features of all clients alike, from sums alone."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from verax._arrays import to_array, to_host, to_integer
from verax._errors import check, fail, is_traced
from verax._results import result
from verax._types import AnyArray

from ._partition import check_clients_have_data

_LARGEST = 1e70
"""Entries whose fourth powers, squares of sums of products, stay far from the overflow of double precision."""


@result()
class Standardizer(NamedTuple):
    """The map ``(features - mean) * scale``.

    Attributes
    ----------
    mean : [m]
        Pooled mean.
    scale : [m]
        One over the pooled standard deviation (biased); 0 for features that are constant, which are thereby removed.
    """

    mean: AnyArray
    scale: AnyArray

    def __call__(self, features: AnyArray) -> Any:
        """Standardise ``[..., m]``, in the dtype of the features; NumPy in, NumPy out."""
        xp = jnp if isinstance(features, jax.Array) else np
        return (features - xp.asarray(self.mean, features.dtype)) * xp.asarray(self.scale, features.dtype)


def fit_standardizer(features: Float[AnyArray, "K n m"], mask: Bool[AnyArray, "K n"]) -> Standardizer:
    r"""Pooled mean and standard deviation of each feature, from sums over clients.

    .. math:: \mu = \frac1N \sum_i \sum_j \phi_{ij}, \qquad \sigma^2 = \frac1N \sum_i \sum_j (\phi_{ij} - \mu)^2

    Each client sends two vectors: the sum of its features and, once it knows the mean, that of the squared deviations;
    the second cannot suffer from cancellation, as a sum of squares would.

    Parameters
    ----------
    features : [K, n, m]
        Features of each client's examples.
    mask : [K, n]
        Which rows are examples.

    Returns
    -------
    Standardizer
        Float64 NumPy fields.

    Raises
    ------
    ValueError
        For shapes that do not fit, a client without data, or non-finite features.

    Notes
    -----
    Sums are accumulated in float64 on the host: the result is the pooled one to 1e-14 for every division of the
    examples.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.federated import fit_standardizer
    >>> features = np.array([[[1.0, 5.0]], [[3.0, 5.0]]])
    >>> fit_standardizer(features, np.ones((2, 1), bool))
    Standardizer(mean=[2, 5], scale=[1, 0])
    """
    phi, keep = check_features(features, mask)
    rows = [np.asarray(phi[client])[keep[client]] for client in range(len(keep))]
    count = int(keep.sum())
    mean = np.sum([part.sum(0, dtype=np.float64) for part in rows], axis=0) / count
    variance = np.sum([np.square(part - mean).sum(0) for part in rows], axis=0) / count
    # A constant feature keeps the rounding of its mean; nothing within that distance of it varies.
    floor = (8 * np.finfo(phi.dtype).eps * np.abs(mean)) ** 2
    with np.errstate(divide="ignore"):
        return Standardizer(mean, np.where(variance > floor, 1 / np.sqrt(variance), 0.0))


def check_features(features: Any, mask: Any, names: tuple[str, str] = ("features", "mask")) -> tuple[Any, np.ndarray]:
    """Return the features of all clients as an array and the mask in NumPy, after checks."""
    phi = _read(names[0], features, "[K, n, m]")
    keep = to_host(names[1], mask, dtype="any")
    need = f"booleans {list(phi.shape[:2])}"
    check(keep.shape == phi.shape[:2] and keep.dtype == bool, names[1], f"{keep.dtype}{list(keep.shape)}", need)
    check_clients_have_data(keep, names[1])
    _check_rows(names[0], phi, keep)
    return phi, keep


def check_targets(targets: Any, keep: np.ndarray) -> Any:
    """Return the targets of all clients as an array, after checks."""
    need = f"[{keep.shape[0]}, {keep.shape[1]}, C]"
    y = _read("targets", targets, need)
    check(y.shape[:2] == keep.shape, "targets", f"shape {y.shape}", need)
    _check_rows("targets", y, keep)
    return y


def _read(argument: str, value: Any, need: str) -> Any:
    """A device array as it is, anything else in float64 on the host."""
    if is_traced(value):
        fail(argument, "a traced array", "concrete values: sums are made on the host, outside jit, vmap and grad")
    if isinstance(value, jax.Array):
        array = to_array(argument, value, finite=False)
    else:
        array = to_host(argument, value, finite=False)
    check(array.ndim == 3, argument, f"shape {array.shape}", need)
    return array


def _check_rows(argument: str, array: Any, keep: np.ndarray) -> None:
    """Raise if a client's own row has NaN or infinity; the others are not looked at."""
    bad = ~np.isfinite(np.asarray(array)) & keep[:, :, None]
    if bad.any():
        place = np.argwhere(bad)[0].tolist()
        fail(argument, f"{int(bad.sum())} non-finite entries (the first at {place})", "finite values")
    largest = float(np.abs(np.asarray(array)[keep]).max(initial=0))
    check(
        largest < _LARGEST,
        argument,
        f"an entry of size {largest:.3g}",
        f"entries below {_LARGEST:g}, whose sums of products do not overflow",
    )


def class_targets(labels: AnyArray, num_classes: int, dtype: Any = np.float32) -> np.ndarray:
    """``onehot(labels) - 1 / C``, ``[..., C]``: rows sum to zero.

    Parameters
    ----------
    labels : [...]
        Integers from 0 to C - 1.
    num_classes
        C.
    dtype
        Dtype of the result.

    Raises
    ------
    ValueError
        For labels that are not such integers.

    Examples
    --------
    >>> from verax.federated import class_targets
    >>> class_targets([0, 1], 2).tolist()
    [[0.5, -0.5], [-0.5, 0.5]]
    """
    num_classes = to_integer("num_classes", num_classes, minimum=1)
    codes = to_host("labels", labels, dtype="integer", within=f"[0, {num_classes - 1}]", empty=True)
    return (np.eye(num_classes) - 1 / num_classes)[codes].astype(dtype)
