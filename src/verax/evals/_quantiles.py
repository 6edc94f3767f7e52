"""Quantiles and binomial limits that can be traced: bisection on the incomplete beta function, and of replicates."""

import functools
import math

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.special import betainc, ndtri


def beta_quantile(p: float | Array, a: Array, b: Array) -> Array:
    """Inverse of the regularised incomplete beta function, to the rounding of the dtype."""
    low = jnp.zeros(jnp.broadcast_shapes(jnp.shape(p), a.shape, b.shape), a.dtype)

    def halve(_: Array, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = (low + high) / 2
        below = betainc(a, b, middle) < p
        return jnp.where(below, middle, low), jnp.where(below, high, middle)

    low, high = jax.lax.fori_loop(0, 60, halve, (low, jnp.ones_like(low)))
    return (low + high) / 2


@functools.partial(jax.jit, static_argnums=0)
def t_quantile(p: float, df: Array) -> Array:
    """Quantile ``p >= 1/2`` of Student's t with ``df > 0`` degrees of freedom."""
    # y = t^2 / (df + t^2) is Beta(1/2, df/2), and small where 1 - y would round to 1.
    y = beta_quantile(2 * p - 1, jnp.full_like(df, 0.5), df / 2)
    return jnp.sqrt(df * y / (1 - y))


def t_tail(t: Array, df: Array) -> Array:
    """P(T > t)."""
    both = betainc(df / 2, jnp.full_like(df, 0.5), df / (df + t**2))
    return jnp.where(t > 0, both / 2, 1 - both / 2)


@functools.partial(jax.jit, static_argnums=(2, 3))
def binomial_limits(count: Array, total: Array, method: str, level: float) -> tuple[Array, Array]:
    """Limits for ``count`` of ``total``; 0 and 1 where there is no trial."""
    tail, some = (1 - level) / 2, total > 0
    total = jnp.where(some, total, 1)
    if method == "wilson":
        z = ndtri(jnp.asarray(1 - tail, count.dtype))
        p = count / total
        centre = (p + z**2 / (2 * total)) / (1 + z**2 / total)
        half = z * jnp.sqrt(p * (1 - p) / total + z**2 / (4 * total**2)) / (1 + z**2 / total)
        lower, upper = centre - half, centre + half
    else:
        prior, extra = (0.5, 0.5) if method == "jeffreys" else (0.0, 1.0)
        hits = jnp.where(count > 0, count, 1)
        rest = jnp.where(total > count, total - count, 1)
        lower = beta_quantile(tail, hits + prior, total - hits + extra)
        upper = beta_quantile(1 - tail, total - rest + extra, rest + prior)
    lower, upper = jnp.where(count == 0, 0, lower), jnp.where(count == total, 1, upper)
    return jnp.where(some, lower, 0), jnp.where(some, upper, 1)


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
