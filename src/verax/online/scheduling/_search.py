"""Minimax search over schedules for equal predictions: the consistency that a robustness costs."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from verax._errors import check_integer
from verax._lp import linear_programme
from verax._results import result
from verax.online._arguments import check_range

from ._bounds import consistency_at_robustness


@result()
class Schedule(NamedTuple):
    """The best multi-stage schedule of a given robustness, and the gap to what is known to be impossible.

    Attributes
    ----------
    work : [n - 1]
        What each waiting job has received when the 1st, 2nd, ... job completes at its predicted size 1.
    consistency
        Its ratio when all predictions are right.
    lower_bound
        No schedule of this robustness is more consistent (the inverse of ``robustness_lower_bound``).
    gap
        ``consistency - lower_bound``: zero up to four jobs, open for more.
    worst_case
        Its largest ratio over the adversaries that let ``m`` jobs complete and then end all others.
    solver_gap
        Relative duality gap of the linear programme.
    """

    work: Float[Array, "n-1"]
    consistency: Float[Array, ""]
    lower_bound: Float[Array, ""]
    gap: Float[Array, ""]
    worst_case: Float[Array, ""]
    solver_gap: Float[Array, ""]


def search_schedule(num_jobs: int, robustness: float) -> Schedule:
    r"""Find the most consistent multi-stage schedule of ``n`` jobs that are predicted to be equal.

    .. math:: \min_{0 \le d_1 \le \dots \le d_{n-1} \le 1} \sum_i (n - i) d_i \quad \text{subject to} \quad
        \sum_{i \le m} (i + (n - i) d_i) + (n - m)(m + (n - m) d_m) \le \gamma\,\mathrm{OPT}_m, \; m = 1..n-1

    with ``OPT_m = m (m + 1)/2 + d_m ((n - m)(n - m + 1)/2 + m (n - m))``, the optimum when ``m`` jobs have size 1 and
    the others ``d_m``: a linear programme in the work ``d_i`` on each waiting job at the ``i``-th completion.

    Parameters
    ----------
    num_jobs
        ``n``, at least 2.
    robustness
        ``gamma`` in [2 n / (n + 1), n].

    Returns
    -------
    Schedule

    Raises
    ------
    ValueError
        For fewer than two jobs, or a robustness below round robin's, which is the smallest that is attained, or
        above ``n``.

    Notes
    -----
    For two jobs this is :func:`two_job_frontier`; for three and four it meets the lower bound; from five on a gap
    remains, which is an open problem. The schedule is robust against the adversaries of the programme; for five jobs or
    more it has not been proved that no other is worse.

    Examples
    --------
    >>> from verax.online.scheduling import search_schedule, two_job_frontier
    >>> print(search_schedule(2, 1.5).consistency.round(3), two_job_frontier(1.5, 1.0).round(3))
    1.167 1.167

    References
    ----------
    Wei, Zhang (2020) for the lower bound.
    """
    check_integer("num_jobs", num_jobs, minimum=2)
    n, least = num_jobs, 2 * num_jobs / (num_jobs + 1)
    need = f"a robustness in [2n/(n+1), n] = [{least:.6g}, {n}]; the lower end is the smallest that is attained"
    check_range("robustness", robustness, least * (1 - 1e-9), n, need)
    gamma, i = float(robustness), np.arange(1, n)
    others = n - i
    opt = others * (others + 1) / 2 + i * others  # times d_m, beside m (m + 1) / 2
    earlier = np.tril(np.broadcast_to(others, (n - 1, n - 1)))
    matrix = earlier + np.diag(others * others - gamma * opt)
    limit = gamma * i * (i + 1) / 2 - i * (i + 1) / 2 - others * i
    rising = np.eye(n - 1)[:-1] - np.eye(n - 1)[1:]  # d_i <= d_{i + 1}
    last = np.eye(n - 1)[-1:]
    a_ub = np.concatenate([matrix / (n * n), rising, last])
    b_ub = np.concatenate([limit / (n * n), np.zeros(n - 2), np.ones(1)])
    dtype = jnp.result_type(float)
    best = _minimise(jnp.asarray(others / n, dtype), jnp.asarray(a_ub, dtype), jnp.asarray(b_ub, dtype))
    work = jnp.clip(best.x, 0, 1)
    waiting, optimum, number, completed, before = (
        jnp.asarray(array, dtype) for array in (others, opt, i, i * (i + 1) / 2, earlier)
    )
    with jax.default_matmul_precision("highest"):
        cost = completed + before @ work + waiting * (number + waiting * work)
        consistency = 1 + waiting @ work / (n * (n + 1) / 2)
    worst = jnp.max(cost / (completed + optimum * work))
    bound = jnp.asarray(consistency_at_robustness(n, gamma), dtype)
    return Schedule(work, consistency, bound, consistency - bound, worst, best.gap)


@jax.jit
def _minimise(c: Array, a_ub: Array, b_ub: Array):
    return linear_programme(c, a_ub, b_ub, jnp.zeros((0, c.shape[0]), c.dtype), jnp.zeros(0, c.dtype))
