"""Mechanisms of all results: a readable text, and an exception for callers who ask for one.

A package keeps one sentence per failed status beside its ``Status``; its results name the table and the method::

    SENTENCES = {Status.INFEASIBLE: "no perfect matching avoids the forbidden pairs: allow_unmatched=True leaves some"}

    @result(SENTENCES)
    class Assignment(NamedTuple):
        value: Float[AnyArray, "*b"]
        status: Int[AnyArray, "*b"]
        raise_if_failed = raise_if_failed

``@result()`` serves classes without a status. Both work on named tuples and dataclasses.
"""

import dataclasses
import enum
import html
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import jax
import numpy as np

from ._errors import fail, is_traced

T = TypeVar("T")

_WIDTH = 100  # of a text on one line
_SHOWN = 6  # entries of an array that are written out
_READ = 100_000  # entries of which the range is looked for


def result(sentences: Mapping[Any, str] | None = None) -> Callable[[type[T]], type[T]]:
    """Give a class its text for terminals and notebooks, and the sentences of its statuses.

    Parameters
    ----------
    sentences
        What each status but 0 means and what to do about it, by the members of the package's ``Status``.
    """

    def decorate(cls: Any) -> Any:
        cls.__repr__ = _text
        cls._repr_html_ = _table
        if sentences is not None:
            if getattr(cls, "raise_if_failed", None) is not raise_if_failed:
                raise TypeError(f"{cls.__name__} has statuses, so its body needs: raise_if_failed = raise_if_failed")
            cls._sentences = dict(sentences)
        return cls

    return decorate


def raise_if_failed(self: T) -> T:
    """Return the result if every status is OK.

    Raises
    ------
    ValueError
        With the first status that is not OK, how many there are, and what it means. Also for a traced status: call it
        on what a compiled function returns.
    """
    this: Any = self
    name, status = f"{type(self).__name__}.status", this.status
    if is_traced(status):
        fail(name, "a traced value", "a concrete one: call raise_if_failed outside jit, vmap and grad")
    codes = np.asarray(status)
    places = np.argwhere(codes != 0)
    if len(places):
        first = int(codes[tuple(places[0])])
        sentence = {int(key): sentence for key, sentence in this._sentences.items()}.get(first, "a failure")
        where = f" for {len(places)} of {codes.size}, the first at {places[0].tolist()}" if codes.ndim else ""
        fail(name, f"{_status_name(this, first)}{where} ({sentence})", "OK")
    return self


def _text(self: Any) -> str:
    parts = [f"{name}={text}" for name, text in _shown(self)]
    line = f"{type(self).__name__}({', '.join(parts)})"
    if len(line) <= _WIDTH and "\n" not in line:
        return line
    return "\n    ".join([f"{type(self).__name__}(", *(f"{part},".replace("\n", "\n    ") for part in parts)]) + "\n)"


def _table(self: Any) -> str:
    rows = "".join(
        f"<tr><th style='text-align:left'>{html.escape(name)}</th>"
        f"<td style='text-align:left'><pre style='margin:0'>{html.escape(text)}</pre></td></tr>"
        for name, text in _shown(self)
    )
    return f"<table><caption>{html.escape(type(self).__name__)}</caption>{rows}</table>"


def _shown(self: Any) -> Iterator[tuple[str, str]]:
    """Fields that hold something, the status first."""
    fields = getattr(self, "_fields", None) or [field.name for field in dataclasses.fields(self) if field.repr]
    for name in sorted(fields, key=lambda name: name != "status"):
        value = getattr(self, name)
        if value is not None:
            yield name, _statuses(self, value) if name == "status" else _value(value)


def _statuses(self: Any, status: Any) -> str:
    if isinstance(status, enum.Enum):
        return status.name
    if is_traced(status) or not hasattr(self, "_sentences"):
        return _value(status)
    codes, counts = np.unique(np.asarray(status), return_counts=True)
    names = [_status_name(self, int(code)) for code in codes]
    if np.ndim(status) == 0:
        return names[0]
    return ", ".join(f"{name} {count}" for name, count in zip(names, counts, strict=True)) or "none"


def _status_name(self: Any, code: int) -> str:
    kind = type(next(iter(self._sentences), None))
    return kind(code).name if issubclass(kind, enum.Enum) and code in kind._value2member_map_ else str(code)


def _value(value: Any) -> str:
    """Return a value in short: numbers to six digits, arrays by dtype, shape and range."""
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, float | np.floating):
        return f"{value:.6g}"
    if isinstance(value, jax.Array | np.ndarray):
        return _array(value)
    if isinstance(value, tuple | list) and not hasattr(value, "_fields") and len(value) > _SHOWN:
        return f"{type(value).__name__} of {len(value)}"
    if isinstance(value, dict) and len(value) > _SHOWN:
        return f"dict of {len(value)}"
    return repr(value)


def _array(array: Any) -> str:
    kind = f"{array.dtype}[{', '.join(map(str, array.shape))}]"
    if is_traced(array):
        return f"{kind} traced"
    if array.size > _READ or not (array.dtype.kind in "biuf" or array.dtype.name in ("bfloat16", "float16")):
        return kind
    values = np.asarray(array)
    values = values if values.dtype.kind in "biuf" else values.astype(np.float32)
    if array.ndim == 0:
        return _value(values.item())
    if array.ndim == 1 and array.size <= _SHOWN:
        return f"[{', '.join(_value(entry) for entry in values.tolist())}]"
    if values.dtype.kind == "b":
        return f"{kind}, {int(values.sum())} True"
    finite = values[np.isfinite(values)]
    span = f" in [{_value(finite.min().item())}, {_value(finite.max().item())}]" if finite.size else ""
    missing = int(np.isnan(values).sum()) if values.dtype.kind == "f" else 0
    return f"{kind}{span}" + (f", {missing} NaN" if missing else "")
