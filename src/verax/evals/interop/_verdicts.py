"""Verdicts from the values that logs hold: letters, words, booleans, numbers."""

import math
import numbers
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from verax._errors import fail
from verax.evals._table import Outcome

Verdicts = Mapping[Any, Any] | Callable[[Any], Any]
"""From a value to an :class:`Outcome`: a mapping, or a function that returns None for a value without a verdict."""

_NAMED = {outcome.name: outcome for outcome in Outcome}
_LETTERS = {"C": Outcome.GOOD, "I": Outcome.BAD, "N": Outcome.BAD, "P": Outcome.UNCLEAR}
_WORDS = {
    "true": Outcome.GOOD,
    "yes": Outcome.GOOD,
    "correct": Outcome.GOOD,
    "pass": Outcome.GOOD,
    "false": Outcome.BAD,
    "no": Outcome.BAD,
    "incorrect": Outcome.BAD,
    "wrong": Outcome.BAD,
    "fail": Outcome.BAD,
}


def is_missing(value: Any) -> bool:
    """Whether a value is one of those that tools write where there is none: None, NaN, an empty cell."""
    if value is None:
        return True
    if isinstance(value, str):
        return value.strip().lower() in ("", "nan", "null", "none", "n/a")
    return (isinstance(value, numbers.Real) and math.isnan(float(value))) or type(value).__name__ in (
        "NAType",
        "NaTType",
    )


def as_number(value: Any) -> float | None:
    """The number that a value or its text is, or None."""
    if isinstance(value, numbers.Real | np.bool_):
        return float(value)
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return None
    return None


def is_graded(value: Any) -> bool:
    """Whether a value is a number strictly between 0 and 1: a grade, which is no verdict by itself."""
    number = None if is_missing(value) else as_number(value)
    return number is not None and 0 < number < 1


def verdict_of(value: Any, mapping: Verdicts | None, where: str, argument: str) -> Outcome:
    """The outcome that a value stands for, by ``mapping`` or by the conventions of the tools."""
    if isinstance(value, list | dict):
        fail(argument, f"{where}: value {_shown(value)}", "a single value, or a mapping= that is a function")
    if callable(mapping):
        found = mapping(value)
        return Outcome.MISSING if found is None else _as_outcome(found, value, where)
    if mapping is not None:
        for key, found in mapping.items():
            if _equal(key, value):
                return _as_outcome(found, value, where)
        if is_missing(value):
            return Outcome.MISSING
        fail(argument, f"{where}: value {_shown(value)}", f"one of {list(mapping)}, or a mapping= that holds it")
    if is_missing(value):
        return Outcome.MISSING
    number = as_number(value)
    if number in (0.0, 1.0):
        return Outcome.GOOD if number else Outcome.BAD
    text = value.strip() if isinstance(value, str) else ""
    found = _LETTERS.get(text, _NAMED.get(text.upper(), _WORDS.get(text.lower())))
    known = "C, I, P, N, 1, 0, true, false, yes, no, GOOD, BAD, UNCLEAR, MISSING"
    if found is None:
        fail(argument, f"{where}: value {_shown(value)}", f"one of {known}, or a mapping= that holds it")
    return found


def _as_outcome(found: Any, value: Any, where: str) -> Outcome:
    try:
        return _NAMED[found.upper()] if isinstance(found, str) else Outcome(int(found))
    except (KeyError, TypeError, ValueError):
        fail("mapping", f"{found!r} for value {_shown(value)} ({where})", f"one of {list(_NAMED)}")


def _equal(key: Any, value: Any) -> bool:
    """Whether a key of a mapping means a value: NaN is NaN, and the text of a number or letter is that."""
    if is_missing(key) or is_missing(value):
        return is_missing(key) and is_missing(value)
    one, two = as_number(key), as_number(value)
    if one is not None and two is not None:
        return one == two
    return str(key) == str(value)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
