"""Intervals and evidence that stay valid however often one looks."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import betainc, betaln, xlog1py, xlogy
from jaxtyping import Bool, Float, Int

from verax._errors import check, is_traced
from verax._types import AnyArray

from ._interval import Interval
from ._units import check_level


def confidence_sequence(
    stream: Bool[AnyArray, "t"] | Int[AnyArray, "t"], *, level: float = 0.95, prior: tuple[float, float] = (0.5, 0.5)
) -> Interval:
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
    check_level(level)
    a, b = _check_prior(prior)
    trials = _trials(stream)
    success, failure = jnp.cumsum(trials), jnp.cumsum(1 - trials)
    total = success + failure
    evidence = betaln(a + success, b + failure) - betaln(a, b)
    centre = success / total

    def excluded(p: Array) -> Array:
        return evidence - xlogy(success, p) - xlog1py(failure, -p) >= math.log(1 / (1 - level))

    def search(end: float) -> Array:
        """The last rate that stays, on the way from the observed one, which always stays, to an end."""

        def halve(_: Array, ends: tuple[Array, Array]) -> tuple[Array, Array]:
            inside, outside = ends
            middle = (inside + outside) / 2
            out = excluded(middle)
            return jnp.where(out, inside, middle), jnp.where(out, middle, outside)

        return jax.lax.fori_loop(0, 50, halve, (centre, jnp.full_like(centre, end)))[1]

    lower = jnp.where(success == 0, 0, search(0.0))
    upper = jnp.where(failure == 0, 1, search(1.0))
    error = jnp.sqrt(centre * (1 - centre) / total)
    return Interval(
        centre, jax.lax.cummax(lower), jax.lax.cummin(upper), error, total.astype(jnp.int32),
        jnp.zeros(total.shape, jnp.int32),
    )  # fmt: skip


def e_value(
    stream: Bool[AnyArray, "t"] | Int[AnyArray, "t"], *, p0: float, prior: tuple[float, float] = (0.5, 0.5)
) -> Float[Array, "t"]:
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
    check(isinstance(p0, float | int) and 0 < p0 < 1, "p0", p0, "a rate in (0, 1)")
    a, b = _check_prior(prior)
    trials = _trials(stream)
    success, failure = jnp.cumsum(trials), jnp.cumsum(1 - trials)
    above = jnp.log1p(-betainc(a + success, b + failure, jnp.full_like(success, p0)))
    prior_above = jnp.log1p(-betainc(a, b, jnp.asarray(p0, success.dtype)))
    mixture = betaln(a + success, b + failure) - betaln(a, b) + above - prior_above
    return jnp.exp(mixture - xlogy(success, p0) - xlog1py(failure, -p0))


def _trials(stream: Any) -> Array:
    array = jnp.asarray(stream)
    check(array.ndim == 1 and array.size > 0, "stream", f"shape {array.shape}", "trials [t], at least one")
    if not is_traced(array):
        values = np.unique(np.asarray(array))
        check(set(values.tolist()) <= {0, 1}, "stream", values.tolist()[:5], "0 and 1")
    return array.astype(jnp.result_type(float))


def _check_prior(prior: Any) -> tuple[Array, Array]:
    sound = len(prior) == 2 and all(isinstance(one, float | int) and one > 0 for one in prior)
    check(sound, "prior", prior, "two positive numbers")
    dtype = jnp.result_type(float)
    return jnp.asarray(prior[0], dtype), jnp.asarray(prior[1], dtype)
