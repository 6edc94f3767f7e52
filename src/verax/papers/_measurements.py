"""Measurements of a paper as rows of one readable JSON file, from which an interrupted run resumes."""

import json
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from verax._digest import digest, versions
from verax._errors import fail
from verax._files import read_json, write_file

_FORMAT = 1
_FIELDS = ("labels", "identity", "figures")
_DIGITS = 8
"""Significant digits kept of a number."""


class Measurements:
    """Rows of figures, each under its labels and a digest of all that it was computed from.

    Parameters
    ----------
    stem
        The JSON file without its ending; it is read at the start and written after every new row. None keeps the rows
        in memory.

    Notes
    -----
    A row is ``{"labels": {...}, "identity": ..., "figures": {...}}``. Labels (setting, method, seed) are for the
    reader; the identity decides whether a row answers a request. Numbers keep eight significant digits, in a run that
    computes them too, so that a resumed run reports the same.
    """

    def __init__(self, stem: str | pathlib.Path | None):
        self._path = None if stem is None else pathlib.Path(f"{stem}.json")
        self._rows: dict[str, dict[str, Any]] = {} if self._path is None else _read(self._path)
        self.computed = 0
        self.read = 0

    def get(
        self,
        labels: Mapping[str, str | int | float],
        inputs: list[Any],
        compute: Callable[[], Mapping[str, np.ndarray]],
    ) -> dict[str, np.ndarray]:
        """Return the figures kept for these labels and inputs, or compute and keep them.

        The labels name the computation and its version: one that computes something else needs another name.
        """
        identity = row_identity(labels, inputs)
        if identity in self._rows:
            self.read += 1
        else:
            figures = {name: _to_json(np.asarray(value)) for name, value in compute().items()}
            self._rows[identity] = {"labels": dict(labels), "identity": identity, "figures": figures}
            self.computed += 1
            if self._path is not None:
                self._rows = {**_read(self._path), **self._rows}  # another process may have added rows
                _write(self._path, self._rows)
        return {name: _from_json(value) for name, value in self._rows[identity]["figures"].items()}


def row_identity(labels: Mapping[str, Any], inputs: list[Any]) -> str:
    """Digest of a row's labels and inputs, and of the library's version."""
    return digest(versions()["verax"], dict(labels), *inputs)[:32]


def _read(path: pathlib.Path) -> dict[str, dict[str, Any]]:
    if not path.exists():
        return {}
    document = read_json("cache", path)
    try:
        found = document["format"]
        rows = {row["identity"]: {name: row[name] for name in _FIELDS} for row in document["rows"]}
    except (TypeError, KeyError, AttributeError):
        fail("cache", f"{path}, which is damaged", "a file of measurements that a run wrote, or none")
    if found != _FORMAT:
        fail("cache", f"{path} of format {found!r}", f"format {_FORMAT}")
    return rows


def _write(path: pathlib.Path, rows: Mapping[str, Mapping[str, Any]]) -> None:
    """One row per line, sorted by labels, so that files compare line by line; renamed into place."""
    lines = sorted(json.dumps(row, ensure_ascii=False, allow_nan=False) for row in rows.values())
    text = f'{{"format": {_FORMAT}, "rows": [\n' + ",\n".join(lines) + "\n]}\n"
    write_file(path, lambda file: file.write(text.encode()))


def _to_json(array: np.ndarray) -> Any:
    """Nested lists; numbers to eight digits, and words for what JSON has no number for."""
    if array.dtype.kind == "f":
        flat = [_number(value) for value in array.ravel().tolist()]
        return _nested(flat, array.shape)
    return array.tolist()


def _number(value: float) -> float | str:
    return float(f"{value:.{_DIGITS}g}") if np.isfinite(value) else str(value)


def _nested(flat: list[Any], shape: tuple[int, ...]) -> Any:
    if not shape:
        return flat[0]
    step = len(flat) // shape[0] if shape[0] else 0
    return [_nested(flat[i * step : (i + 1) * step], shape[1:]) for i in range(shape[0])]


def _from_json(value: Any) -> np.ndarray:
    flat = np.asarray(value)
    if flat.dtype.kind == "U" and set(flat.ravel().tolist()) & {"nan", "inf", "-inf"}:
        return np.asarray(value, dtype=object).astype(np.float64)
    return flat
