"""The frontier of deterministic policies at every price, with a proof in rational arithmetic."""

import dataclasses
import math
from fractions import Fraction

from verax._arrays import to_number
from verax._errors import check
from verax._results import result
from verax.online._arguments import check_price


@result()
@dataclasses.dataclass(frozen=True)
class DeterministicFrontier:
    """The most consistent deterministic policy of a robustness.

    Attributes
    ----------
    buy_cost
        Price ``b`` in days of rent.
    cap
        The robustness that was asked for.
    day
        Day at whose start the policy buys when the season is predicted to be long.
    robustness
        Its largest ratio of cost to optimum over all seasons, at most the cap.
    consistency
        Its ratio where the season is long as predicted.
    """

    buy_cost: float
    cap: float
    day: int
    robustness: float
    consistency: float

    def verify(self) -> float:
        """Prove in rational arithmetic that every policy that buys earlier exceeds the cap.

        Returns
        -------
        float
            By how much the best of them exceeds it, on a season that ends on the day on which it buys; infinite where
            no day is earlier. Buying later is less consistent.

        Raises
        ------
        ValueError
            If an earlier day keeps the cap, or this day does not.
        """
        price, cap = Fraction(check_price(self.buy_cost)), Fraction(to_number("cap", self.cap, "[1, inf)"))
        keeps = _largest_ratio(self.day, price) <= cap * (1 + _ROUNDING)
        check(keeps, "day", self.day, f"a day whose largest ratio is at most {self.cap}")
        earlier = [_largest_ratio(day, price) for day in range(1, self.day)]
        if not earlier:
            return math.inf
        best = min(earlier)
        check(best > cap, "day", self.day, f"{1 + earlier.index(best)}, which keeps the cap too")
        return float(best - cap)


_ROUNDING = Fraction(1, 10**12)  # of a cap that is meant to be attained exactly


def deterministic_frontier(robustness: float, buy_cost: float) -> DeterministicFrontier:
    r"""Smallest consistency of deterministic policies of a given robustness.

    .. math:: \gamma_j = \frac{j - 1 + b}{\min(j, b)}, \qquad \beta_j = \frac{j - 1 + b}{b}

    for buying at the start of day j, whose worst season ends on that day.

    Parameters
    ----------
    robustness
        At least the smallest that a deterministic policy attains, ``2 - 1/b`` at a whole price.
    buy_cost
        Price ``b`` in days of rent, a positive number.

    Returns
    -------
    DeterministicFrontier
        The policy; its ``verify`` method proves that no deterministic one is more consistent.

    Raises
    ------
    ValueError
        For a robustness that no deterministic policy attains; the message gives the least there is.

    Notes
    -----
    Up to day ``b`` the robustness falls and the consistency rises, so that the earliest day within the cap is the most
    consistent. In the limit of large prices ``gamma = 1 + 1/lam`` and ``beta = 1 + lam``, buying on day ``lam b``: the
    policies of :func:`buy_day` are the whole frontier. Randomized policies do better
    (:func:`consistency_lower_bound`).

    Examples
    --------
    >>> from verax.online.ski_rental import deterministic_frontier
    >>> best = deterministic_frontier(3.0, 10)
    >>> best.day, best.robustness, best.consistency, round(best.verify(), 3)
    (5, 2.8, 1.4, 0.25)

    References
    ----------
    Purohit, Svitkina, Kumar (2018), Improving online algorithms via ML predictions, Algorithm 2.
    """
    price = Fraction(check_price(buy_cost))
    cap = to_number("robustness", robustness, "[1, inf)")
    days = range(1, max(1, math.ceil(price)) + 1)
    ratios = [_largest_ratio(day, price) for day in days]
    day = next((day for day, ratio in zip(days, ratios, strict=True) if ratio <= Fraction(cap) * (1 + _ROUNDING)), 0)
    need = f"at least {float(min(ratios)):.10g}, the smallest that a deterministic policy attains"
    check(day > 0, "robustness", robustness, need)
    consistency = (day - 1 + price) / price
    return DeterministicFrontier(float(price), cap, day, float(ratios[day - 1]), float(consistency))


def _largest_ratio(day: int, price: Fraction) -> Fraction:
    """Ratio of cost to optimum in the season that ends on the day on which the policy buys."""
    return (day - 1 + price) / min(Fraction(day), price)
