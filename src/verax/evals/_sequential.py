"""Intervals and evidence that stay valid however often one looks."""

import math
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from verax import _special as special
from verax._arrays import to_number
from verax._errors import check
from verax._types import AnyArray

from ._interval import Interval
from ._numeric import Numeric, as_float, module_for, on_host, take, take_level

_HALVINGS = 60


def confidence_sequence(stream: Any, *, level: float = 0.95, prior: tuple[float, float] = (0.5, 0.5)) -> Interval:
    r"""Limits for a rate after each of a sequence of trials, all of which hold at once with probability ``level``.

    After :math:`n` trials with :math:`S` successes a rate :math:`p` stays as long as

    .. math:: \log \frac{B(a + S, b + n - S)}{B(a, b)} - S \log p - (n - S) \log(1 - p) < \log \frac{1}{\alpha}

    Parameters
    ----------
    stream : [t]
        Successes and failures in order, as 0 and 1; independent given the past, of one rate.
    level
        In (0, 1).
    prior
        ``a, b`` of the mixture, positive; where it puts its mass the limits are narrow, but they hold for any.

    Returns
    -------
    Interval
        Fields ``[t]``. Limits never widen: each is the tightest so far. Stop when you like, for whatever reason.

    Raises
    ------
    ValueError
        For values other than 0 and 1, or a prior that is not positive.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.evals import confidence_sequence
    >>> found = confidence_sequence(np.zeros(500, int))
    >>> print(np.asarray(found.upper)[[9, 99, 499]].round(3))  # no success in 10, 100, 500
    [0.377 0.057 0.013]

    References
    ----------
    Robbins (1970), Statistical methods related to the law of the iterated logarithm; Ville (1939).
    """
    level = take_level(level)
    a, b = _check_prior(prior)
    success, failure = _totals(stream)
    xp = module_for(success)
    total = success + failure
    centre = success / total

    def search(success: np.ndarray, failure: np.ndarray, end: float) -> np.ndarray:
        """The last rate that stays, on the way from the observed one, which always stays, to an end."""
        evidence = special.betaln(a + success, b + failure) - special.betaln(a, b) - math.log(1 / (1 - level))
        inside = success / (success + failure)
        outside = np.full_like(inside, end)
        for _ in range(_HALVINGS):
            middle = (inside + outside) / 2
            out = evidence >= special.xlogy(success, middle) + special.xlog1py(failure, -middle)
            inside, outside = np.where(out, inside, middle), np.where(out, middle, outside)
        return outside

    lower = xp.where(success == 0, 0, on_host(lambda s, f: search(s, f, 0.0), success, failure))
    upper = xp.where(failure == 0, 1, on_host(lambda s, f: search(s, f, 1.0), success, failure))
    if xp is np:
        lower, upper = np.maximum.accumulate(lower), np.minimum.accumulate(upper)
    else:
        lower, upper = jax.lax.cummax(lower), jax.lax.cummin(upper)
    error = xp.sqrt(centre * (1 - centre) / total)
    return Interval(centre, lower, upper, error, total.astype(np.int32), xp.zeros(total.shape, np.int32))


def e_value(stream: Any, *, p0: float, prior: tuple[float, float] = (0.5, 0.5)) -> Float[AnyArray, "t"]:
    r"""Evidence against a rate of at most ``p0`` after each trial: stop and reject as soon as it reaches ``1/alpha``.

    .. math:: E_n = \frac{\int_{p_0}^1 p^S (1 - p)^{n - S}\,dB_{a,b}(p)}{B_{a,b}(p > p_0)\; p_0^S (1 - p_0)^{n - S}}

    Parameters
    ----------
    stream, prior
        As for :func:`confidence_sequence`.
    p0
        In (0, 1).

    Returns
    -------
    [t]
        Its expectation is at most 1 under any rate up to ``p0``, whenever one stops.

    Raises
    ------
    ValueError
        As :func:`confidence_sequence`, and for ``p0`` outside (0, 1).

    Examples
    --------
    >>> import numpy as np
    >>> from verax.evals import e_value
    >>> stream = np.tile([1, 0, 0, 0, 0], 40)  # a rate of 0.2, against at most 0.05
    >>> bool(e_value(stream, p0=0.05)[-1] > 1e4), bool(e_value(stream, p0=0.3)[-1] < 1)
    (True, True)

    References
    ----------
    Ramdas, Grünwald, Vovk, Shafer (2023), Game-theoretic statistics and safe anytime-valid inference.
    """
    p0 = to_number("p0", p0, "(0, 1)")
    a, b = _check_prior(prior)

    def evidence(success: np.ndarray, failure: np.ndarray) -> np.ndarray:
        above = np.log(special.betaincc(a + success, b + failure, p0)) - math.log(special.betaincc(a, b, p0))
        mixture = special.betaln(a + success, b + failure) - special.betaln(a, b) + above
        return np.exp(mixture - special.xlogy(success, p0) - special.xlog1py(failure, -p0))

    return on_host(evidence, *_totals(stream))


def _totals(stream: Any) -> tuple[Numeric, Numeric]:
    """Successes and failures up to each trial."""
    trials = take("stream", stream, shape=("trial",), dtype="integer", within="[0, 1]")
    xp = module_for(trials)
    return as_float(trials.cumsum(0), xp), as_float((1 - trials).cumsum(0), xp)


def _check_prior(prior: Any) -> tuple[float, float]:
    sound = isinstance(prior, tuple | list) and len(prior) == 2
    check(sound, "prior", repr(prior), "two positive numbers")
    first, second = (to_number("prior", one, "(0, inf)") for one in prior)
    return first, second
