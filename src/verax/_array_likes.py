"""Reading of array-likes: from what a user holds to a NumPy or JAX array with the same values, nothing converted."""

import functools
import math
import sys
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ._errors import check, fail, is_traced

_PLAIN = bool | int | float | str | np.generic | None  # entries of a list that NumPy reads without help


def read_array(argument: str, value: Any, *, text: bool = False) -> Any:
    """Return the value as an array without changing any number in it."""
    if isinstance(value, jax.Array):
        check(not is_key(value), argument, "random keys", "numbers")
        deleted = not is_traced(value) and value.is_deleted()
        check(not deleted, argument, "a deleted array (donated?)", "an array that exists")
        return value
    array = _to_numpy(argument, value)
    if isinstance(array, np.ma.MaskedArray):
        masked = int(np.ma.count_masked(array))
        check(masked == 0, argument, f"{masked} masked entries", "none: fill them, with .filled(), or leave them out")
    if isinstance(array, jax.Array):
        return array
    array = np.asarray(array)
    if array.dtype.kind == "O":
        return _from_objects(argument, array, text=text)
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        array = array.astype(np.float64)
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _to_numpy(argument: str, value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic | bool | int | float | complex | str):
        return np.ma.asarray(value) if isinstance(value, np.ma.MaskedArray) else np.asarray(value)
    if isinstance(value, list | tuple | range) and not hasattr(value, "_fields"):
        return _from_sequence(argument, value)
    array = None
    if not isinstance(value, type):
        try:
            array = _convert(value)
        except Exception as error:  # a foreign conversion may raise anything
            array, name = None, type(error).__name__
            fail(argument, f"a {_name(value)} that cannot be read ({name})", "a NumPy or JAX array")
    if array is None:
        dense = [name for name in ("toarray", "to_dense") if hasattr(value, name)]
        remedy = f"a dense array: .{dense[0]}()" if dense else "an array of numbers"
        fail(argument, "a class" if isinstance(value, type) else _name(value), remedy)
    return array


def _convert(value: Any) -> Any:
    """Return an array from another library's object, None where it is no array."""
    if hasattr(value, "toarray") and hasattr(value, "nnz"):
        return None  # sparse: the user decides what becomes dense
    if all(hasattr(value, name) for name in ("detach", "cpu", "numpy", "is_sparse")):
        tensor = value.detach()
        if tensor.is_sparse:
            return None
        tensor = tensor.cpu()
        short = str(tensor.dtype).removeprefix("torch.")
        if short == "bfloat16" or short.startswith("float8"):  # NumPy lacks them; float32 holds them exactly
            tensor = tensor.float()
        return tensor.resolve_conj().resolve_neg().numpy()
    frames = sys.modules.get("pandas")
    if frames is not None and isinstance(value, frames.DataFrame):
        return np.stack([_column(value.iloc[:, place]) for place in range(value.shape[1])], axis=1)
    if frames is not None and isinstance(value, frames.Series | frames.Index):
        return _column(value)
    if hasattr(value, "__jax_array__"):
        return value.__jax_array__()
    if hasattr(value, "__array__"):
        return np.asarray(value)
    return jnp.from_dlpack(value) if hasattr(value, "__dlpack__") else None


def _column(series: Any) -> np.ndarray:
    """Return the entries of a pandas column; missing ones of its nullable types are None."""
    array = series.to_numpy(dtype=object, na_value=None) if series.isna().any() else series.to_numpy()
    return np.asarray(array)


def _from_sequence(argument: str, value: Any) -> Any:
    """Return an array from nested lists; their entries may be arrays of any library."""
    if isinstance(value, range) or all(isinstance(item, _PLAIN) for item in value):
        array = np.asarray(value, object if None in value else None)
        mixed = array.dtype.kind in "US" and not all(isinstance(item, str) for item in value)
        return np.array(value, object) if mixed else array
    parts = [read_array(f"{argument}[{place}]", item, text=True) for place, item in enumerate(value)]
    shapes = {part.shape for part in parts}
    check(len(shapes) == 1, argument, f"rows of shapes {sorted(shapes)[:3]}", "rows of one shape")
    if not is_traced(parts):
        return np.stack([np.asarray(part) for part in parts])
    widest = jax.dtypes.canonicalize_dtype(widest_dtype(parts))
    return jnp.stack([jnp.asarray(part, widest) for part in parts])


def _from_objects(argument: str, array: np.ndarray, *, text: bool) -> np.ndarray:
    """Return numbers from an array of Python objects that are all numbers or missing; labels may be text."""
    entries = array.ravel().tolist()
    for entry in entries:
        known = isinstance(entry, bool | int | float | np.number | np.bool_) or is_missing(entry, ())
        if not known and not (text and isinstance(entry, str)):
            fail(argument, f"{_name(entry)} entries ({str(entry)[:40]!r})", "numbers")
    if text and (any(isinstance(entry, str) for entry in entries) or any(is_missing(entry, ()) for entry in entries)):
        return array
    plain = [math.nan if is_missing(entry, ()) else entry for entry in entries]
    numbers = np.array(plain) if plain else np.zeros(0)
    check(numbers.dtype.kind != "O", argument, "integers beyond 64 bits", "integers of at most 64 bits")
    return numbers.reshape(array.shape)


def widest_dtype(arrays: Iterable[Any]) -> Any:
    """Return the dtype that holds the entries of all."""
    with jax.numpy_dtype_promotion("standard"):
        return functools.reduce(jnp.promote_types, (array.dtype for array in arrays))


def is_missing(entry: Any, missing: tuple[Any, ...]) -> bool:
    """Whether a label or number is None, NaN, pandas' NA or NaT, or one of the values given."""
    return entry is None or type(entry).__name__ in ("NAType", "NaTType") or entry != entry or entry in missing


def is_key(leaf: Any) -> bool:
    """Whether a leaf holds typed random keys."""
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _name(value: Any) -> str:
    kind = type(value)
    return "None" if value is None else "a function" if kind.__name__ == "function" else kind.__name__
