"""Criteria by limits of Student's t over seeds: a claim passes if the data show it, not if they fail to refute it.

Of a number without a standard error, which is exact or a single run, only an exact one (no seeds) can pass.
"""

import functools

from scipy import special

from verax.report import Criterion

LEVEL = 0.95


@functools.cache
def t_quantile(num_seeds: int, level: float = LEVEL) -> float:
    """One-sided quantile of Student's t with ``num_seeds - 1`` degrees of freedom."""
    return float(special.stdtrit(num_seeds - 1, level))


def _margin(standard_error: float | None, seeds: int) -> float:
    """Distance from the mean to its one-sided limit: 0 for an exact number, infinite for a single seed."""
    if standard_error is None or seeds < 2:
        return 0.0 if seeds == 0 else float("inf")
    return t_quantile(seeds) * standard_error


def above(limit: float, quantity: str = "", *, when_met: str = "reproduced") -> Criterion:
    """Shown to be above the limit: the lower 95 % limit over seeds exceeds it."""
    return Criterion(
        f"{_named(quantity)}above {limit:g}: lower 95 % t limit over seeds",
        lambda m, se, seeds: m - _margin(se, seeds) > limit,
        when_met,
    )


def below(limit: float, quantity: str = "", *, when_met: str = "reproduced") -> Criterion:
    """Shown to be below the limit: the upper 95 % limit over seeds is less."""
    return Criterion(
        f"{_named(quantity)}below {limit:g}: upper 95 % t limit over seeds",
        lambda m, se, seeds: m + _margin(se, seeds) < limit,
        when_met,
    )


def within(margin: float, of: float = 0.0, quantity: str = "", *, when_met: str = "reproduced") -> Criterion:
    """Shown to differ from a value by less than the margin: two one-sided tests at 5 %, an equivalence test."""
    return Criterion(
        f"{_named(quantity)}within {margin:g} of {of:g}: equivalence by two one-sided t tests at 5 %",
        lambda m, se, seeds: abs(m - of) + _margin(se, seeds) < margin,
        when_met,
    )


def _named(quantity: str) -> str:
    return f"{quantity} " if quantity else ""
