"""Preferential round robin: a share of the machine for the job that is predicted shortest, the rest for all."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Real

from verax._types import AnyArray
from verax.online._arguments import check_lam, floating, pair_of_sizes

from ._costs import in_order


def preferential_round_robin_cost(
    x: Real[AnyArray, "... n"], y: Real[AnyArray, "... n"], lam: float | Real[AnyArray, "..."]
) -> Float[Array, "..."]:
    r"""Sum of completion times of preferential round robin.

    With ``k`` unfinished jobs the one that is predicted shortest runs at rate ``lam + (1 - lam) / k``, each other at
    ``(1 - lam) / k``.

    Parameters
    ----------
    x, y : [*b, n]
        Positive job sizes and their predictions; equal predictions keep the order of the array.
    lam
        Trade-off in [0, 1]: 0 is round robin, 1 shortest predicted first.

    Returns
    -------
    [*b]
        Exact; differentiable in ``x`` and ``lam``.

    Raises
    ------
    ValueError
        For sizes that are not positive and finite, predictions of another number of jobs, or ``lam`` outside [0, 1].

    Notes
    -----
    ``n`` events of ``O(n)`` operations, over all instances at once. The job that finishes at an event is the one with
    the least time to go, never one chosen by a tolerance, so exactly ``n`` events suffice.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.online.scheduling import preferential_round_robin_cost
    >>> x, y = np.array([3.0, 1.0]), np.array([1.0, 2.0])
    >>> print([float(preferential_round_robin_cost(x, y, lam)) for lam in (0.0, 0.5, 1.0)])
    [6.0, 8.0, 7.0]

    References
    ----------
    Purohit, Svitkina, Kumar (2018), Improving online algorithms via ML predictions, Section 3.
    """
    check_lam(lam, 0.0, 1.0, "a trade-off in [0, 1]")
    x_, y_ = pair_of_sizes(x, y)
    share = floating("lam", lam).astype(x_.dtype)
    jobs = jnp.moveaxis(in_order(x_, y_), -1, 0)  # [n, *b]: reductions over jobs are then over whole vectors
    shape = jnp.broadcast_shapes(jobs.shape[1:], share.shape)
    return _simulate(jnp.broadcast_to(jobs, (jobs.shape[0], *shape)), jnp.broadcast_to(share, shape))


def _simulate(jobs: Array, share: Array) -> Array:
    num = jobs.shape[0]

    def event(state: tuple[Array, Array], number: Array) -> tuple[tuple[Array, Array], Array]:
        left, unfinished = state
        common = (1 - share) / number.astype(jobs.dtype)
        first = jnp.cumsum(unfinished, axis=0) == 1  # true from the preferred job to the next unfinished one
        rate = common + jnp.where(first & unfinished, share, 0)
        idle = rate == 0  # at lam = 1 the others wait
        span = jnp.where(unfinished & ~idle, left / jnp.where(idle, 1, rate), np.inf)
        chosen = jnp.argmin(span, axis=0)
        elapsed = jnp.min(span, axis=0)
        finished = jnp.arange(num).reshape(-1, *[1] * share.ndim) == chosen
        left = jnp.maximum(left - rate * elapsed, 0)
        return (left, unfinished & ~finished), elapsed * number.astype(jobs.dtype)

    start = (jobs, jnp.ones(jobs.shape, bool))
    _, waiting = jax.lax.scan(event, start, jnp.arange(num, 0, -1))
    return waiting.sum(0)
