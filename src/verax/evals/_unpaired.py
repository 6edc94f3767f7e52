"""Two models on different prompts: the difference of independent rates."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from verax._errors import check, is_traced
from verax._results import raise_if_failed, result
from verax._types import AnyArray

from ._interval import SENTENCES, Interval
from ._numeric import take_level
from ._rate import rate
from ._sentences import pair_sentence
from ._table import Outcome, OutcomeTable
from ._units import as_outcome

_ERRORS = 10.0 ** -np.arange(0.05, 12, 0.15)  # from .89 to 1e-12


@result(SENTENCES)
class UnpairedResult(NamedTuple):
    """Differences ``model_a - model_b`` of independent rates, one per attack.

    Attributes
    ----------
    model_names, attack_names : tuple of str
        Names of the two models, and of the attacks.
    outcome : Outcome or "score"
        The rate that was compared.
    level : float
        Coverage of the limits.
    estimate : [attack, 2]
        Rates of the two models.
    difference, lower, upper : [attack]
        Difference of the rates and its limits.
    p_value : [attack]
        Smallest error at which the limits exclude 0.
    num_units : [attack, 2]
        Prompts, or clusters of them, of each model.
    status : [attack]
        A :class:`Status`.
    """

    model_names: tuple[str, ...]
    attack_names: tuple[str, ...]
    outcome: Any
    level: float
    estimate: Float[AnyArray, "a 2"]
    difference: Float[AnyArray, "a"]
    lower: Float[AnyArray, "a"]
    upper: Float[AnyArray, "a"]
    p_value: Float[AnyArray, "a"]
    num_units: Int[AnyArray, "a 2"]
    status: Int[AnyArray, "a"]
    raise_if_failed = raise_if_failed

    def sentences(self) -> list[str]:
        """The comparison in one sentence per attack."""
        found = []
        for a, attack in enumerate(self.attack_names):
            worse = self.difference[a] > 0 if self.outcome == Outcome.BAD else self.difference[a] < 0
            limits = (self.difference[a], self.lower[a], self.upper[a])
            (i, j), limits = ((1, 0), (-limits[0], -limits[2], -limits[1])) if worse else ((0, 1), limits)
            head = f"{attack}: " if len(self.attack_names) > 1 else ""
            found.append(
                head
                + pair_sentence(
                    (self.model_names[i], self.model_names[j]),
                    (self.estimate[a, i], self.estimate[a, j]),
                    limits,
                    self.p_value[a],
                    outcome=self.outcome,
                    level=self.level,
                    detectable=None,
                    basis=f"{self.num_units[a, i]} and {self.num_units[a, j]} prompts, unpaired",
                )
            )
        return found


def unpaired_difference(
    table_a: OutcomeTable,
    table_b: OutcomeTable,
    *,
    model_a: int | str = 0,
    model_b: int | str = 0,
    outcome: Outcome | str = Outcome.BAD,
    level: float = 0.95,
) -> UnpairedResult:
    r"""Difference of two models' rates on prompts that need not be the same.

    .. math:: \hat p_a - \hat p_b - \sqrt{(\hat p_a - l_a)^2 + (u_b - \hat p_b)^2}, \qquad
        \hat p_a - \hat p_b + \sqrt{(u_a - \hat p_a)^2 + (\hat p_b - l_b)^2}

    with each rate's own limits :math:`[l, u]`, as :func:`rate` gives them. Where the models answered the same prompts,
    :func:`paired_difference` is the sharper comparison.

    Parameters
    ----------
    table_a, table_b
        Verdicts with the same attacks in the same order.
    model_a, model_b
        Names or indices, one of each table.
    outcome
        GOOD, BAD or ``"score"``, as for :func:`rate`.
    level
        Coverage of the limits, in (0, 1).

    Returns
    -------
    UnpairedResult

    Raises
    ------
    ValueError
        For tables with other attacks, or a model that is not in its table.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.evals import OutcomeTable, unpaired_difference
    >>> first, second = (OutcomeTable((np.arange(100) < hits).reshape(1, 1, 100, 1) * 1) for hits in (30, 12))
    >>> found = unpaired_difference(first, second)
    >>> print(found.difference.round(2), found.lower.round(3), found.upper.round(3), found.p_value.round(4))
    [0.18] [0.061] [0.295] [0.0025]

    References
    ----------
    Newcombe (1998), Interval estimation for the difference between independent proportions, method 10, here with the
    limits of :func:`rate` for the parts.
    """
    level = take_level(level)
    check(not is_traced((table_a, table_b)), "table_a", "traced verdicts", "concrete ones: this runs on the host")
    tables = (table_a, table_b)
    names = [table.attack_names or tuple(map(str, range(table.labels.shape[1]))) for table in tables]
    check(names[0] == names[1], "table_b", f"attacks {list(names[1])}", f"those of table_a: {list(names[0])}")
    chosen = [
        int(table.models(model, argument=argument)[0])
        for table, model, argument in zip(tables, (model_a, model_b), ("model_a", "model_b"), strict=True)
    ]

    def limits(level: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[Interval, Interval]]:
        a, b = (rate(table, outcome=outcome, level=level) for table in tables)
        p, q = a.estimate[chosen[0]], b.estimate[chosen[1]]
        down = np.hypot(p - a.lower[chosen[0]], b.upper[chosen[1]] - q)
        up = np.hypot(a.upper[chosen[0]] - p, q - b.lower[chosen[1]])
        gap = np.asarray(p - q)
        return gap, np.asarray(gap - down), np.asarray(gap + up), (a, b)

    difference, lower, upper, (a, b) = limits(level)
    p = _crossing(limits)
    status = np.maximum(a.status[chosen[0]], b.status[chosen[1]])
    units = np.stack([a.num_units[chosen[0]], b.num_units[chosen[1]]], axis=-1)
    sound = status == 0
    models = [
        table.model_names[place] if table.model_names else f"model {letter}"
        for table, place, letter in zip(tables, chosen, "ab", strict=True)
    ]
    return UnpairedResult(
        tuple(models),
        tuple(names[0]),
        as_outcome(outcome),
        level,
        np.stack([a.estimate[chosen[0]], b.estimate[chosen[1]]], axis=-1),
        difference,
        np.where(sound, np.clip(lower, -1, 1), -1.0),
        np.where(sound, np.clip(upper, -1, 1), 1.0),
        np.where(sound & (difference != 0), p, 1.0),
        units,
        status,
    )


def _crossing(limits: Callable[[float], tuple[Any, ...]]) -> np.ndarray:
    """Smallest error at which the limits exclude 0: between two of a grid, by interpolation in its logarithm."""
    margins = []
    for error in _ERRORS:
        _, lower, upper = limits(1 - error)[:3]
        margins.append(np.maximum(lower, -upper))  # positive where 0 is excluded
    margin = np.array(margins)
    outside = margin > 0
    last = np.maximum(outside.cumprod(0).sum(0) - 1, 0)  # errors fall along the grid, and limits widen
    following = np.minimum(last + 1, len(_ERRORS) - 1)
    columns = np.arange(margin.shape[1])
    here, there = margin[last, columns], margin[following, columns]
    share = np.where(here > there, here / np.where(here > there, here - there, 1), 1.0)
    logs = np.log(_ERRORS)
    p = np.exp(logs[last] + np.clip(share, 0, 1) * (logs[following] - logs[last]))
    return np.where(outside[0], p, 1.0)
