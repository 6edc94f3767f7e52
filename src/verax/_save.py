"""Results on disk: arrays as npz without pickle, everything else as JSON."""

import json
import os
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ._array_likes import is_key
from ._errors import check, fail
from ._files import parse_json, read_archive, write_file

_REGISTRY: dict[str, type] = {}
_FORMAT = 1


def register(*classes: type) -> None:
    """Let ``save`` and ``load`` handle these classes (NamedTuples or dataclasses), known by their names."""
    for cls in classes:
        other = _REGISTRY.setdefault(cls.__name__, cls)
        if other is not cls:
            fail("classes", f"a second class named {cls.__name__}", "distinct names")


def save(result: Any, path: str | os.PathLike[str]) -> None:
    """Write a result to exactly this path, atomically: a reader sees the old file or the new one.

    Parameters
    ----------
    result
        An instance of a class that supports it (a spectrum, a ridge fit, a partition, ...); its fields are arrays,
        numbers, strings, None, or tuples, lists and dictionaries of these.
    path
        File name; by convention it ends in ``.npz``.

    Raises
    ------
    ValueError
        For a class that is not known, or a field that cannot be stored.

    Examples
    --------
    >>> import tempfile, pathlib, numpy as np, verax.spectral as vs
    >>> model = vs.kernel_ridge_fit(np.eye(3), np.arange(3.0), 0.1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     vs.save(model, pathlib.Path(folder) / "model.npz")
    ...     again = vs.load(pathlib.Path(folder) / "model.npz")
    >>> bool(np.array_equal(again.dual_coefficients, model.dual_coefficients))
    True
    """
    if type(result).__name__ not in _REGISTRY or _REGISTRY[type(result).__name__] is not type(result):
        fail("result", type(result).__name__, "an instance of one of " + ", ".join(sorted(_REGISTRY)))
    arrays: dict[str, np.ndarray] = {}
    tree = _encode(result, arrays, "result")
    header = json.dumps({"format": _FORMAT, "tree": tree})
    write_file(path, lambda file: np.savez(file, allow_pickle=False, header=np.array(header), **arrays))


def load(path: str | os.PathLike[str]) -> Any:
    """Read a result that was saved; arrays come back as NumPy arrays.

    Parameters
    ----------
    path
        File name.

    Returns
    -------
    The result, of the class it was saved from.

    Raises
    ------
    ValueError
        For a file that ``save`` did not write, that is damaged, or whose class is not known (import its package first).
    FileNotFoundError
        If there is no such file.
    """
    arrays = read_archive("path", path)
    place, need = os.fspath(path), "a file written by verax's save"
    check("header" in arrays, "path", f"{place}, which has no header", need)
    header = parse_json("path", f"{place}, header", str(arrays["header"]))
    found = header.get("format") if isinstance(header, dict) else None
    check(found == _FORMAT, "path", f"{place} of format {found!r}", f"format {_FORMAT}")
    unknown = sorted(_classes(header.get("tree")) - set(_REGISTRY))
    known = ", ".join(sorted(_REGISTRY))
    check(not unknown, "path", f"{place}, a {', '.join(unknown)}", f"one of {known} (import its package first)")
    value = reason = None
    try:
        value = _decode(header["tree"], arrays)
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        reason = error  # a structure that save does not write
    check(reason is None, "path", f"{place}, whose structure is damaged ({type(reason).__name__})", need)
    return value


def _encode(value: Any, arrays: dict[str, np.ndarray], name: str) -> dict[str, Any]:
    if value is None or isinstance(value, bool | int | float | str):
        return {"value": value}
    cls = type(value).__name__
    if _REGISTRY.get(cls) is type(value):
        return {
            "class": cls,
            "fields": {f: _encode(getattr(value, f), arrays, f"{name}.{f}") for f in _fields(type(value))},
        }
    if type(value) in (tuple, list):
        return {type(value).__name__: [_encode(item, arrays, f"{name}.{i}") for i, item in enumerate(value)]}
    if type(value) is dict and all(isinstance(key, str) for key in value):
        return {"dict": {key: _encode(item, arrays, f"{name}.{key}") for key, item in value.items()}}
    if isinstance(value, jax.Array) and is_key(value):
        arrays[name] = np.asarray(jax.random.key_data(value))
        return {"array": name, "key": str(jax.random.key_impl(value))}
    array = np.asarray(value) if hasattr(value, "__array__") else None
    if array is not None and array.dtype.kind == "V" and jnp.issubdtype(array.dtype, jnp.floating):
        arrays[name] = array.view(f"u{array.dtype.itemsize}")  # NumPy's format does not know bfloat16 and its like
        return {"array": name, "dtype": array.dtype.name}
    if array is None or array.dtype.kind not in "biufcUS":
        fail(
            name,
            type(value).__name__,
            "arrays of numbers or strings, numbers, strings, None, tuples, dictionaries or known results",
        )
    arrays[name] = array
    return {"array": name}


def _decode(node: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Any:
    if "value" in node:
        return node["value"]
    if "key" in node:
        return jax.random.wrap_key_data(jnp.asarray(arrays[node["array"]]), impl=node["key"])
    if "array" in node:
        array = arrays[node["array"]]
        return array.view(jnp.dtype(node["dtype"])) if "dtype" in node else array
    if "dict" in node:
        return {key: _decode(item, arrays) for key, item in node["dict"].items()}
    for kind in (tuple, list):
        if kind.__name__ in node:
            return kind(_decode(item, arrays) for item in node[kind.__name__])
    return _REGISTRY[node["class"]](**{name: _decode(item, arrays) for name, item in node["fields"].items()})


def _classes(tree: Any) -> set[str]:
    """Return the names of all classes in a stored structure."""
    found, waiting = set(), [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            found |= {str(node["class"])} if "class" in node and "fields" in node else set()
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node
    return found


def _fields(cls: Any) -> tuple[str, ...]:
    names = cls._fields if hasattr(cls, "_fields") else tuple(cls.__dataclass_fields__)
    return tuple(name for name in names if name not in getattr(cls, "_not_saved", ()))
