"""The exact frontier of robustness against consistency, at every price and in the limit."""

import math

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Real

from verax._errors import fail, is_traced
from verax._types import AnyArray
from verax.online._arguments import check_buy_cost, floating


def minimum_robustness(buy_cost: int | None = None) -> float:
    r"""Smallest robustness that any policy attains, ``1 / (1 - (1 - 1/b)^b)``; ``e / (e - 1)`` in the limit.

    Parameters
    ----------
    buy_cost
        Price ``b`` in days of rent; None for the limit of large prices.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        For a price that is no positive integer.

    Examples
    --------
    >>> from verax.online.ski_rental import minimum_robustness
    >>> round(minimum_robustness(10), 10), round(minimum_robustness(), 10)
    (1.5353399328, 1.5819767069)

    References
    ----------
    Karlin, Manasse, McGeoch, Owicki (1994), Competitive randomized algorithms for nonuniform problems.
    """
    if buy_cost is None:
        return 1 / -math.expm1(-1)
    buy_cost = check_buy_cost(buy_cost)
    return 1.0 if buy_cost == 1 else 1 / -math.expm1(buy_cost * math.log1p(-1 / buy_cost))


def optimal_distribution(robustness: float | Real[AnyArray, "..."], buy_cost: int) -> Float[Array, "... j"]:
    r"""The most consistent policy among those of a given robustness, for a prediction of a long season.

    .. math:: F(x) = \min\{1, (\gamma - 1)(q^x - 1)\}, \qquad q = \frac{b}{b - 1}

    is its distribution function: each season costs exactly ``gamma`` times its optimum until the mass is used up.

    Parameters
    ----------
    robustness
        ``gamma``, at least :func:`minimum_robustness`.
    buy_cost
        Price ``b`` in days of rent.

    Returns
    -------
    [..., b]
        Entry ``j - 1`` is the probability of buying at the start of day ``j``.

    Raises
    ------
    ValueError
        For a robustness that no policy attains; the message gives the least there is. Under ``jit`` it cannot be seen:
        the last day then takes what mass is left, and :func:`worst_case` gives the robustness of the result.

    Notes
    -----
    Between the vertices of the frontier this beats the policies of :func:`buy_distribution` by the atom on its last
    day. Its consistency is :func:`consistency_lower_bound`.

    Examples
    --------
    >>> from verax.online.ski_rental import optimal_distribution, worst_case
    >>> policy = optimal_distribution(2.0, 5)
    >>> print(policy.round(4), worst_case(policy, 5).consistency.round(6))
    [0.25   0.3125 0.3906 0.0469 0.    ] 1.246875

    References
    ----------
    Wei, Zhang (2020), Optimal robustness-consistency trade-offs for learning-augmented online algorithms.
    """
    buy_cost = check_buy_cost(buy_cost)
    gamma = _check_robustness(robustness, buy_cost)[..., None]
    if buy_cost == 1:
        return jnp.ones_like(gamma)
    days = jnp.arange(1, buy_cost + 1, dtype=gamma.dtype)
    cdf = jnp.minimum(1, (gamma - 1) * jnp.expm1(-math.log1p(-1 / buy_cost) * days))
    cdf = cdf.at[..., -1].set(1)
    return jnp.diff(cdf, axis=-1, prepend=jnp.zeros_like(gamma))


def consistency_lower_bound(
    robustness: float | Real[AnyArray, "..."], buy_cost: int | None = None
) -> Float[Array, "..."]:
    r"""Smallest consistency that a policy of a given robustness can have.

    .. math:: \beta_b(\gamma) = \gamma \frac{k}{b} + 1 - (\gamma - 1)(q^k - 1), \quad
        k = \Bigl\lfloor \frac{\ln(\gamma / (\gamma - 1))}{\ln q} \Bigr\rfloor, \; q = \frac{b}{b - 1}, \qquad
        \beta_\infty(\gamma) = \gamma \ln \frac{\gamma}{\gamma - 1}

    Parameters
    ----------
    robustness
        ``gamma``, at least :func:`minimum_robustness`.
    buy_cost
        Price ``b`` in days of rent; None for the limit of large prices.

    Returns
    -------
    array, the shape of ``robustness``

    Raises
    ------
    ValueError
        For a robustness that no policy attains; the message gives the least there is.

    Notes
    -----
    The limit is approached from below: at a finite price the limit formula is no lower bound.

    Examples
    --------
    >>> from verax.online.ski_rental import consistency_lower_bound
    >>> print(consistency_lower_bound(2.0, 5).round(6), consistency_lower_bound(2.0).round(6))
    1.246875 1.386294

    References
    ----------
    Wei, Zhang (2020), Optimal robustness-consistency trade-offs for learning-augmented online algorithms.
    """
    gamma = _check_robustness(robustness, buy_cost)
    mass = -jnp.log1p(-1 / gamma)  # ln(gamma / (gamma - 1))
    if buy_cost is None:
        return gamma * mass
    if buy_cost == 1:
        return jnp.ones_like(gamma)
    growth = -math.log1p(-1 / buy_cost)
    steps = jnp.floor(mass / growth)  # the bound is continuous in gamma: a step lost to rounding costs nothing
    return gamma * steps / buy_cost + 1 - (gamma - 1) * jnp.expm1(steps * growth)


def frontier_vertices(buy_cost: int) -> tuple[Float[Array, "b"], Float[Array, "b"]]:
    r"""Corners of the frontier, a convex polygon.

    .. math:: (\gamma_k, \beta_k) = \frac{(1, k / b)}{1 - (1 - 1/b)^k}, \qquad k = 1..b

    Parameters
    ----------
    buy_cost
        Price ``b`` in days of rent.

    Returns
    -------
    robustness, consistency : [b]
        From the policy that buys at once to the most robust one.

    Raises
    ------
    ValueError
        For a price that is no positive integer.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.online.ski_rental import frontier_vertices
    >>> print(*(np.asarray(side).round(4) for side in frontier_vertices(3)))
    [3.     1.8    1.4211] [1.     1.2    1.4211]

    References
    ----------
    Purohit, Svitkina, Kumar (2018), Algorithm 3, whose policies these are; Wei, Zhang (2020).
    """
    buy_cost = check_buy_cost(buy_cost)
    steps = np.arange(1, buy_cost + 1)
    robustness = np.ones(1) if buy_cost == 1 else -1 / np.expm1(steps * math.log1p(-1 / buy_cost))
    dtype = jnp.result_type(float)
    return jnp.asarray(robustness, dtype), jnp.asarray(robustness * steps / buy_cost, dtype)


def _check_robustness(robustness: object, buy_cost: int | None) -> Array:
    gamma = floating("robustness", robustness)
    least = minimum_robustness(buy_cost)
    if not is_traced(gamma):
        values = np.asarray(gamma, np.float64)
        if not bool((values >= least * (1 - 4 * float(jnp.finfo(gamma.dtype).eps))).all()):
            of = "in the limit of large prices" if buy_cost is None else f"at buy_cost {buy_cost}"
            fail("robustness", robustness, f"at least {least:.10g}, the smallest that any policy attains {of}")
        if not bool(np.isfinite(values).all()):
            fail("robustness", robustness, "a finite number")
    return gamma
