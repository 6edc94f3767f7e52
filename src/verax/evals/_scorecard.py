"""Levels of risk from indicators and thresholds, with how sure they are, and the gates that follow."""

import enum
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from verax import _special as special
from verax._errors import check, check_option
from verax._results import result

from ._interval import Interval


class Level(enum.IntEnum):
    """Level of risk."""

    LOW = 0
    MEDIUM = 1
    HIGH = 2
    CRITICAL = 3


@result()
class Indicator(NamedTuple):
    """A measured rate that points to a risk.

    Attributes
    ----------
    category
        Such as "cybersecurity".
    rate
        Scalar :class:`Interval`; larger is riskier.
    mitigated
        Whether it was measured on the model as it would be deployed.
    """

    category: str
    rate: Interval
    mitigated: bool = True


@result()
class Scorecard(NamedTuple):
    """Levels by indicator and category.

    Attributes
    ----------
    level, conservative : dict
        For each indicator the level of its estimate, and that of its upper limit.
    probability : dict
        For each indicator the probabilities of at least MEDIUM, HIGH and CRITICAL, from Jeffreys's distribution of its
        rate (a Beta distribution with the rate's own error): a rate of 0 in n units is no certainty of a rate of 0.
    category, category_pre_mitigation : dict
        Conservative level of each category, the largest of its indicators, with and without mitigations.
    overall, overall_pre_mitigation : Level
        Largest over categories.
    deployable : bool
        Every category at most MEDIUM with mitigations.
    developable : bool
        Every category at most HIGH with mitigations.
    """

    level: dict[str, Level]
    conservative: dict[str, Level]
    probability: dict[str, tuple[float, float, float]]
    category: dict[str, Level]
    category_pre_mitigation: dict[str, Level]
    overall: Level
    overall_pre_mitigation: Level
    deployable: bool
    developable: bool


def scorecard(
    indicators: Mapping[str, Indicator], *, thresholds: Mapping[str, Sequence[float]], decide_by: str = "upper_limit"
) -> Scorecard:
    """Turn measured rates into levels and gates.

    Parameters
    ----------
    indicators
        By name.
    thresholds
        For each name, three rates from which on the level is MEDIUM, HIGH, CRITICAL; ascending, ``inf`` for a level
        that this indicator cannot show.
    decide_by
        ``"upper_limit"`` (what the evaluation cannot rule out) or ``"estimate"``; for categories and gates.

    Returns
    -------
    Scorecard
        Without a measurement under mitigations a category takes the one without.

    Raises
    ------
    ValueError
        For thresholds that are missing or not ascending, rates outside [0, 1], or no indicator.

    Notes
    -----
    Evaluations are lower bounds on what a model can do: a level here is what was shown, not what is true.

    Examples
    --------
    >>> from verax.evals import Indicator, proportion, scorecard
    >>> card = scorecard(
    ...     {"tasks solved": Indicator("cybersecurity", proportion(3, 100))},
    ...     thresholds={"tasks solved": (0.05, 0.3, 0.8)},
    ... )
    >>> card.level["tasks solved"].name, card.conservative["tasks solved"].name, card.deployable
    ('LOW', 'MEDIUM', True)

    References
    ----------
    OpenAI (2023), Preparedness Framework (Beta), for the levels and gates.
    """
    check(len(indicators) > 0, "indicators", "none", "at least one")
    check_option("decide_by", decide_by, ("upper_limit", "estimate"))
    level, conservative, probability = {}, {}, {}
    for name, indicator in indicators.items():
        check(name in thresholds, "thresholds", f"none for {name!r}", "three rates for each indicator")
        edges = np.asarray(thresholds[name], float)
        sound = edges.shape == (3,) and not np.isnan(edges).any() and bool((np.diff(edges) >= 0).all())
        check(sound, "thresholds", f"{thresholds[name]} for {name!r}", "three ascending rates")
        estimate, upper = (float(np.asarray(value)) for value in (indicator.rate.estimate, indicator.rate.upper))
        inside = 0 <= estimate <= 1 and 0 <= upper <= 1
        check(inside, "indicators", f"{name!r} with estimate {estimate} and limit {upper}", "rates in [0, 1]")
        level[name] = Level(int((estimate >= edges).sum()))
        conservative[name] = Level(int((upper >= edges).sum()))
        probability[name] = _probabilities(indicator.rate, edges)
    chosen = conservative if decide_by == "upper_limit" else level

    def by_category(mitigated: bool) -> dict[str, Level]:
        found: dict[str, Level] = {}
        for category in dict.fromkeys(indicator.category for indicator in indicators.values()):
            own = {n: i.mitigated for n, i in indicators.items() if i.category == category}
            wanted = [n for n, m in own.items() if m == mitigated] or list(own)
            found[category] = max(chosen[n] for n in wanted)
        return found

    post, pre = by_category(True), by_category(False)
    overall = max(post.values())
    return Scorecard(
        level,
        conservative,
        probability,
        post,
        pre,
        overall,
        max(pre.values()),
        overall <= Level.MEDIUM,
        overall <= Level.HIGH,
    )


def _probabilities(rate: Interval, edges: np.ndarray) -> tuple[float, float, float]:
    """Probabilities that the rate is at least each edge.

    They rest on the number of independent trials with the rate's standard error; on that of units where no spread was
    seen.
    """
    p, error = float(np.asarray(rate.estimate)), float(np.asarray(rate.standard_error))
    trials = p * (1 - p) / error**2 if error > 0 else float(np.asarray(rate.num_units))
    above = special.betaincc(p * trials + 0.5, (1 - p) * trials + 0.5, np.clip(edges, 0, 1))
    above = np.where(edges <= 0, 1.0, np.where(edges > 1, 0.0, above))
    return float(above[0]), float(above[1]), float(above[2])
