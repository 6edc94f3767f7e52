"""Preferential round robin: a share of the machine for the job that is predicted shortest, the rest for all."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Real

from verax._types import AnyArray
from verax.online._arguments import check_lam, floating, pair_of_sizes

from ._costs import in_order

_UNROLLED = 8  # jobs up to which compiling all events at once is worth it


def preferential_round_robin_cost(
    x: Real[AnyArray, "... n"], y: Real[AnyArray, "... n"], lam: float | Real[AnyArray, "..."]
) -> Float[Array, "..."]:
    r"""Sum of completion times of preferential round robin.

    With ``k`` unfinished jobs the one that is predicted shortest runs at rate ``lam + (1 - lam) / k``, each other at
    ``(1 - lam) / k``.

    Parameters
    ----------
    x, y : [..., n]
        Positive job sizes and their predictions; equal predictions keep the order of the array.
    lam
        Trade-off in [0, 1]: 0 is round robin, 1 shortest predicted first.

    Returns
    -------
    [...]
        Exact; differentiable in ``x`` and ``lam``.

    Raises
    ------
    ValueError
        For sizes that are not positive and finite, predictions of another number of jobs, or ``lam`` outside [0, 1].

    Notes
    -----
    ``n`` events of ``O(n)`` operations, over all instances at once; up to eight jobs, sorting and events are unrolled
    into one elementwise program. The job that finishes at an event is the one with least time to go, never one chosen
    by a tolerance, so exactly ``n`` events suffice.

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
    x_, y_ = pair_of_sizes(x, y, only_order=True)
    share = floating("lam", lam).astype(x_.dtype)
    shape = jnp.broadcast_shapes(x_.shape[:-1], share.shape)
    share = jnp.broadcast_to(share, shape)
    x_, y_ = (jnp.broadcast_to(side, (*shape, side.shape[-1])) for side in (x_, y_))
    # Jobs go first: what is done to a job is then done to a whole vector of instances.
    if x_.shape[-1] <= _UNROLLED:
        return _unrolled(_bubble_sorted(*(list(jnp.moveaxis(side, -1, 0)) for side in (x_, y_))), share)
    return _scanned(jnp.moveaxis(in_order(x_, y_), -1, 0), share)


def _bubble_sorted(x: list[Array], y: list[Array]) -> list[Array]:
    """Jobs in the order of their predictions, by exchanges of neighbours: stable, and elementwise over instances."""
    for last in range(len(x) - 1, 0, -1):
        for j in range(last):
            swap = y[j] > y[j + 1]
            for side in (x, y):
                low, high = side[j], side[j + 1]
                side[j], side[j + 1] = jnp.where(swap, high, low), jnp.where(swap, low, high)
    return x


def _unrolled(jobs: list[Array], share: Array) -> Array:
    """All events in one elementwise program, so that an instance stays in registers from first to last."""
    num = len(jobs)
    left, unfinished = list(jobs), [jnp.ones(share.shape, bool)] * num
    total = jnp.zeros_like(share)
    for number in range(num, 0, -1):
        common = (1 - share) / number
        taken = jnp.zeros(share.shape, bool)  # whether an earlier job is preferred
        rates, spans = [], []
        for job, waiting in zip(left, unfinished, strict=True):
            rate = jnp.where(taken, common, common + share)
            taken = taken | waiting
            idle = rate == 0  # at lam = 1 the others wait
            rates.append(rate)
            spans.append(jnp.where(waiting & ~idle, job / jnp.where(idle, 1, rate), np.inf))
        elapsed = functools.reduce(jnp.minimum, spans)
        total = total + elapsed * number
        done = jnp.zeros(share.shape, bool)  # of jobs that tie, the first finishes now and the next after no time
        for j in range(num):
            finishes = unfinished[j] & (spans[j] == elapsed) & ~done
            done = done | finishes
            left[j] = jnp.maximum(left[j] - rates[j] * elapsed, 0)
            unfinished[j] = unfinished[j] & ~finishes
    return total


def _scanned(jobs: Array, share: Array) -> Array:
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
