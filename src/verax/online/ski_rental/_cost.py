"""Exact expected cost of a randomized policy, and its exact worst case."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Int, Real, Shaped

from verax._arrays import same_dtype, to_array
from verax._errors import check, is_traced
from verax._results import result
from verax._types import AnyArray
from verax.online._arguments import check_broadcast, check_price, check_range, numbers


@result()
class WorstCase(NamedTuple):
    """The exact worst case of one policy.

    Attributes
    ----------
    robustness : [...]
        Largest ratio of expected to optimal cost over all lengths of the season.
    consistency : [...]
        The ratio where the season is as long as predicted.
    witness : [...], int
        The season's length at which the robustness is attained.
    """

    robustness: Float[Array, "..."]
    consistency: Float[Array, "..."]
    witness: Int[Array, "..."]


def optimal_cost(num_days: int | Shaped[AnyArray, "..."], buy_cost: float) -> Shaped[Array, "..."]:
    r"""Cost of one who knows the season's length, ``min(num_days, buy_cost)``.

    Parameters
    ----------
    num_days
        Days of the season, at least 1.
    buy_cost
        Price in days of rent, a positive number.

    Returns
    -------
    array, the shape of ``num_days``

    Raises
    ------
    ValueError
        For a season of no days (every ratio to its cost would be undefined), or a price that is not a positive number.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.online.ski_rental import optimal_cost
    >>> print(optimal_cost(np.array([3, 30]), 10))
    [ 3 10]
    """
    price = check_price(buy_cost)
    check_range("num_days", num_days, 1, np.inf, "at least one day")
    days = _in_units_of(price, numbers("num_days", num_days))
    return jnp.minimum(days, jnp.asarray(price, days.dtype))


def buy_day_cost(
    day: int | Shaped[AnyArray, "..."], num_days: int | Shaped[AnyArray, "..."], buy_cost: float
) -> Shaped[Array, "..."]:
    r"""Cost of buying at the start of ``day``: ``num_days`` if the season ends before, else ``day - 1 + buy_cost``.

    Parameters
    ----------
    day, num_days
        Numbers from 1 on, integers or floats, that broadcast.
    buy_cost
        Price in days of rent, a positive number.

    Returns
    -------
    array, the broadcast shape

    Raises
    ------
    ValueError
        For days below 1 or a price that is not a positive number.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.online.ski_rental import buy_day_cost
    >>> print(buy_day_cost(10, np.array([9, 10, 100]), 10))
    [ 9 19 19]
    """
    price = check_price(buy_cost)
    check_range("day", day, 1, np.inf, "a day from 1 on")
    check_range("num_days", num_days, 1, np.inf, "at least one day")
    day, days = same_dtype(
        *(_in_units_of(price, numbers(name, x)) for name, x in (("day", day), ("num_days", num_days)))
    )
    check_broadcast(day=day, num_days=days)
    return jnp.where(days < day, days, day + jnp.asarray(price - 1, day.dtype))


def _in_units_of(price: float, days: Array) -> Array:
    """Days as floats where the price is no whole number."""
    whole = isinstance(price, int) or jnp.issubdtype(days.dtype, jnp.floating)
    return days if whole else days.astype(jnp.result_type(float))


def expected_cost(distribution: Real[AnyArray, "... j"], buy_cost: float) -> Float[Array, "... j"]:
    r"""Exact expected cost for every length of the season at once.

    .. math:: c(x) = \sum_{i \le x} p_i (b + i - 1) + x (1 - F(x)), \qquad c(x) - c(x - 1) = b\,p_x + 1 - F(x)

    Parameters
    ----------
    distribution : [..., J]
        Entry ``j - 1`` is the probability of buying at the start of day ``j``; sums to 1.
    buy_cost
        Price ``b`` in days of rent, a positive number.

    Returns
    -------
    [..., J]
        Entry ``x - 1`` is the expected cost of a season of ``x`` days; longer seasons cost as much as the last.

    Raises
    ------
    ValueError
        For negative entries, sums other than 1, or a price that is not a positive number. Under ``jit`` the entries
        cannot be seen; mass that is missing then means never to buy.

    Notes
    -----
    Two prefix sums, O(J) for all seasons together.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.online.ski_rental import expected_cost
    >>> print(expected_cost(np.array([0.5, 0.0, 0.5]), 3))
    [2.  2.5 4. ]

    References
    ----------
    Karlin, Manasse, McGeoch, Owicki (1994), Competitive randomized algorithms for nonuniform problems.
    """
    buy_cost = check_price(buy_cost)
    pmf = _check_distribution(distribution)
    not_bought = 1 - jnp.cumsum(pmf, axis=-1)
    return jnp.cumsum(buy_cost * pmf + not_bought, axis=-1)


def worst_case(
    distribution: Real[AnyArray, "... j"], buy_cost: float, *, prediction: int | Int[AnyArray, "..."] | None = None
) -> WorstCase:
    r"""Exact robustness, with a season that attains it, and consistency of a policy.

    .. math:: \gamma = \max_{1 \le x \le J} \frac{c(x)}{\min(x, b)}, \qquad \beta = \frac{c(y)}{\min(y, b)}

    Parameters
    ----------
    distribution : [..., J]
        Entry ``j - 1`` is the probability of buying at the start of day ``j``; sums to 1.
    buy_cost
        Price ``b`` in days of rent, a positive number.
    prediction
        Predicted length ``y`` of the season; None stands for one that outlasts every policy.

    Returns
    -------
    WorstCase

    Raises
    ------
    ValueError
        As :func:`expected_cost`, and for a predicted season of no days.

    Notes
    -----
    The cost is constant beyond day ``J``, and the optimum does not fall, so that the maximum over all seasons is one
    over ``J`` of them: no sampling, no tolerance.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.online.ski_rental import worst_case
    >>> print(*worst_case(np.full(10, 0.1), 10))
    1.9 1.45 1

    References
    ----------
    Wei, Zhang (2020), Optimal robustness-consistency trade-offs for learning-augmented online algorithms.
    """
    if prediction is not None:
        check_range("prediction", prediction, 1, np.inf, "at least one day, or None")
        prediction = to_array("prediction", prediction, dtype="integer")
    buy_cost = check_price(buy_cost)
    cost = expected_cost(distribution, buy_cost)
    days = jnp.arange(1, cost.shape[-1] + 1).astype(cost.dtype)
    ratio = cost / jnp.minimum(days, buy_cost)
    if prediction is None:
        consistency = cost[..., -1] / buy_cost
    else:
        predicted = prediction
        last = jnp.minimum(predicted, cost.shape[-1]) - 1
        shape = jnp.broadcast_shapes(cost.shape[:-1], predicted.shape)
        chosen = jnp.take_along_axis(
            jnp.broadcast_to(cost, (*shape, cost.shape[-1])), jnp.broadcast_to(last, shape)[..., None], axis=-1
        )[..., 0]
        consistency = chosen / jnp.minimum(predicted.astype(cost.dtype), buy_cost)
    return WorstCase(ratio.max(-1), consistency, ratio.argmax(-1) + 1)


def _check_distribution(distribution: Any) -> Array:
    pmf = to_array("distribution", distribution, shape=("...", "J"))
    if not is_traced(pmf):
        values = np.asarray(pmf, np.float64)
        tolerance = 1e3 * float(jnp.finfo(pmf.dtype).eps)
        check(values.min() >= -tolerance, "distribution", f"an entry of {values.min():.3g}", "probabilities >= 0")
        worst = float(np.abs(values.sum(-1) - 1).max())
        check(
            worst <= tolerance, "distribution", f"a sum that is {worst:.3g} away from 1", "probabilities that sum to 1"
        )
    return pmf
