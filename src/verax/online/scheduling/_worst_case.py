"""Exact worst case of the two-stage schedule for given predictions, by enumeration of critical sizes."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Float, Real

from verax._errors import check
from verax._types import AnyArray
from verax.online._arguments import floating, sizes

from ._bounds import check_first_stage
from ._costs import optimal_cost
from ._two_stage import first_stage, two_stage

_MOST_JOBS = 5


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

    Between critical sizes cost and optimum are linear in each job's size, so that their ratio is monotone there and the
    supremum lies at critical sizes or just after one: ``d``, the predictions, and the sizes of other jobs.

    Parameters
    ----------
    y : [n]
        Positive predictions, at most five.
    lam
        Trade-off in [0, (n - 1)/(n + 1)].

    Returns
    -------
    SchedulingWorstCase

    Raises
    ------
    ValueError
        For more than five jobs, predictions that are not positive and finite, or ``lam`` out of range.

    Notes
    -----
    ``(4 + 4 m)^n`` instances for ``m`` distinct predictions, in one batch: each job ends at ``d``, at a prediction or
    at ``n`` times the largest, or just after one of these. Right limits are evaluated as such, not by a small number.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.online.scheduling import two_stage_worst_case
    >>> worst = two_stage_worst_case(np.array([1.0, 1.0]), 0.1)
    >>> print(worst.robustness.round(4), worst.just_after)
    1.625 [False  True]

    References
    ----------
    Wei, Zhang (2020): ``1 + 1 / (1 + 6 lam)`` for two jobs.
    """
    predictions = sizes("y", y)
    num = predictions.shape[-1]
    check(predictions.ndim == 1 and 2 <= num <= _MOST_JOBS, "y", f"shape {predictions.shape}", "2 to 5 predictions [n]")
    check_first_stage(num, lam)
    share = floating("lam", lam).astype(predictions.dtype)
    d = float(first_stage(predictions, share))
    levels = np.unique(np.append(np.asarray(predictions, np.float64), num * float(predictions.max())))
    values = np.concatenate([[d] * (d > 0), levels]).astype(predictions.dtype)
    grids = np.meshgrid(*[np.arange(2 * values.size)] * num, indexing="ij")
    choice = np.stack([grid.ravel() for grid in grids], axis=-1)
    x, after = jnp.asarray(values[choice // 2]), jnp.asarray(choice % 2 == 1)
    ratio = _ratios(x, predictions, share, after)
    worst = int(jnp.argmax(ratio))
    return SchedulingWorstCase(ratio[worst], x[worst], after[worst])


@jax.jit
def _ratios(x: Array, y: Array, lam: Array, after: Array) -> Array:
    return two_stage(x, jnp.broadcast_to(y, x.shape), lam, after) / optimal_cost(x)
