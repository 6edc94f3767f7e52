"""The best day to buy, learned from past seasons."""

import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Int

from verax._arrays import to_host
from verax._errors import check, check_integer, is_traced
from verax._results import result
from verax._types import AnyArray
from verax.online._arguments import check_buy_cost, check_range

_MOST_DAYS = 10_000_000


@result()
class Threshold(NamedTuple):
    """An empirical minimiser.

    Attributes
    ----------
    day : scalar int
        Buy at its start.
    cost : scalar
        Mean cost of that on the samples.
    costs : [d]
        Mean cost of buying at the start of day 1, 2, ...
    error : scalar
        With probability ``level`` all entries of ``costs`` are within this of their expectation, at once.
    robustness : scalar
        Worst ratio of buying on ``day``, whatever the season.
    """

    day: Int[Array, ""]
    cost: Float[Array, ""]
    costs: Float[Array, "d"]
    error: Float[Array, ""]
    robustness: Float[Array, ""]


def empirical_risk_threshold(
    num_days: Int[AnyArray, "n"], buy_cost: int, *, robustness: float = math.inf, level: float = 0.95
) -> Threshold:
    r"""Day that would have been cheapest on past seasons, among those of a given robustness.

    .. math:: \hat c(j) = \sum_{t < j} \hat P(x \ge t) + b\,\hat P(x \ge j), \qquad
        \sup_j |\hat c(j) - c(j)| \le (b + J) \sqrt{\frac{\ln(2 / (1 - \text{level}))}{2 n}}

    Parameters
    ----------
    num_days : [n], int
        Lengths of past seasons, independent and alike, at least 1.
    buy_cost
        Price ``b`` in days of rent.
    robustness
        Largest worst-case ratio allowed, at least ``2 - 1/b``.
    level
        Probability in (0, 1).

    Returns
    -------
    Threshold
        Days up to ``J``, one beyond the longest season, stand for all later ones (never to buy).

    Raises
    ------
    ValueError
        For seasons below one day, a level outside (0, 1), or a robustness that no day attains.

    Notes
    -----
    The uniform error follows from the Dvoretzky-Kiefer-Wolfowitz inequality with Massart's constant. O(n + J).

    Examples
    --------
    >>> import numpy as np
    >>> from verax.online.learning import empirical_risk_threshold
    >>> found = empirical_risk_threshold(np.array([1, 2, 2, 30]), 10, robustness=4.0)
    >>> print(found.day, found.cost, found.robustness.round(2))
    3 4.25 4.0

    References
    ----------
    Massart (1990), The tight constant in the Dvoretzky-Kiefer-Wolfowitz inequality.
    """
    buy_cost = check_buy_cost(buy_cost)
    concrete = not is_traced(num_days)
    check(concrete, "num_days", "a traced value", "concrete lengths: the number of days to try depends on them")
    days = to_host("num_days", num_days, shape=("n",), dtype="integer")
    check(int(days.min()) >= 1, "num_days", f"a season of {days.min()} days", "at least one day")
    most = int(days.max())
    check(most <= _MOST_DAYS, "num_days", f"a season of {most} days", f"at most {_MOST_DAYS} days: each is tried")
    check(0 < level < 1, "level", level, "a probability in (0, 1)")
    least = 2 - 1 / buy_cost
    check(
        robustness >= least * (1 - 1e-9), "robustness", robustness, f"at least {least:.6g}, attained on day {buy_cost}"
    )
    tries = max(int(days.max()) + 1, buy_cost)
    reaching = 1 - np.cumsum(np.bincount(days, minlength=tries + 1))[:tries] / days.size  # P(x >= t), t = 1..tries
    day = np.arange(1, tries + 1)
    costs = np.concatenate([[0.0], np.cumsum(reaching)])[:-1] + buy_cost * reaching
    ratios = np.where(day <= buy_cost, 1 + (buy_cost - 1) / day, (buy_cost + day - 1) / buy_cost)
    best = int(np.argmin(np.where(ratios <= robustness * (1 + 1e-9), costs, np.inf)))
    dtype = jnp.result_type(float)
    error = (buy_cost + tries) * math.sqrt(math.log(2 / (1 - level)) / (2 * days.size))
    return Threshold(
        jnp.asarray(best + 1),
        jnp.asarray(costs[best], dtype),
        jnp.asarray(costs, dtype),
        jnp.asarray(error, dtype),
        jnp.asarray(ratios[best], dtype),
    )


def threshold_sample_size(buy_cost: int, num_days: int, error: float, *, level: float = 0.95) -> int:
    r"""Seasons that suffice for :func:`empirical_risk_threshold` to know all costs up to an error.

    .. math:: n = \Bigl\lceil \frac{(b + J)^2}{2 \epsilon^2} \ln \frac{2}{1 - \text{level}} \Bigr\rceil

    Parameters
    ----------
    buy_cost
        Price ``b`` in days of rent.
    num_days
        ``J``, the last day that is tried.
    error
        ``epsilon``, in days of rent; the chosen day's expected cost is then within ``2 epsilon`` of the best.
    level
        Probability in (0, 1).

    Returns
    -------
    int

    Raises
    ------
    ValueError
        For numbers that are not positive or a level outside (0, 1).

    Examples
    --------
    >>> from verax.online.learning import threshold_sample_size
    >>> threshold_sample_size(10, 20, 1.0)
    1660
    """
    buy_cost = check_buy_cost(buy_cost)
    check_integer("num_days", num_days, minimum=1)
    check_range("error", error, 1e-300, math.inf, "a positive number of days")
    check(0 < level < 1, "level", level, "a probability in (0, 1)")
    return math.ceil((buy_cost + num_days) ** 2 / (2 * error**2) * math.log(2 / (1 - level)))
