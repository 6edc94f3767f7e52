"""Exact worst case of the two-stage schedule for given predictions, by enumeration of critical sizes."""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Float, Real

from verax._errors import check, is_traced
from verax._results import result
from verax._types import AnyArray
from verax.online._arguments import sizes

from ._bounds import check_first_stage

_MOST_JOBS = 14


@result()
class SchedulingWorstCase(NamedTuple):
    """The worst case over all sizes of the jobs.

    Attributes
    ----------
    robustness
        Supremum of the ratio of cost to optimum.
    witness : [n]
        Sizes at which it is attained or approached.
    just_after : [n], bool
        Jobs that must end an instant after their witness size: the supremum is then approached from the right.
    """

    robustness: Float[Array, ""]
    witness: Float[Array, "n"]
    just_after: Bool[Array, "n"]


def two_stage_worst_case(y: Real[AnyArray, "n"], lam: float) -> SchedulingWorstCase:
    r"""Worst ratio of the two-stage schedule over all sizes, for given predictions.

    Parameters
    ----------
    y : [n]
        Positive predictions of 2 to 14 jobs.
    lam
        Trade-off in [0, (n - 1)/(n + 1)].

    Returns
    -------
    SchedulingWorstCase

    Raises
    ------
    ValueError
        For fewer or more jobs, predictions that are not positive and finite or are traced, or ``lam`` out of range.

    Notes
    -----
    An error in the first stage makes the schedule round robin, whose supremum is ``2n/(n+1)``. Otherwise let job ``p``
    of the predicted order be the first at fault; those before it are as predicted, those behind it have all received
    ``d`` and are alike. Cost and optimum are then linear in the free sizes between the hyperplanes on which two sizes,
    or what is left of two jobs when the error is found, are equal. A ratio of linear functions is largest at a vertex
    of such a cell, or along a ray to infinity, where it is round robin's on the jobs that grow. At a vertex each size
    behind ``p`` is ``d``, a prediction before ``p``, the size of job ``p``, or leaves as much as job ``p`` does; job
    ``p`` ends just after ``d`` or its own prediction, or meets one of those. All vertices are tried, with their right
    limits as such and in double precision on the host: 10,240 instances for 10 distinct predictions, 229,376 for 14.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.online.scheduling import two_stage_worst_case
    >>> worst = two_stage_worst_case(np.array([1.0, 1.0]), 0.1)
    >>> print(worst.robustness.round(4), worst.just_after)
    1.625 [ True  True]

    References
    ----------
    Wei, Zhang (2020): ``1 + 1 / (1 + 6 lam)`` for two jobs.
    """
    check(not is_traced(y), "y", "a traced value", "concrete predictions: the number of instances depends on them")
    predictions = np.asarray(sizes("y", y), np.float64)
    num, allowed = predictions.shape[-1], f"2 to {_MOST_JOBS} predictions [n]"
    check(predictions.ndim == 1 and 2 <= num <= _MOST_JOBS, "y", f"shape {predictions.shape}", allowed)
    check_first_stage(num, lam)
    order = np.argsort(predictions, kind="stable")
    ordered = predictions[order]
    d = float(lam) * float(ordered @ np.arange(num, 0, -1)) / (num * (num - 1) / 2)
    worst, witness, after = 2 * num / (num + 1), np.full(num, d / 2), np.zeros(num, bool)
    for first in np.flatnonzero(ordered > d).tolist():
        x = np.array(list(_vertices(ordered, d, first)))
        ratio = _ratio(x, ordered, d, first)
        best = int(ratio.argmax())
        if ratio[best] > worst:
            worst, witness = float(ratio[best]), x[best]
            after = (np.arange(num) >= first) & (witness == d)
            after[first] |= witness[first] == ordered[first]
    back = np.argsort(order, kind="stable")
    dtype = jnp.result_type(float)
    return SchedulingWorstCase(jnp.asarray(worst, dtype), jnp.asarray(witness[back], dtype), jnp.asarray(after[back]))


def _vertices(y: np.ndarray, d: float, first: int) -> Iterator[np.ndarray]:
    """Sizes at the vertices of all cells in which job ``first`` of the predicted order is the first at fault."""
    before, known = y[:first], y[first]
    passed = sorted(set(before[before > d].tolist()))
    for size in {d, known, *passed, *(level + known - d for level in passed)}:
        alike = sorted({d, *passed, size, max(d, size + d - known)})
        for behind in itertools.combinations_with_replacement(alike, len(y) - first - 1):
            yield np.array([*before, size, *behind])


def _ratio(x: np.ndarray, y: np.ndarray, d: float, first: int) -> np.ndarray:
    """Cost over optimum, in the limit from the right for jobs from ``first`` on that end at ``d`` or as predicted."""
    num = len(y)
    known = np.minimum(x[:, first], y[first])  # what job ``first`` has received when its prediction is found wrong
    in_first = y[:first] <= d
    shared = np.minimum(y[:first, None], np.minimum(y, d)).sum(1)  # ends of those that the first stage completes
    runs = np.where(in_first, 0, y[:first] - d)
    length = np.minimum(y, d)[:first].sum() + d * (num - first)
    ends = length + np.cumsum(runs)
    detected = length + runs.sum() + known - d
    left = np.concatenate([(x[:, first] - known)[:, None], x[:, first + 1 :] - d], axis=1)
    resumed = np.sort(left, axis=1) @ np.arange(2 * left.shape[1] - 1, 0, -2)
    cost = shared[in_first].sum() + ends[~in_first].sum() + (num - first) * detected + resumed
    return cost / (np.sort(x, axis=1) @ np.arange(num, 0, -1))
