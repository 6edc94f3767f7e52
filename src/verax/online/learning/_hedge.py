"""Exponential weights over a grid of trade-offs."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Real

from verax._arrays import to_array
from verax._results import result
from verax._types import AnyArray
from verax.online._arguments import check_range


@result()
class Hedge(NamedTuple):
    """A run of exponential weights.

    Attributes
    ----------
    weights : [t, m]
        Played in each round, each row a distribution.
    cost : scalar
        Expected cost of playing them.
    regret : scalar
        Cost beyond that of the best fixed choice in hindsight.
    bound : scalar
        No sequence of costs makes the regret larger.
    """

    weights: Float[Array, "t m"]
    cost: Float[Array, ""]
    regret: Float[Array, ""]
    bound: Float[Array, ""]


def hedge(costs: Real[AnyArray, "t m"], *, cost_range: float, learning_rate: float | None = None) -> Hedge:
    r"""Choose among ``M`` trade-offs over ``T`` rounds, seeing all costs after each.

    .. math:: w_{t,m} \propto e^{-\eta \sum_{s < t} c_{s,m}}, \qquad
        \text{regret} \le \frac{\ln M}{\eta} + \frac{\eta\,T R^2}{8} = R \sqrt{\frac{T \ln M}{2}}
        \text{ at } \eta = \frac{1}{R} \sqrt{\frac{8 \ln M}{T}}

    Parameters
    ----------
    costs : [t, m]
        Cost of each choice in each round, such as exact expected costs over a grid of ``lam``.
    cost_range
        ``R``: within a round costs differ by at most this.
    learning_rate
        ``eta``; the one that minimises the bound when None.

    Returns
    -------
    Hedge

    Raises
    ------
    ValueError
        For costs that are not finite or spread over more than ``cost_range``, or a rate that is not positive.

    Notes
    -----
    O(T M), one prefix sum.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.online.learning import hedge
    >>> run = hedge(np.tile([1.0, 0.0], (100, 1)), cost_range=1.0)
    >>> print(np.asarray(run.regret).round(3), np.asarray(run.bound).round(3))
    3.198 5.887

    References
    ----------
    Cesa-Bianchi, Lugosi (2006), Prediction, learning, and games, Theorem 2.2.
    """
    table = to_array("costs", costs, shape=("t", "m"))
    check_range("cost_range", cost_range, 1e-300, math.inf, "a positive number")
    rounds, choices = table.shape
    spread = (table.max(1) - table.min(1)).max()
    check_range("costs", spread, 0.0, cost_range * (1 + 1e-6), f"costs within {cost_range} of each other in a round")
    if learning_rate is None:
        learning_rate = math.sqrt(8 * max(math.log(choices), 1e-12) / rounds) / cost_range
    check_range("learning_rate", learning_rate, 1e-300, math.inf, "a positive number")
    before = jnp.cumsum(table, axis=0) - table
    weights = jax.nn.softmax(-learning_rate * before, axis=1)
    cost = jnp.sum(weights * table)
    bound = math.log(choices) / learning_rate + learning_rate * rounds * cost_range**2 / 8
    return Hedge(weights, cost, cost - table.sum(0).min(), jnp.asarray(bound, table.dtype))
