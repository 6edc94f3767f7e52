"""Ski rental and its relatives as finite games."""

from typing import Any

import numpy as np
from jaxtyping import Real

from verax._arrays import to_array, to_host
from verax._errors import check, check_integer
from verax._types import AnyArray
from verax.online._arguments import check_range
from verax.online.games import FiniteOnlineGame


def rental_game(
    buy_cost: float | Real[AnyArray, "days"],
    num_days: int,
    *,
    rent: float | Real[AnyArray, "days"] = 1.0,
) -> FiniteOnlineGame:
    r"""Rent or buy over at most ``num_days`` days, with rents and prices that may change from day to day.

    .. math:: C_{xj} = \begin{cases} R(x) & x < j \\ R(j - 1) + b_j & x \ge j \end{cases}, \qquad
        o_x = \min\{R(x), \min_{j \le x} (R(j - 1) + b_j)\}, \qquad R(x) = \sum_{t \le x} r_t

    Parameters
    ----------
    buy_cost
        Positive price, or the price on each day.
    num_days
        Longest season; also the last day on which a plan buys. At least twice the price leaves the answer of an endless
        season unchanged.
    rent
        Positive rent of a day, or of each day.

    Returns
    -------
    FiniteOnlineGame
        Instances: seasons of 1, 2, ..., ``num_days`` days. Plans: buy at the start of day 1, 2, ..., ``num_days``, or
        never.

    Raises
    ------
    ValueError
        For rents or prices that are not positive and finite, or of another length than ``num_days``.

    Examples
    --------
    >>> from verax.online.ski_rental import rental_game
    >>> game = rental_game(10, 20)
    >>> print(round(float(game.minimax().robustness), 2))  # 1.5353 in double precision
    1.54
    """
    check_integer("num_days", num_days, minimum=1)
    rents, prices = _each_day("rent", rent, num_days), _each_day("buy_cost", buy_cost, num_days)
    cost = _costs(rents, prices)
    return _game(cost, cost.min(1), rent=rents, buy_cost=prices)


def _costs(rents: np.ndarray, prices: np.ndarray) -> np.ndarray:
    """Cost ``[season, plan]`` of buying at the start of each day, or never."""
    total = np.concatenate([[0.0], np.cumsum(rents)])
    days = np.arange(1, len(rents) + 1)
    bought = total[:-1] + prices  # by buying at the start of each day
    cost = np.where(days[:, None] < days, total[1:][:, None], bought)
    return np.concatenate([cost, total[1:][:, None]], axis=1)


def _game(cost: np.ndarray, opt: np.ndarray, **given: np.ndarray) -> FiniteOnlineGame:
    """The game, if JAX's precision holds its costs; else an error that names the argument of the extreme numbers."""
    extreme = max(given, key=lambda name: np.abs(np.log10(given[name])).max())
    return FiniteOnlineGame(to_array(extreme, cost), to_array(extreme, opt))


def multi_shop_game(rents: Real[AnyArray, "shops"], prices: Real[AnyArray, "shops"], num_days: int) -> FiniteOnlineGame:
    r"""Ski rental with several shops: choose a shop at once and for good, then when to buy there.

    Parameters
    ----------
    rents, prices : [shops]
        Positive rent per day and price of each shop.
    num_days
        Longest season; also the last day on which a plan buys.

    Returns
    -------
    FiniteOnlineGame
        Instances: seasons of 1 to ``num_days`` days. Plans: shop by shop, buy at the start of day 1 to ``num_days``,
        or never.

    Raises
    ------
    ValueError
        For rents or prices that are not positive and finite, or not as many of one as of the other.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.online.ski_rental import multi_shop_game
    >>> game = multi_shop_game(np.array([1.0, 2.0]), np.array([6.0, 4.0]), 12)
    >>> game.cost.shape
    (12, 26)

    References
    ----------
    Wang, Li, Wang (2020), Online algorithms for multi-shop ski rental with machine learned advice.
    """
    rents_, prices_ = to_host("rents", rents), to_host("prices", prices)
    check(rents_.ndim == 1 and rents_.size > 0, "rents", f"shape {rents_.shape}", "one rent per shop")
    check(prices_.shape == rents_.shape, "prices", f"shape {prices_.shape}", f"one price per shop, {rents_.shape}")
    pairs = zip(rents_, prices_, strict=True)
    shops = [_costs(_each_day("rents", rent, num_days), _each_day("prices", price, num_days)) for rent, price in pairs]
    cost = np.concatenate(shops, axis=1)
    return _game(cost, cost.min(1), rents=rents_, prices=prices_)


def _each_day(argument: str, value: Any, num_days: int) -> np.ndarray:
    array = to_host(argument, value)
    check(
        array.shape in ((), (num_days,)), argument, f"shape {array.shape}", f"a number, or one for each day, {num_days}"
    )
    check_range(argument, array, np.nextafter(0.0, 1.0), np.inf, "positive numbers")
    return np.broadcast_to(array, (num_days,))
