"""From a predictor's parameters through a policy to its exact expected cost on real seasons."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Int, Real

from verax._arrays import to_array
from verax._errors import check
from verax._results import result
from verax._types import AnyArray, PyTree
from verax.online._arguments import check_broadcast, check_buy_cost, check_range, floating
from verax.online.ski_rental._cost import optimal_cost
from verax.online.ski_rental._predicted import buy_distribution_cost, largest_robustness


@result()
class PredictorReport(NamedTuple):
    """How a predictor does on data.

    Attributes
    ----------
    mean_ratio : scalar
        Mean over seasons of exact expected cost over optimum: what training minimises. Differentiable.
    total_ratio : scalar
        Total cost over total optimum.
    worst_ratio : scalar
        Largest ratio on these seasons.
    robustness : scalar
        Largest ratio on any season, whatever the predictor says: the cap, exact.
    ratios : [n]
        Ratio of each season.
    """

    mean_ratio: Float[Array, ""]
    total_ratio: Float[Array, ""]
    worst_ratio: Float[Array, ""]
    robustness: Float[Array, ""]
    ratios: Float[Array, "n"]


def mixed_cost(
    probability: Real[AnyArray, "..."], num_days: Int[AnyArray, "..."], buy_cost: int, lam: float
) -> Float[Array, "..."]:
    r"""Exact expected cost of trusting a high prediction with a probability, and a low one otherwise.

    .. math:: c = v\,c_{y \ge b}(x) + (1 - v)\,c_{y < b}(x)

    A mixture of policies that keep a robustness keeps it, and the cost is linear in ``v``: training through it needs no
    surrogate of the step at ``y = b``, and cannot break the cap.

    Parameters
    ----------
    probability
        ``v`` in [0, 1], such as a predicted probability that the season lasts at least ``buy_cost`` days.
    num_days
        True length of the season, at least 1.
    buy_cost
        Price ``b`` in days of rent.
    lam
        Trade-off in [1/b, 1] of both policies (:func:`verax.online.ski_rental.buy_distribution`).

    Returns
    -------
    array, the broadcast shape

    Raises
    ------
    ValueError
        For probabilities outside [0, 1], shapes that do not broadcast, or as
        :func:`verax.online.ski_rental.buy_distribution_cost`.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.online.learning import mixed_cost
    >>> print(np.asarray(mixed_cost(np.array([0.0, 0.5, 1.0]), np.array([1, 1, 1]), 10, 0.5)).round(3))
    [1.138 1.79  2.442]
    """
    v = floating("probability", probability)
    check_range("probability", v, 0.0, 1.0, "probabilities in [0, 1]")
    buy_cost = check_buy_cost(buy_cost)
    high = buy_distribution_cost(num_days, buy_cost, buy_cost, lam).astype(v.dtype)
    check_broadcast(probability=v, num_days=high)
    if buy_cost == 1:  # there is no shorter season to predict
        return jnp.broadcast_to(high, jnp.broadcast_shapes(high.shape, v.shape))
    low = buy_distribution_cost(num_days, buy_cost - 1, buy_cost, lam).astype(v.dtype)
    return v * high + (1 - v) * low


def evaluate_predictor(
    params: PyTree,
    predict_fn: Callable[[PyTree, Any], Array],
    features: Any,
    num_days: Int[AnyArray, "n"],
    buy_cost: int,
    lam: float,
) -> PredictorReport:
    r"""Exact cost of a predictor on real seasons, differentiable in its parameters, with its robustness cap.

    Parameters
    ----------
    params
        Whatever ``predict_fn`` takes.
    predict_fn
        ``predict_fn(params, features) -> [n]``, probabilities in [0, 1] that a season lasts at least ``buy_cost`` days.
    features
        One row a season.
    num_days : [n], int
        True lengths, at least 1.
    buy_cost
        Price ``b`` in days of rent.
    lam
        Trade-off in [1/b, 1]; the robustness depends on it alone.

    Returns
    -------
    PredictorReport

    Raises
    ------
    ValueError
        For predictions of another shape or outside [0, 1], or as :func:`mixed_cost`.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.online.learning import evaluate_predictor
    >>> import jax
    >>> days, seen = np.array([2, 30, 3, 25]), np.array([-1.0, 1.0, -1.0, 1.0])
    >>> def loss(slope):
    ...     report = evaluate_predictor(slope, lambda s, x: jax.nn.sigmoid(s * x), seen, days, 10, 0.5)
    ...     return report.mean_ratio
    >>> print(*np.asarray([loss(0.0), loss(5.0)]).round(3), jax.grad(loss)(0.0) < 0)
    1.77 1.188 True
    """
    v = predict_fn(params, to_array("features", features, dtype="any"))
    days = to_array("num_days", num_days, shape=("n",), dtype="integer")
    check(
        jnp.shape(v) == days.shape, "predict_fn", f"an output of shape {jnp.shape(v)}", f"one per season, {days.shape}"
    )
    cost = mixed_cost(v, days, buy_cost, lam)
    optimum = optimal_cost(days, buy_cost).astype(cost.dtype)
    ratios = cost / optimum
    cap = jnp.asarray(largest_robustness(check_buy_cost(buy_cost), lam), cost.dtype)
    return PredictorReport(ratios.mean(), cost.sum() / optimum.sum(), ratios.max(), cap, ratios)
