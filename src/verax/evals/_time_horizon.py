"""The length of tasks, in human time, that a model completes with a given probability."""

import math
from typing import Any, NamedTuple

import numpy as np
from jax import Array
from jaxtyping import Float, Int

from verax import _special as special
from verax._arrays import to_host, to_number
from verax._numpy_random import numpy_generator
from verax._results import raise_if_failed, result
from verax._types import AnyArray

from ._interval import SENTENCES, Status
from ._numeric import need_key, take_count, take_level
from ._table import take_cluster

_STEPS, _PENALTY = 40, 0.05


@result(SENTENCES)
class TimeHorizon(NamedTuple):
    """A time horizon with limits.

    Attributes
    ----------
    estimate, lower, upper : scalar
        In the unit of ``human_time``. A limit of 0 or infinity says that the tasks do not bound the horizon there.
    slope : scalar
        Change of the log odds of success per doubling of the time; negative.
    num_units : scalar
        Tasks, or clusters of them.
    status : scalar
        A :class:`Status`; ``SEPARATED`` where all attempts or none succeeded.
    """

    estimate: Float[AnyArray, ""]
    lower: Float[AnyArray, ""]
    upper: Float[AnyArray, ""]
    slope: Float[AnyArray, ""]
    num_units: Int[AnyArray, ""]
    status: Int[AnyArray, ""]
    raise_if_failed = raise_if_failed


def time_horizon(
    success_rate: Any,
    human_time: Any,
    *,
    probability: float = 0.5,
    cluster: Any = None,
    level: float = 0.95,
    num_resamples: int = 2000,
    key: Array | None = None,
) -> TimeHorizon:
    r"""Human time of the tasks that a model completes with probability ``p``.

    .. math:: P(\text{success}) = \sigma(a + b \log_2 t), \qquad
        t_p = 2^{(\operatorname{logit}(p) - a) / b}

    Parameters
    ----------
    success_rate : [n]
        Share of the attempts at each task that succeeded.
    human_time : [n]
        Time that people need for each task, positive, in any unit.
    probability
        In (0, 1): 0.5 for the usual horizon, 0.8 for a stricter one.
    cluster : [n]
        Families of tasks; tasks of one family are not independent.
    level
        Coverage of the limits, in (0, 1).
    num_resamples, key
        Number of resamples of tasks, or of clusters of them, and the key to draw them with: the limits hold the
        variance between tasks of the same length, which resampling attempts alone would not.

    Returns
    -------
    TimeHorizon

    Raises
    ------
    ValueError
        For rates outside [0, 1], or times that are not positive.

    Notes
    -----
    A resample in which success does not fall with time has no horizon: it counts as unbounded on both sides. A weak
    penalty on the slope keeps the fit finite.

    Examples
    --------
    >>> import jax, numpy as np
    >>> from verax.evals import time_horizon
    >>> rng = np.random.default_rng(1)
    >>> minutes = 2 ** rng.uniform(0, 10, 150)
    >>> solved = rng.random(150) < 1 / (1 + (minutes / 60) ** 0.9)
    >>> found = time_horizon(solved, minutes, key=jax.random.key(0))
    >>> bool(found.lower < 60 < found.upper), int(found.status)
    (True, 0)

    References
    ----------
    Kwa et al. (2025), Measuring AI ability to complete long tasks.
    """
    rates = to_host("success_rate", success_rate, shape=("task",), within="[0, 1]")
    times = to_host("human_time", human_time, shape=rates.shape, within="(0, inf)")
    wanted = float(special.logit(to_number("probability", probability, "(0, 1)")))
    level, num_resamples = take_level(level), take_count("num_resamples", num_resamples, minimum=100)
    groups = np.arange(len(rates)) if cluster is None else take_cluster(cluster, len(rates))
    x, num = np.log2(times), int(groups.max()) + 1
    rng = numpy_generator(need_key(key, "for the resamples"))
    drawn = np.stack([np.bincount(rng.integers(0, num, num), minlength=num)[groups] for _ in range(num_resamples)])
    slopes, logs = _fit(x, rates, np.concatenate([np.ones((1, len(x))), drawn]), wanted)
    falls = slopes < 0
    tail = (1 - level) / 2
    low, high = np.where(falls, logs, -np.inf)[1:], np.where(falls, logs, np.inf)[1:]
    mixed = 0 < rates.mean() < 1
    sound = mixed and num > 1 and bool(falls[0])
    status = Status.OK
    if not sound:
        status = Status.SEPARATED if not mixed else Status.ONE_UNIT if num == 1 else Status.NOT_IDENTIFIED
    lower = float(np.quantile(low, tail, method="lower"))
    upper = float(np.quantile(high, 1 - tail, method="higher"))
    return TimeHorizon(
        np.asarray(_power(logs[0]) if sound else np.nan),
        np.asarray(_power(lower) if sound else 0.0),
        np.asarray(_power(upper) if sound else np.inf),
        np.asarray(slopes[0]),
        np.asarray(num),
        np.asarray(int(status), np.int32),
    )


def _power(exponent: float) -> float:
    return math.inf if exponent > 1000 else 0.0 if exponent < -1000 else 2.0**exponent


def _fit(x: np.ndarray, y: np.ndarray, weight: np.ndarray, wanted: float) -> tuple[np.ndarray, np.ndarray]:
    """Slopes, and logarithms of the horizons, of weighted logistic regressions, one per row of weights."""
    centre = x.mean()
    z = x - centre
    a, b = np.zeros(len(weight)), np.zeros(len(weight))
    for _ in range(_STEPS):
        p = special.expit(a[:, None] + b[:, None] * z)
        error, bend = weight * (y - p), weight * p * (1 - p)
        slope_a, slope_b = error.sum(1) - _PENALTY * a, error @ z - _PENALTY * b
        aa, ab, bb = bend.sum(1) + _PENALTY, bend @ z, bend @ z**2 + _PENALTY
        determinant = aa * bb - ab**2
        a = a + np.clip((bb * slope_a - ab * slope_b) / determinant, -1, 1)
        b = b + np.clip((aa * slope_b - ab * slope_a) / determinant, -1, 1)
    safe = np.where(np.abs(b) > 1e-9, b, 1e-9)
    return b, centre + (wanted - a) / safe
