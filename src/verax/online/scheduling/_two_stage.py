"""The two-stage schedule: round robin for a while, then the predicted order, and back at the first sign of an error."""

import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float, Real

from verax._types import AnyArray
from verax.online._arguments import floating, pair_of_sizes

from ._bounds import check_first_stage
from ._costs import shared_completion, total_completion


def two_stage_cost(
    x: Real[AnyArray, "... n"], y: Real[AnyArray, "... n"], lam: float | Real[AnyArray, "..."]
) -> Float[Array, "..."]:
    r"""Sum of completion times of the two-stage schedule.

    Round robin until each unfinished job has received ``d = lam OPT(y) / C(n, 2)``; then one job after the other in
    predicted order; round robin forever from the moment at which a prediction is found to be wrong. That is when a job
    ends before its predicted size, and also when it has received its predicted size and does not end.

    Parameters
    ----------
    x, y : [..., n]
        Positive job sizes and their predictions; equal predictions keep the order of the array.
    lam
        Trade-off in [0, (n - 1)/(n + 1)].

    Returns
    -------
    [...]
        ``(1 + lam)`` times the optimum at most if all predictions are right.

    Raises
    ------
    ValueError
        For sizes that are not positive and finite, predictions of another number of jobs, or ``lam`` out of range.

    Notes
    -----
    A closed form of sorts and prefix sums, no simulation. Predictions count as right only if they are exact, as in the
    definition: the schedule is not smooth in the error. Implementations that look at a prediction only when a job ends
    are not robust: one endless job then delays all others.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.online.scheduling import two_stage_cost
    >>> y = np.array([1.0, 1.0])
    >>> print(np.asarray(two_stage_cost(y, y, 0.1)).round(3))  # 1.1 times the optimum of 3
    3.3
    >>> print(np.asarray(two_stage_cost(np.array([1e4, 0.31]), y, 0.1)).round(1))  # the endless job is noticed
    10001.6

    References
    ----------
    Wei, Zhang (2020), Optimal robustness-consistency trade-offs for learning-augmented online algorithms.
    """
    x_, y_ = pair_of_sizes(x, y)
    num = x_.shape[-1]
    check_first_stage(num, lam)
    share = floating("lam", lam).astype(x_.dtype)
    if num == 1:
        return jnp.broadcast_to(x_[..., 0], jnp.broadcast_shapes(x_.shape[:-1], share.shape))
    return two_stage(x_, y_, share, jnp.zeros(x_.shape, bool))


def two_stage(x: Array, y: Array, lam: Array, just_after: Bool[Array, "... n"]) -> Array:
    """See :func:`two_stage_cost`; jobs ``just_after`` end an instant after their size, the right limit of the cost."""
    num = x.shape[-1]
    order = jnp.argsort(y, axis=-1, stable=True)
    x, y, just_after = (jnp.take_along_axis(array, order, axis=-1) for array in (x, y, just_after))
    d = first_stage(y, lam)[..., None]
    wrong = (x != y) | just_after
    known = jnp.minimum(x, y)  # what a job has received when its prediction is found to be wrong
    later = known == d
    early = (wrong & ((known < d) | (later & ~(just_after & (x <= y))))).any(-1)

    in_first = x <= d
    in_first = in_first & ~(just_after & (x == d))
    received = jnp.minimum(x, d)
    length = received.sum(-1, keepdims=True)  # of the first stage
    shared = jnp.minimum(x[..., :, None], x[..., None, :]).sum(-1)  # completion times under round robin
    first = jnp.where(in_first, shared, 0).sum(-1)

    position = jnp.where(wrong.any(-1), jnp.argmax(wrong, axis=-1), num)[..., None]
    index = jnp.arange(num)
    run = jnp.where(in_first, 0, x - d)
    ends = length + jnp.cumsum(run, axis=-1)
    second = jnp.where(~in_first & (index < position), ends, 0).sum(-1)
    at_fault = jnp.where(index == position, known - d, 0)
    time = length[..., 0] + jnp.where(index < position, run, at_fault).sum(-1)
    left = jnp.where(index == position, x - known, jnp.where(index > position, run, 0))
    waiting = (~in_first & (index >= position)).sum(-1).astype(x.dtype)
    # Jobs of an earlier position have nothing left and complete at once, which adds nothing to a sum of shared times.
    fallback = waiting * time + shared_completion(left)
    return jnp.where(early, shared_completion(x), first + second + fallback)


def first_stage(y: Array, lam: Array) -> Array:
    """Work on each job before the predicted order begins."""
    num = y.shape[-1]
    return lam * total_completion(jnp.sort(y, axis=-1)) / (num * (num - 1) / 2)
