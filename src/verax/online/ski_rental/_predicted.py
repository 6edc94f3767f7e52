"""The policies of Purohit, Svitkina and Kumar, which trust a prediction as far as ``lam`` says."""

import math
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Int, Real, Shaped

from verax._arrays import Shape, to_array, to_host, to_number
from verax._errors import check, is_traced
from verax._types import AnyArray
from verax.online._arguments import check_broadcast, check_lam, check_price, check_range, floating


def buy_day(
    prediction: int | Shaped[AnyArray, "..."], buy_cost: float, lam: float | Real[AnyArray, "..."]
) -> Int[Array, "..."]:
    r"""Day at whose start the deterministic policy buys.

    .. math:: j = \lceil \lambda b \rceil \text{ if } y \ge b, \qquad j = \lceil b / \lambda \rceil \text{ otherwise}

    Parameters
    ----------
    prediction
        Predicted length ``y`` of the season in days; any real number, since it is only compared with the price.
    buy_cost
        Price ``b`` in days of rent, a positive number.
    lam
        Trade-off in (0, 1]: 1 ignores the prediction, small values trust it.

    Returns
    -------
    int array, the broadcast shape

    Raises
    ------
    ValueError
        For a prediction that is NaN, ``lam`` outside (0, 1], or a price that is not a positive number.

    Notes
    -----
    ``(1 + lam)``-consistent and ``(1 + 1/lam)``-robust. Products that are whole numbers up to rounding count as whole
    (0.3 * 10 is 3, not 4 days).

    Examples
    --------
    >>> import numpy as np
    >>> from verax.online.ski_rental import buy_day
    >>> print(buy_day(np.array([3, 100]), 10, 0.3))
    [34  3]

    References
    ----------
    Purohit, Svitkina, Kumar (2018), Improving online algorithms via ML predictions, Algorithm 2.
    """
    buy_cost = check_price(buy_cost)
    predicted = any_length(prediction, buy_cost)
    check_lam(lam, np.nextafter(0.0, 1.0), 1.0, "a trade-off in (0, 1]")
    trade_off = floating("lam", lam)
    check_broadcast(prediction=predicted, lam=trade_off)
    early, late = whole_ceil(trade_off * buy_cost), whole_ceil(buy_cost / trade_off)
    return jnp.maximum(jnp.where(_is_long(predicted, buy_cost), early, late), 1).astype(int)


def whole_ceil(x: Array) -> Array:
    """Smallest whole number that is not below ``x`` by more than rounding."""
    return jnp.ceil(x * (1 - _slack(x.dtype)))


def whole_floor(x: Array) -> Array:
    """Largest whole number that is not above ``x`` by more than rounding."""
    return jnp.floor(x * (1 + _slack(x.dtype)))


def _slack(dtype: Any) -> float:
    return 4 * float(jnp.finfo(dtype).eps)


def buy_distribution(
    prediction: float | Real[AnyArray, ""] | None, buy_cost: float, lam: float | Real[AnyArray, ""]
) -> Float[Array, "j"]:
    r"""Days at whose start the randomized policy buys, with their probabilities.

    .. math:: p_i = \frac{(1 - 1/b)^{m - i}}{b\,(1 - (1 - 1/b)^m)}, \quad i = 1..m, \qquad
        m = \lfloor \lambda b \rfloor \text{ if } y \ge b, \quad m = \lceil b / \lambda \rceil \text{ otherwise}

    Parameters
    ----------
    prediction
        Predicted length ``y`` of the season; any real number, since it is only compared with the price. None stands
        for a season without end.
    buy_cost
        Price ``b`` in days of rent, a positive number.
    lam
        Trade-off in [1/b, 1] ((0, 1] for a price below 1), concrete: the number of days depends on it.
        A rounded float32 counts as what it was rounded from only as an array: ``float(lam)`` of .7 is below it, and
        buys a day earlier.

    Returns
    -------
    [J]
        Entry ``j - 1`` is the probability of buying at the start of day ``j``. ``J = ceil(b)`` for a prediction of at
        least ``b``, ``ceil(b / lam)`` for one below, and the latter for one that is traced.

    Raises
    ------
    ValueError
        For ``lam`` outside [1/b, 1], a prediction that is NaN, or a price that is not a positive number.

    Notes
    -----
    Robustness and consistency are ``(m / min(b, m), 1) / (1 - (1 - 1/b)^m)`` in the order of :func:`worst_case` for a
    low prediction, ``(1, m / b) / (1 - (1 - 1/b)^m)`` for a high one: on the frontier for a high one, since these are
    its vertices (:func:`frontier_vertices`).

    Examples
    --------
    >>> import numpy as np
    >>> from verax.online.ski_rental import buy_distribution
    >>> print(np.asarray(buy_distribution(None, 4, 0.5)).round(4))
    [0.4286 0.5714 0.     0.    ]

    References
    ----------
    Purohit, Svitkina, Kumar (2018), Improving online algorithms via ML predictions, Algorithm 3.
    """
    buy_cost = check_price(buy_cost)
    early, late = _supports(buy_cost, lam)
    if prediction is None:
        support = early
    else:
        predicted = any_length(prediction, buy_cost)
        check(predicted.ndim == 0, "prediction", f"shape {predicted.shape}", "one number, or None")
        traced = is_traced(predicted)
        support = (
            jnp.where(_is_long(predicted, buy_cost), early, late)
            if traced
            else (late, early)[bool(_is_long(predicted, buy_cost))]
        )
    length = late if is_traced(support) else max(math.ceil(buy_cost), support)
    dtype = jnp.result_type(float)
    days, support = jnp.arange(1, length + 1, dtype=dtype), jnp.asarray(support, dtype)
    if buy_cost <= 1:  # buying at once is optimal for every season
        return (days == 1).astype(dtype)
    decay = math.log1p(-1 / buy_cost)
    density = jnp.exp((support - days) * decay) / (-buy_cost * jnp.expm1(support * decay))
    return jnp.where(days <= support, density, 0)


def buy_distribution_cost(
    num_days: int | Shaped[AnyArray, "..."],
    prediction: int | Shaped[AnyArray, "..."],
    buy_cost: float,
    lam: float | Real[AnyArray, "..."],
) -> Float[Array, "..."]:
    r"""Exact expected cost of :func:`buy_distribution`, in closed form and for many instances at once.

    .. math:: c(x) = \frac{\min(x, m)}{1 - (1 - 1/b)^m}

    Parameters
    ----------
    num_days
        True length ``x`` of the season, at least 1.
    prediction
        Predicted length, at least 1.
    buy_cost
        Price ``b`` in days of rent, a positive number.
    lam
        Trade-off in [1/b, 1]; may be traced.

    Returns
    -------
    array, the broadcast shape

    Raises
    ------
    ValueError
        As :func:`buy_distribution`.

    Notes
    -----
    A dozen operations per instance, whatever the price.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.online.ski_rental import buy_distribution, buy_distribution_cost, expected_cost
    >>> print(np.asarray(buy_distribution_cost(np.array([1, 2, 9]), 9, 4, 0.5)).round(4))
    [2.2857 4.5714 4.5714]
    >>> print(np.asarray(expected_cost(buy_distribution(9, 4, 0.5), 4)[:2]).round(4))
    [2.2857 4.5714]
    """
    buy_cost = check_price(buy_cost)
    _check_trade_off(buy_cost, lam)
    check_range("num_days", num_days, 1, np.inf, "at least one day")
    dtype, predicted = jnp.result_type(float), any_length(prediction, buy_cost)
    trade_off, days = floating("lam", lam).astype(dtype), floating("num_days", num_days).astype(dtype)
    check_broadcast(num_days=days, prediction=predicted, lam=trade_off)
    if buy_cost <= 1:
        shape = jnp.broadcast_shapes(days.shape, predicted.shape, trade_off.shape)
        return jnp.full(shape, buy_cost, dtype)
    early, late = jnp.maximum(whole_floor(trade_off * buy_cost), 1), whole_ceil(buy_cost / trade_off)
    decay = math.log1p(-1 / buy_cost)
    high = _is_long(predicted, buy_cost)
    factor = jnp.where(high, -1 / jnp.expm1(early * decay), -1 / jnp.expm1(late * decay))
    return jnp.minimum(days, jnp.where(high, early, late)) * factor


def largest_robustness(buy_cost: float, lam: float) -> float:
    """Robustness of :func:`buy_distribution` over both kinds of predictions, in closed form."""
    early, late = _supports(buy_cost, lam)
    if buy_cost <= 1:
        return 1.0
    decay = math.log1p(-1 / buy_cost)
    return max(-1 / math.expm1(early * decay), -(late / buy_cost) / math.expm1(late * decay))


def any_length(prediction: Any, price: float, shape: Shape | None = None) -> Array:
    """A predicted length, of which only the comparison with the price counts: any sign, any size, infinite ones too."""
    check_range("prediction", prediction, -np.inf, np.inf, "numbers, not NaN")
    if not is_traced(prediction):
        host = to_host("prediction", prediction, shape=shape, dtype="any", finite=False)
        if host.dtype.itemsize == 8:  # beyond single precision too, where all on one side of the price are alike
            most = math.ceil(price) + 1
            if host.dtype.kind in "iu":
                most = min(most, np.iinfo(host.dtype).max)
            prediction = np.clip(host, 0 if host.dtype.kind == "u" else -1, most)
    return to_array("prediction", prediction, shape=shape, dtype="any", finite=False)


def _is_long(predicted: Array, price: float) -> Array:
    """Whether a predicted season is at least as long as the price."""
    return predicted >= (math.ceil(price) if jnp.issubdtype(predicted.dtype, jnp.integer) else price)


def _check_trade_off(buy_cost: float, lam: Any) -> None:
    if buy_cost <= 1:
        check_lam(lam, np.nextafter(0.0, 1.0), 1.0, "a trade-off in (0, 1]")
        return
    low = (1 - _slack(jnp.float32)) / buy_cost
    check_lam(lam, low, 1.0, f"a trade-off in [1/buy_cost, 1] = [{1 / buy_cost:.4g}, 1]")


def _supports(buy_cost: float, lam: float | Real[AnyArray, ""]) -> tuple[int, int]:
    check(not is_traced(lam), "lam", "a traced value", "a concrete number: the number of days depends on it")
    _check_trade_off(buy_cost, lam)
    slack = 4 * np.finfo(np.float32).eps if getattr(lam, "dtype", None) == np.float32 else 1e-12
    lam = to_number("lam", lam)
    early = math.floor(float(lam) * buy_cost * (1 + slack))
    return max(1, early), math.ceil(buy_cost / float(lam) * (1 - slack))
