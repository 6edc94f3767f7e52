"""How far to trust predictions, learned from past seasons and what was predicted of them."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Int, Real

from verax._arrays import to_array
from verax._errors import check, is_traced
from verax._results import result
from verax._types import AnyArray
from verax.online._arguments import check_buy_cost, check_range
from verax.online.ski_rental import buy_distribution_cost
from verax.online.ski_rental._predicted import any_length, largest_robustness


@result()
class TradeOff(NamedTuple):
    """An empirical minimiser.

    Attributes
    ----------
    lam : scalar
        Trade-off with the smallest mean ratio among those allowed.
    ratio : scalar
        Mean ratio of its exact expected cost to the optimum on the samples.
    lams, ratios : [m]
        All trade-offs allowed, and theirs.
    error : scalar
        With probability ``level`` all entries of ``ratios`` are within this of their expectation, at once.
    robustness : scalar
        Largest expected ratio of ``lam``, whatever the season and the prediction.
    """

    lam: Float[Array, ""]
    ratio: Float[Array, ""]
    lams: Float[Array, "m"]
    ratios: Float[Array, "m"]
    error: Float[Array, ""]
    robustness: Float[Array, ""]


def empirical_risk_trade_off(
    num_days: Int[AnyArray, "n"],
    prediction: Real[AnyArray, "n"],
    buy_cost: int,
    *,
    robustness: float = math.inf,
    level: float = 0.95,
) -> TradeOff:
    r"""Trade-off that would have been best on past seasons and their predictions, among those of a given robustness.

    .. math:: \hat\lambda = \arg\min_{\lambda \in \{1/b, \ldots, 1\}} \frac1n \sum_i
        \frac{c_\lambda(x_i, y_i)}{\min(x_i, b)}, \qquad
        \text{error} = (R - 1) \sqrt{\frac{\ln (2 M / (1 - \text{level}))}{2n}}

    Parameters
    ----------
    num_days : [n], int
        Past seasons, independent and alike, all at least 1.
    prediction : [n]
        What was predicted of each: any numbers but NaN, since only the comparison with the price counts.
    buy_cost
        Price ``b`` in days of rent.
    robustness
        Largest worst-case ratio allowed, at least that of ``lam = 1``.
    level
        Probability in (0, 1).

    Returns
    -------
    TradeOff
        Over the policies of :func:`verax.online.ski_rental.buy_distribution`, whose cost is exact.

    Raises
    ------
    ValueError
        For seasons below one day, predictions that are NaN or not as many, a level outside (0, 1), or a robustness that
        no trade-off attains.

    Notes
    -----
    Predictions of at least ``b`` see ``floor(lam b)`` alone, so that the ``b`` trade-offs ``j / b`` are all that differ
    there. Ratios lie in ``[1, R]`` with ``R`` the largest robustness among the ``M`` trade-offs allowed: Hoeffding's
    inequality for each, and a union over all. O(n) a trade-off.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.online.learning import empirical_risk_trade_off
    >>> days = np.array([2, 3, 40, 50])
    >>> trusted = empirical_risk_trade_off(days, days, 10)
    >>> ignored = empirical_risk_trade_off(days, days[::-1], 10)
    >>> print(np.asarray(trusted.lam).round(2), np.asarray(ignored.lam).round(2))
    0.1 1.0

    References
    ----------
    Hoeffding (1963), Probability inequalities for sums of bounded random variables; Anand, Ge, Panigrahi (2020),
    Customizing ML predictions for online algorithms.
    """
    buy_cost = check_buy_cost(buy_cost)
    concrete = not is_traced((num_days, prediction))
    check(concrete, "num_days", "a traced value", "concrete seasons: the range of their ratios is checked")
    days = to_array("num_days", num_days, shape=("n",), dtype="integer")
    predicted = any_length(prediction, buy_cost, ("n",))
    check(int(days.min()) >= 1, "num_days", f"{days.min()} days", "at least one day")
    check(len(predicted) == len(days), "prediction", f"{len(predicted)} predictions", f"one of each of {len(days)}")
    lams, worst = _allowed(buy_cost, robustness)
    error = (worst.max() - 1) * math.sqrt(_log_failures(len(lams), level) / (2 * len(days)))
    dtype = jnp.result_type(float)
    grid = jnp.asarray(lams, dtype)
    ratios = _mean_ratios(days, predicted, grid, buy_cost)
    best = int(jnp.argmin(ratios))
    return TradeOff(grid[best], ratios[best], grid, ratios, jnp.asarray(error, dtype), jnp.asarray(worst[best], dtype))


def trade_off_sample_size(buy_cost: int, error: float, *, robustness: float = math.inf, level: float = 0.95) -> int:
    r"""Seasons that suffice for :func:`empirical_risk_trade_off` to know all mean ratios up to an error.

    .. math:: n = \Bigl\lceil \frac{(R - 1)^2}{2 \epsilon^2} \ln \frac{2 M}{1 - \text{level}} \Bigr\rceil

    Parameters
    ----------
    buy_cost
        Price ``b`` in days of rent.
    error
        ``epsilon``; the chosen trade-off's expected ratio is then within ``2 epsilon`` of the best.
    robustness
        Largest worst-case ratio allowed: a cap lowers both ``R`` and the number ``M`` of trade-offs.
    level
        Probability in (0, 1).

    Returns
    -------
    int

    Raises
    ------
    ValueError
        For an error that is not positive, a level outside (0, 1), or a robustness that no trade-off attains.

    Examples
    --------
    >>> from verax.online.learning import trade_off_sample_size
    >>> trade_off_sample_size(10, 0.1), trade_off_sample_size(10, 0.1, robustness=2.0)
    (24267, 214)
    """
    buy_cost = check_buy_cost(buy_cost)
    check_range("error", error, 1e-300, math.inf, "a positive ratio")
    lams, worst = _allowed(buy_cost, robustness)
    return math.ceil((worst.max() - 1) ** 2 / (2 * error**2) * _log_failures(len(lams), level))


def _allowed(buy_cost: int, robustness: float) -> tuple[np.ndarray, np.ndarray]:
    """Trade-offs ``j / b`` whose worst case is within the cap, and their worst cases."""
    lams = np.arange(1, buy_cost + 1) / buy_cost
    worst = np.array([largest_robustness(buy_cost, float(lam)) for lam in lams])
    least = float(worst.min())
    need = f"at least {least:.6g}, attained by lam = {lams[worst.argmin()]:g}"
    check_range("robustness", robustness, least * (1 - 1e-9), math.inf, need)
    kept = worst <= robustness * (1 + 1e-9)
    return lams[kept], worst[kept]


def _log_failures(num: int, level: float) -> float:
    check(0 < level < 1, "level", level, "a probability in (0, 1)")
    return math.log(2 * num / (1 - level))


def _mean_ratios(days: Array, predicted: Array, lams: Array, buy_cost: int) -> Array:
    optimum = jnp.minimum(days, buy_cost).astype(lams.dtype)

    def one(lam: Array) -> Array:
        return (buy_distribution_cost(days, predicted, buy_cost, lam) / optimum).mean()

    return jax.jit(lambda grid: jax.lax.map(one, grid))(lams)
