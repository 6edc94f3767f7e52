"""Sums of completion times that need no simulation."""

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Real

from verax._types import AnyArray
from verax.online._arguments import pair_of_sizes, sizes


def optimal_cost(x: Real[AnyArray, "... n"]) -> Float[Array, "..."]:
    r"""Smallest sum of completion times, shortest job first.

    .. math:: \mathrm{OPT}(x) = \sum_i (n - i + 1)\, x_{(i)}

    Parameters
    ----------
    x : [..., n]
        Positive job sizes.

    Returns
    -------
    [...]

    Raises
    ------
    ValueError
        For sizes that are not positive and finite, or no jobs.

    Notes
    -----
    One sort.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.online.scheduling import optimal_cost
    >>> print(optimal_cost(np.array([3.0, 1.0])))
    5.0

    References
    ----------
    Smith (1956), Various optimizers for single-stage production.
    """
    return total_completion(jnp.sort(sizes("x", x), axis=-1))


def round_robin_cost(x: Real[AnyArray, "... n"]) -> Float[Array, "..."]:
    r"""Sum of completion times when all unfinished jobs share the machine equally.

    .. math:: \mathrm{RR}(x) = \sum_i x_i + 2 \sum_{i < j} \min(x_i, x_j)

    Parameters
    ----------
    x : [..., n]
        Positive job sizes.

    Returns
    -------
    [...]
        At most ``2 n / (n + 1)`` times the optimum, attained by equal jobs.

    Raises
    ------
    ValueError
        As :func:`optimal_cost`.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.online.scheduling import round_robin_cost
    >>> print(round_robin_cost(np.array([3.0, 1.0])))
    6.0

    References
    ----------
    Motwani, Phillips, Torng (1994), Nonclairvoyant scheduling.
    """
    return shared_completion(sizes("x", x))


def shortest_predicted_first_cost(x: Real[AnyArray, "... n"], y: Real[AnyArray, "... n"]) -> Float[Array, "..."]:
    r"""Sum of completion times when jobs run one after the other in the order of their predictions.

    .. math:: \mathrm{SPF}(x, y) - \mathrm{OPT}(x) = \sum_{\text{pairs in the wrong order}} |x_i - x_j|
        \le (n - 1) \sum_i |x_i - y_i|

    Parameters
    ----------
    x, y : [..., n]
        Positive job sizes, and predictions of which only the order counts: any finite numbers. Equal ones keep the
        order of the array.

    Returns
    -------
    [...]
        Up to ``n`` times the optimum.

    Raises
    ------
    ValueError
        For sizes that are not positive and finite, or predictions of another number of jobs.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.online.scheduling import shortest_predicted_first_cost
    >>> print(shortest_predicted_first_cost(np.array([3.0, 1.0]), np.array([1.0, 2.0])))
    7.0

    References
    ----------
    Purohit, Svitkina, Kumar (2018), Section 3.
    """
    x_, y_ = pair_of_sizes(x, y, only_order=True)
    return total_completion(in_order(x_, y_))


def in_order(x: Array, y: Array) -> Array:
    """Sizes in the order of their predictions, stable for ties."""
    return jnp.take_along_axis(x, jnp.argsort(y, axis=-1, stable=True), axis=-1)


def total_completion(x: Array) -> Array:
    """Sum of completion times of jobs that run one after the other."""
    return jnp.sum(x * jnp.arange(x.shape[-1], 0, -1, dtype=x.dtype), axis=-1)


def shared_completion(x: Array) -> Array:
    """Sum of completion times of jobs that share the machine; sizes of zero are allowed, and complete at once."""
    return jnp.sum(jnp.sort(x, axis=-1) * jnp.arange(2 * x.shape[-1] - 1, 0, -2, dtype=x.dtype), axis=-1)
