"""From verdicts to independent units: prompt means, clusters of prompts, their mean and its limits."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from verax._errors import check, check_option, fail

from ._interval import Interval, Status
from ._quantiles import binomial_limits, t_quantile
from ._table import Outcome, OutcomeTable

TREATMENTS = ("bounds", "exclude", "good", "bad")
_VARIANTS = ("estimate", "lower", "upper")


class Counts(NamedTuple):
    """Hits and verdicts of each prompt for the estimate, the lower and the upper limit, ``[3, model, attack, p]``."""

    hits: Array
    verdicts: Array


def check_level(level: float) -> None:
    """Raise unless the level is inside (0, 1)."""
    check(isinstance(level, float) and 0 < level < 1, "level", level, "a number in (0, 1)")


def need_key(key: Array | None, use: str) -> Array:
    """The key, or raise for a computation that draws."""
    if key is None:
        fail("key", "None", f"a jax.random.key {use}")
    return key


def count_outcomes(table: OutcomeTable, outcome: Outcome, unclear: str, missing: str) -> Counts:
    """Count an outcome, with the chosen treatment of verdicts that are none."""
    check(outcome in (Outcome.GOOD, Outcome.BAD), "outcome", outcome, "Outcome.GOOD or Outcome.BAD")
    check_option("unclear", unclear, TREATMENTS)
    check_option("missing", missing, TREATMENTS)
    return _count(table.labels, outcome, unclear, missing)


@functools.partial(jax.jit, static_argnums=(1, 2, 3))
def _count(labels: Array, outcome: Outcome, unclear: str, missing: str) -> Counts:
    dtype = jnp.result_type(float)

    def number(verdict: Outcome) -> Array:
        return (labels == int(verdict)).sum(-1).astype(dtype)

    known = number(Outcome.GOOD) + number(Outcome.BAD)
    hits, verdicts = [], []
    for variant in _VARIANTS:
        hit, verdict = number(outcome), known
        for treatment, kind in ((unclear, Outcome.UNCLEAR), (missing, Outcome.MISSING)):
            counted, is_hit = _treat(treatment, variant, outcome)
            hit, verdict = hit + is_hit * number(kind), verdict + counted * number(kind)
        hits.append(hit)
        verdicts.append(verdict)
    return Counts(jnp.stack(hits), jnp.stack(verdicts))


def _treat(treatment: str, variant: str, outcome: Outcome) -> tuple[int, int]:
    """Whether a verdict that is none counts, and whether as the outcome."""
    if treatment == "exclude" or (treatment == "bounds" and variant == "estimate"):
        return 0, 0
    if treatment == "bounds":
        return 1, int(variant == "upper")
    return 1, int((treatment == "good") == (outcome == Outcome.GOOD))


class Mean(NamedTuple):
    """A weighted mean over prompts, with what its limits need."""

    value: Array
    standard_error: Array
    num_units: Array
    binary: Array  # every unit's own mean is 0 or 1
    ones: Array  # units whose mean is 1


@jax.jit
def mean_over_units(x: Array, weight: Array, cluster: Array | None, prompt_weight: Array | None = None) -> Mean:
    r"""Weighted mean ``[...]`` of ``x [..., p]``, its standard error by clusters.

    ``sqrt(C/(C-1) sum_c (sum_{i in c} w_i (x_i - mean))^2) / sum_i w_i``; with equal weights as in Inspect. Weights are
    ``weight [..., p]`` times ``prompt_weight [p]``.
    """
    # Sums over prompts as products with their weights: a bootstrap, which has many of these, makes matrix products.
    prompts = jnp.ones(x.shape[-1], x.dtype) if prompt_weight is None else prompt_weight.astype(x.dtype)
    total, hits = (jnp.einsum("...p,p->...", part, prompts, precision="highest") for part in (weight, weight * x))
    mean = jnp.where(total > 0, hits / jnp.where(total > 0, total, 1), jnp.nan)
    weight = weight * prompts
    residual = _by_cluster(weight * (x - jnp.where(total > 0, mean, 0)[..., None]), cluster)
    share, hit = _by_cluster(weight, cluster), _by_cluster(weight * x, cluster)
    present = share > 0
    num = present.sum(-1).astype(x.dtype)
    spread = jnp.sqrt((residual**2).sum(-1) * num / jnp.maximum(num - 1, 1))
    unit_mean = jnp.where(present, hit / jnp.where(present, share, 1), 0)
    is_one = unit_mean >= 1 - 4 * jnp.finfo(x.dtype).eps
    return Mean(
        value=mean,
        standard_error=jnp.where(num > 1, spread / jnp.where(total > 0, total, 1), jnp.nan),
        num_units=num.astype(jnp.int32),
        binary=((unit_mean <= 0) | is_one).all(-1),
        ones=(is_one & present).sum(-1).astype(x.dtype),
    )


def _by_cluster(x: Array, cluster: Array | None) -> Array:
    if cluster is None:
        return x
    return jax.vmap(lambda row: jax.ops.segment_sum(row, cluster, row.shape[0]))(x.reshape(-1, x.shape[-1])).reshape(
        x.shape
    )


def limits(mean: Mean, level: float) -> tuple[Array, Array]:
    """Limits by t with ``units - 1`` degrees of freedom, cut at 0 and 1; Clopper-Pearson where all units are 0 or 1."""
    num = mean.num_units.astype(mean.value.dtype)
    half = t_quantile(1 - (1 - level) / 2, jnp.maximum(num - 1, 1)) * mean.standard_error
    exact = binomial_limits(mean.ones, num, "clopper_pearson", level)
    lower = jnp.where(mean.binary, exact[0], jnp.clip(mean.value - half, 0, 1))
    upper = jnp.where(mean.binary, exact[1], jnp.clip(mean.value + half, 0, 1))
    several = mean.num_units > 1
    return jnp.where(several, lower, 0), jnp.where(several, upper, 1)


def status_of(num_units: Array) -> Array:
    """No unit, a single one, or enough."""
    single = jnp.where(num_units == 1, Status.ONE_UNIT, Status.OK)
    return jnp.where(num_units == 0, Status.NO_VERDICT, single).astype(jnp.int32)


@functools.partial(jax.jit, static_argnums=3)
def interval_over_units(
    x: Array, weight: Array, cluster: Array | None, level: float, prompt_weight: Array | None = None
) -> Interval:
    """Interval for means ``[..., p]``; a leading axis of three gives the estimate and the variants for the limits."""
    means = [mean_over_units(x[v], weight[v], cluster, prompt_weight) for v in range(3)]
    lower, upper = limits(means[1], level)[0], limits(means[2], level)[1]
    estimate = means[0]
    return Interval(
        estimate.value, lower, upper, estimate.standard_error, estimate.num_units, status_of(estimate.num_units)
    )


def prompt_means(counts: Counts) -> tuple[Array, Array]:
    """Means over a prompt's samples, and weights of 1, or 0 for prompts without a verdict."""
    some = counts.verdicts > 0
    x = jnp.where(some, counts.hits / jnp.where(some, counts.verdicts, 1), 0)
    return x, some.astype(x.dtype)
