"""Quantiles, tails and binomial limits, exact to double precision; percentiles of replicates."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from verax import _special as special

from ._numeric import Numeric, module_for, on_host


def normal_quantile(tail: float) -> float:
    """The z that a standard normal variable exceeds with probability ``tail``."""
    return float(-special.ndtri(tail))


def normal_tail(z: float) -> float:
    """The probability that a standard normal variable exceeds ``z``."""
    return float(special.ndtr(-z))


def t_quantile(tail: float, df: Numeric) -> Numeric:
    """The t that Student's t with ``df > 0`` degrees of freedom exceeds with probability ``tail < 1/2``."""

    def quantile(df):
        # df / (df + t^2) is Beta(df/2, 1/2), and small where t is large.
        z = special.betaincinv(df / 2, 0.5, 2 * tail)
        return (df * (1 - z) / z) ** 0.5

    return on_host(quantile, df)


def t_tail(t: Numeric, df: Numeric) -> Numeric:
    """P(T > t)."""
    return on_host(lambda t, df: special.stdtr(df, -t), t, df)


def fair_tail(count: Numeric, total: Numeric) -> Numeric:
    """P(X <= count) for ``total`` tosses of a fair coin."""

    def tail(count, total):
        rest = total - count
        return np.where(rest > 0, special.betainc(np.maximum(rest, 1), count + 1, 0.5), 1.0)

    return on_host(tail, count, total)


def binomial_limits(count: Numeric, total: Numeric, method: str, level: Numeric) -> tuple[Numeric, Numeric]:
    """Limits for ``count`` of ``total``; 0 and 1 where there is no trial. Integers are exact, whatever their size.

    The level may be an array for ``"clopper_pearson"``.
    """
    xp, tail, some = module_for(count, total, level), (1 - level) / 2, total > 0
    if method == "wilson":
        z = normal_quantile(tail)
        number = xp.where(some, total, 1)
        p = count / number
        centre = (p + z**2 / (2 * number)) / (1 + z**2 / number)
        half = z * xp.sqrt(p * (1 - p) / number + z**2 / (4.0 * number * number)) / (1 + z**2 / number)
        lower, upper = centre - half, centre + half
    else:
        # Clopper-Pearson, and Jeffreys's with half a success and half a failure in advance.
        prior, extra = (0.5, 0.5) if method == "jeffreys" else (0.0, 1.0)
        lower = on_host(lambda k, m, t: special.betaincinv(k + prior, m + extra, t), count, total - count, tail)
        upper = on_host(lambda k, m, t: special.betainccinv(k + extra, m + prior, t), count, total - count, tail)
    lower, upper = xp.where(count == 0, 0, lower), xp.where(count == total, 1, upper)
    return xp.where(some, lower, 0), xp.where(some, upper, 1)


def percentile_limits(draws: Array, level: float) -> tuple[Array, Array]:
    """Quantiles ``(1 - level) / 2`` and ``(1 + level) / 2`` along the first axis, interpolated; NaN if any draw is.

    They need the ends of the order alone, which a CPU finds several times faster than it sorts.
    """
    values = jnp.moveaxis(draws, 0, -1)
    values = values if jnp.issubdtype(values.dtype, jnp.inexact) else values.astype(jnp.result_type(float))
    place = (1 - level) / 2 * (draws.shape[0] - 1)
    below = math.floor(place)
    share = jnp.asarray(place - below, values.dtype)

    def highest(values: Array) -> Array:
        # Unless all of them seem to be wanted, XLA sorts.
        top = jax.lax.optimization_barrier(jax.lax.top_k(values, below + 2)[0])
        return top[..., below] + share * (top[..., below + 1] - top[..., below])

    sound = ~jnp.isnan(values).any(-1)
    return jnp.where(sound, -highest(-values), jnp.nan), jnp.where(sound, highest(values), jnp.nan)
