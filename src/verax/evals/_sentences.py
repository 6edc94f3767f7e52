"""Comparisons in words."""

from typing import Any

import numpy as np

from ._table import Outcome
from ._units import as_outcome

_WORDS = {Outcome.GOOD: "correct", Outcome.BAD: "BAD", "score": "mean score"}


def pair_sentence(
    names: tuple[str, str],
    rates: tuple[Any, Any],
    limits: tuple[Any, Any, Any],
    p_value: Any,
    *,
    outcome: Outcome | str,
    level: float,
    basis: str,
    detectable: Any,
) -> str:
    """The comparison of a model with a worse one; ``limits`` are a difference with its limits. Numbers may be arrays.

    It is called better where the limits exclude 0 and the p-value is below ``1 - level``.
    """
    if np.isnan(limits[0]):
        return f"cannot tell {names[0]} from {names[1]}: no prompt on which both have a verdict"
    outcome = as_outcome(outcome)
    word = _WORDS[outcome]
    if outcome == "score":
        shown = f"{word} {rates[0]:.3f} against {rates[1]:.3f}, {limits[0]:+.3f} [{limits[1]:.3f}, {limits[2]:.3f}]"
        least = "" if detectable is None else f"; a difference of {float(detectable):.3f} would show"
        verb = "scores higher than"
    else:
        percent = [f"{100 * float(value):.1f}" for value in (*rates, *limits[1:])]
        shown = f"{percent[0]} % against {percent[1]} % {word}, {100 * float(limits[0]):+.1f} points"
        shown += f" [{percent[2]}, {percent[3]}]"
        least = "" if detectable is None else f"; a difference of {100 * float(detectable):.1f} points would show"
        verb = "is better than"
    tail = f"{shown}, {p_text(p_value)}, {basis}"
    if (limits[1] > 0 or limits[2] < 0) and p_value < 1 - level:
        return f"{names[0]} {verb} {names[1]}: {tail}"
    return f"cannot tell {names[0]} from {names[1]}: {tail}{least}"


def p_text(p: float) -> str:
    """A p-value to two digits, without a leading zero: "p = .031", "p < .0001"."""
    p = float(p)
    if p < 1e-4:
        return "p < .0001"
    if p >= 0.995:
        return "p = 1"
    digits = 2 if p >= 0.095 else 3 if p >= 0.00095 else 4
    return f"p = {p:.{digits}f}".replace("0.", ".", 1)
