"""Results on disk: arrays as npz without pickle, everything else as JSON."""

import json
import os
import pathlib
import tempfile
from typing import Any

import numpy as np

from ._errors import fail

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
        An instance of a class that supports it (`Spectrum`, `KernelRidge`, ...); its fields are arrays, numbers,
        strings, None, or tuples, lists and dictionaries of these.
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
    path = pathlib.Path(path)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".partial")
    try:
        with os.fdopen(descriptor, "wb") as file:
            np.savez(file, allow_pickle=False, header=np.array(header), **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        pathlib.Path(temporary).unlink(missing_ok=True)
        raise


def load(path: str | os.PathLike[str]) -> Any:
    """Read what ``save`` wrote; arrays come back as NumPy arrays.

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
        For a file that ``save`` did not write, or a class that is not known (import its room first).
    """
    with np.load(path, allow_pickle=False) as archive:
        if not isinstance(archive, np.lib.npyio.NpzFile) or "header" not in archive:
            fail("path", f"{os.fspath(path)}, which has no header", "a file written by verax's save")
        header = json.loads(str(archive["header"]))
        if header.get("format") != _FORMAT:
            fail("path", f"format {header.get('format')}", f"format {_FORMAT}")
        return _decode(header["tree"], archive)


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
    array = np.asarray(value) if hasattr(value, "__array__") else None
    if array is None or array.dtype.kind not in "biufcUS":
        fail(
            name,
            type(value).__name__,
            "arrays of numbers or strings, numbers, strings, None, tuples, dictionaries or known results",
        )
    arrays[name] = array
    return {"array": name}


def _decode(node: dict[str, Any], archive: Any) -> Any:
    if "value" in node:
        return node["value"]
    if "array" in node:
        return archive[node["array"]]
    if "dict" in node:
        return {key: _decode(item, archive) for key, item in node["dict"].items()}
    for kind in (tuple, list):
        if kind.__name__ in node:
            return kind(_decode(item, archive) for item in node[kind.__name__])
    if node["class"] not in _REGISTRY:
        fail("path", f"a {node['class']}", "one of " + ", ".join(sorted(_REGISTRY)) + " (import its room first)")
    return _REGISTRY[node["class"]](**{name: _decode(item, archive) for name, item in node["fields"].items()})


def _fields(cls: Any) -> tuple[str, ...]:
    names = cls._fields if hasattr(cls, "_fields") else tuple(cls.__dataclass_fields__)
    return tuple(name for name in names if name not in getattr(cls, "_not_saved", ()))
