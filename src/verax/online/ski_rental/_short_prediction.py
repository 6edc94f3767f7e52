"""Best consistency for a prediction of a short season, in the limit of large prices."""

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Real

from verax._types import AnyArray
from verax.online._arguments import check_range, floating

from ._frontier import minimum_robustness


def short_prediction_consistency(
    robustness: float | Real[AnyArray, "..."], prediction: float | Real[AnyArray, "..."]
) -> Float[Array, "..."]:
    r"""Smallest consistency at a given robustness when the season is predicted to be shorter than the price.

    With the price as unit, ``y < 1``: 1 if ``gamma >= 2`` or ``(1 + y) e^{1-y} >= gamma / (gamma - 1)``; else

    .. math:: \beta_y = \frac{\gamma a + (1 - F(a))(y - a)}{y}, \qquad F(a) = (\gamma - 1)(e^a - 1)

    where ``a`` in ``(0, y)`` solves ``gamma a + (1 - F(a))(y - a) + (T - F(a)) = gamma y`` with
    ``T = gamma e^{y - 1} - (gamma - 1)``: buy tightly up to ``a``, pause, place an atom at ``y``, go on tightly.

    Parameters
    ----------
    robustness
        ``gamma``, at least ``e / (e - 1)``.
    prediction
        Predicted season as a share of the price, in (0, 1).

    Returns
    -------
    array, the broadcast shape

    Raises
    ------
    ValueError
        For a robustness below ``e / (e - 1)`` or a prediction outside (0, 1).

    Notes
    -----
    Bisection in 60 halvings. At a finite price :meth:`verax.online.games.FiniteOnlineGame.best_response` is exact; the
    two differ by O(1/b).

    Examples
    --------
    >>> from verax.online.ski_rental import short_prediction_consistency
    >>> print(short_prediction_consistency(1.62, 0.5).round(4), short_prediction_consistency(2.0, 0.5))
    1.1571 1.0
    """
    gamma, y = floating("robustness", robustness), floating("prediction", prediction)
    dtype = jnp.promote_types(gamma.dtype, y.dtype)
    gamma, y = jnp.broadcast_arrays(gamma.astype(dtype), y.astype(dtype))
    least = minimum_robustness()
    slack = 1 - 4 * float(jnp.finfo(dtype).eps)
    check_range("robustness", gamma, least * slack, jnp.inf, f"at least {least:.10g}, the smallest that is attained")
    check_range("prediction", y, float(jnp.finfo(dtype).tiny), 1 - float(jnp.finfo(dtype).epsneg), "a share in (0, 1)")
    target = gamma * jnp.exp(y - 1) - (gamma - 1)

    def bought(a: Array) -> Array:
        return (gamma - 1) * jnp.expm1(a)

    def excess(a: Array) -> Array:
        return gamma * a + (1 - bought(a)) * (y - a) + (target - bought(a)) - gamma * y

    def halve(_: Array, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = (low + high) / 2
        below = excess(middle) > 0  # the pause may begin earlier as long as the atom breaks the cap
        return jnp.where(below, middle, low), jnp.where(below, high, middle)

    low, high = jax.lax.fori_loop(0, 60, halve, (jnp.zeros_like(y), y))
    a = (low + high) / 2
    free = (gamma >= 2) | ((1 + y) * jnp.exp(1 - y) >= gamma / (gamma - 1))
    return jnp.where(free, 1, (gamma * a + (1 - bought(a)) * (y - a)) / y)
