"""Closed forms: what schedules guarantee, and what none can."""

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Real

from verax._errors import check_integer
from verax._types import AnyArray
from verax.online._arguments import check_lam, check_range, floating


def largest_lam(num_jobs: int) -> float:
    """The trade-off from which on round robin is as consistent."""
    return (num_jobs - 1) / (num_jobs + 1)


def check_first_stage(num_jobs: int, lam: object) -> None:
    """Raise unless the trade-off is one at which a first stage leaves time for a second."""
    most = largest_lam(num_jobs)
    check_lam(lam, 0.0, most * (1 + 1e-6), f"a trade-off in [0, (n-1)/(n+1)] = [0, {most:.4g}]")


def robustness_lower_bound(num_jobs: int, lam: float | Real[AnyArray, "..."]) -> Float[Array, "..."]:
    r"""Robustness that no ``(1 + lam)``-consistent schedule of ``n`` jobs stays below.

    .. math:: \frac{n + n (n + 1) \lambda}{1 + \lambda (n + 1)(n + 2)/2}

    Parameters
    ----------
    num_jobs
        ``n``, at least 2.
    lam
        In [0, (n - 1)/(n + 1)]; at the upper end the bound is round robin's ``2 n / (n + 1)``.

    Returns
    -------
    array, the shape of ``lam``

    Raises
    ------
    ValueError
        For fewer than two jobs or ``lam`` out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.online.scheduling import robustness_lower_bound
    >>> print(robustness_lower_bound(2, np.array([0.0, 0.1, 1 / 3])).round(4))
    [2.     1.625  1.3333]

    References
    ----------
    Wei, Zhang (2020), Optimal robustness-consistency trade-offs for learning-augmented online algorithms.
    """
    check_integer("num_jobs", num_jobs, minimum=2)
    check_first_stage(num_jobs, lam)
    lam_, n = floating("lam", lam), num_jobs
    return (n + n * (n + 1) * lam_) / (1 + lam_ * ((n + 1) * (n + 2) / 2))


def consistency_at_robustness(num_jobs: int, robustness: float) -> float:
    """The smallest consistency that :func:`robustness_lower_bound` leaves possible: its inverse."""
    n = num_jobs
    return 1 + max(0.0, (n - robustness) / (robustness * (n + 1) * (n + 2) / 2 - n * (n + 1)))


def preferential_round_robin_consistency(num_jobs: int, lam: float | Real[AnyArray, "..."]) -> Float[Array, "..."]:
    r"""Exact worst ratio of preferential round robin when the predicted order is right.

    .. math:: \frac{2 (n + \lambda)}{(n + 1)(1 + \lambda)}

    Parameters
    ----------
    num_jobs
        ``n``, at least 1.
    lam
        Trade-off in [0, 1].

    Returns
    -------
    array, the shape of ``lam``
        Attained by equal jobs.

    Raises
    ------
    ValueError
        For no jobs or ``lam`` outside [0, 1].

    Notes
    -----
    Computed for this library and checked by search: the guarantee of the source, ``(1 / lam)``, is looser.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.online.scheduling import preferential_round_robin_consistency
    >>> print(np.asarray(preferential_round_robin_consistency(2, 0.5)).round(4))
    1.1111
    """
    check_integer("num_jobs", num_jobs, minimum=1)
    check_lam(lam, 0.0, 1.0, "a trade-off in [0, 1]")
    lam_ = floating("lam", lam)
    return 2 * (num_jobs + lam_) / ((num_jobs + 1) * (1 + lam_))


def preferential_round_robin_robustness(num_jobs: int, lam: float | Real[AnyArray, "..."]) -> Float[Array, "..."]:
    r"""Worst ratio of preferential round robin whatever the predictions.

    .. math:: \frac{2 n}{2 + (n - 1)(1 - \lambda)}

    Parameters
    ----------
    num_jobs
        ``n``, at least 1.
    lam
        Trade-off in [0, 1].

    Returns
    -------
    array, the shape of ``lam``
        Attained by one job of size ``n / (1 - lam) - (n - 1)`` that is predicted shortest beside ``n - 1`` unit jobs.

    Raises
    ------
    ValueError
        For no jobs or ``lam`` outside [0, 1].

    Notes
    -----
    That instance proves that the ratio is not smaller. That it is not larger is supported by search for 2 to 5 jobs
    and not proved.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.online.scheduling import preferential_round_robin_robustness
    >>> print(np.asarray(preferential_round_robin_robustness(2, 0.5)).round(4))
    1.6
    """
    check_integer("num_jobs", num_jobs, minimum=1)
    check_lam(lam, 0.0, 1.0, "a trade-off in [0, 1]")
    return 2 * num_jobs / (2 + (num_jobs - 1) * (1 - floating("lam", lam)))


def two_job_frontier(
    robustness: float | Real[AnyArray, "..."], ratio: float | Real[AnyArray, "..."]
) -> Float[Array, "..."]:
    r"""Smallest consistency of a schedule of two jobs at a given robustness: the problem is solved.

    .. math:: \beta = 1 + \frac{m}{2 + r}, \qquad m = \frac{2 - \gamma}{2 (\gamma - 1)}

    A schedule is a path of the work done on both jobs; it is ``gamma``-robust if and only if the smaller coordinate is
    at least ``m`` times the larger, always.

    Parameters
    ----------
    robustness
        ``gamma`` in [4/3, 2].
    ratio
        ``r >= 1``, the longer predicted size over the shorter. ``r = 1`` is the worst.

    Returns
    -------
    array, the broadcast shape

    Raises
    ------
    ValueError
        For a robustness outside [4/3, 2] or a ratio below 1.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.online.scheduling import two_job_frontier
    >>> print(two_job_frontier(1.5, np.array([1.0, 3.0])).round(4))
    [1.1667 1.1   ]

    References
    ----------
    Wei, Zhang (2020), for equal predictions; the cone for other ratios was derived for this library.
    """
    low = 4 / 3 * (1 - 1e-6)
    check_range("robustness", robustness, low, 2.0, "a robustness in [4/3, 2]; 4/3 is the smallest that is attained")
    check_range("ratio", ratio, 1.0, float("inf"), "a ratio of at least 1")
    gamma = floating("robustness", robustness)
    share = (2 - gamma) / (2 * (gamma - 1))
    return 1 + share / (2 + floating("ratio", ratio).astype(gamma.dtype))


def two_stage_equal_jobs(num_jobs: int, lam: float | Real[AnyArray, "..."]) -> tuple[Array, Array]:
    r"""Worst ratio of the two-stage schedule for equal predictions, by the adversary that ends the other jobs early.

    .. math:: \max_m \frac{\sum_{i \le m} (i + (n - i) d) + (n - m)(m + (n - m) d)}{
        d (n - m)(n - m + 1)/2 + m (n - m) d + m (m + 1)/2}, \qquad d = \lambda \frac{n + 1}{n - 1}

    Parameters
    ----------
    num_jobs
        ``n``, at least 2.
    lam
        Trade-off in [0, (n - 1)/(n + 1)].

    Returns
    -------
    ratio : array, the shape of ``lam``
    num_complete : int array
        ``m``, the number of jobs that end as predicted before all others end.

    Raises
    ------
    ValueError
        For fewer than two jobs or ``lam`` out of range.

    Notes
    -----
    For up to four jobs this is the bound of :func:`robustness_lower_bound`; from five jobs on it is above it for
    larger ``lam``. That no other adversary does better is confirmed by :func:`two_stage_worst_case`, which tries all
    cells for up to 14 jobs; it is not proved for all ``n``.

    Examples
    --------
    >>> from verax.online.scheduling import robustness_lower_bound, two_stage_equal_jobs
    >>> print(*(side.round(4) for side in two_stage_equal_jobs(5, 0.3)), robustness_lower_bound(5, 0.3).round(4))
    1.9286 2 1.9178
    """
    check_integer("num_jobs", num_jobs, minimum=2)
    check_first_stage(num_jobs, lam)
    n = num_jobs
    d = (floating("lam", lam) * ((n + 1) / (n - 1)))[..., None]
    m = jnp.arange(n, dtype=d.dtype)
    waiting = n - m
    before = m * (m + 1) / 2 + d * (n * m - m * (m + 1) / 2)
    cost = before + waiting * (m + waiting * d)
    opt = d * (waiting * (waiting + 1) / 2 + m * waiting) + m * (m + 1) / 2
    ratio = jnp.where(opt > 0, cost / jnp.where(opt > 0, opt, 1), n)  # without a first stage the others end at once
    return ratio.max(-1), ratio.argmax(-1)
