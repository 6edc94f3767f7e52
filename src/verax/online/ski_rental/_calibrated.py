"""The rule for a calibrated probability that the season is long."""

import jax.numpy as jnp
from jax import Array
from jaxtyping import Real

from verax._types import AnyArray
from verax.online._arguments import check_price, check_range, floating

from ._predicted import whole_ceil


def calibrated_buy_day(probability: float | Real[AnyArray, "..."], buy_cost: float) -> tuple[Array, Array]:
    r"""Day to buy on, given the calibrated probability that the season is longer than ``buy_cost`` days.

    .. math:: j = \lceil \tau b \rceil, \quad \tau = \begin{cases} 1 & v \le 4/5 \\ \sqrt{(1 - v)/v} & v > 4/5
        \end{cases}, \qquad \mathbb{E}\,\frac{c}{\mathrm{OPT}} \le 1 + \min\{v, 2 \sqrt{v (1 - v)}\}

    Parameters
    ----------
    probability
        ``v`` in [0, 1]: among the seasons given this number, a share ``v`` is longer than ``buy_cost`` days.
    buy_cost
        Price ``b`` in days of rent.

    Returns
    -------
    day : int array, the shape of ``probability``
        At least 1.
    bound : float array
        On the expected ratio of costs, in the limit of large prices.

    Raises
    ------
    ValueError
        For a probability outside [0, 1] or NaN, or a price that is not a positive number.

    Notes
    -----
    The bound was derived for continuous time and checked on a grid; at a finite price rounding up to whole days adds
    at most ``1 / b``.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.online.ski_rental import calibrated_buy_day
    >>> day, bound = calibrated_buy_day(np.array([0.5, 0.9]), 100)
    >>> print(day, np.asarray(bound).round(3))
    [100  34] [1.5 1.6]

    References
    ----------
    Shen, Vitercik, Wikum (2025), Algorithms with calibrated machine learning predictions.
    """
    buy_cost = check_price(buy_cost)
    v = floating("probability", probability)
    check_range("probability", v, 0.0, 1.0, "probabilities in [0, 1]")
    high = v > 0.8
    share = jnp.where(high, jnp.sqrt((1 - v) / jnp.where(high, v, 1)), 1)
    day = jnp.maximum(whole_ceil(share * buy_cost), 1).astype(int)
    return day, 1 + jnp.minimum(v, 2 * jnp.sqrt(v * (1 - v)))
