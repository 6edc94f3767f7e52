"""Concrete kernels, diagonals, products and features with an entry that is no finite number are refused."""

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.experimental import multihost_utils

from verax._errors import fail, is_traced

# Entries up to which the host looks, without a compilation.
_ON_HOST = 2**20


def check_kernel(kernel: Array, rows: str, columns: str | None, first: tuple[int, int] = (0, 0)) -> None:
    """Refuse a kernel ``[n1, n2, ...]`` with an entry that is not finite, naming the example.

    ``columns=None`` says that the columns are the rows; ``first`` are the places of the first row and column.
    """
    finite = _finite(kernel, keep=2)
    if finite is None:
        return
    if columns is not None and finite.any(1).all():  # every row has a good entry: a column is to blame
        _refuse(columns, first[1] + int(np.argmin(finite.mean(0))))
    diagonal = np.diagonal(finite) if columns is None else finite.mean(1)
    _refuse(rows, first[0] + int(np.argmin(diagonal if not diagonal.all() else finite.mean(1))))


def check_rows(values: Array, argument: str) -> None:
    """Refuse values ``[n, ...]`` with an entry that is not finite, naming the example."""
    finite = _finite(values, keep=1)
    if finite is not None:
        _refuse(argument, int(np.argmin(finite)))


def all_finite(values: Array) -> bool:
    """Whether all entries are finite numbers, as far as they can be read."""
    return _finite(values, keep=1) is None


def _finite(values: Array, keep: int) -> np.ndarray | None:
    """Which of the entries along the first axes are finite; None if all are, or if they cannot be read."""
    if is_traced(values):
        return None
    if values.size <= _ON_HOST and values.is_fully_addressable:
        numbers = np.asarray(values)
        found = np.isfinite(numbers if numbers.dtype.kind == "f" else numbers.astype(np.float32))
    else:
        found = jnp.isfinite(values)
        if bool(found.all()):
            return None
        if not found.is_fully_addressable:  # rows on the devices of other processes
            found = multihost_utils.process_allgather(found, tiled=True)
        found = np.asarray(found)
    if found.all():
        return None
    return np.asarray(found.all(tuple(range(keep, found.ndim))))


def _refuse(argument: str, example: int) -> None:
    fail(
        argument,
        f"example {example}, at which a derivative with respect to the parameters is not finite",
        "examples and parameters at which apply_fn has finite derivatives: a norm or a square root at zero, an "
        "overflow or a division by zero may have none",
    )
