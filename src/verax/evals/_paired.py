"""Two models on the same prompts: difference, tests, equivalence, and what could have been detected."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.special import betainc
from jaxtyping import Float, Int

from verax._errors import check, check_integer, check_option, fail
from verax._types import AnyArray

from ._quantiles import t_quantile, t_tail
from ._table import Outcome, OutcomeTable
from ._units import check_level, count_outcomes, mean_over_units, need_key, prompt_means, status_of

TESTS = ("auto", "mcnemar", "permutation", "cluster_t")
ADJUSTMENTS = ("holm", "bh", "none")
_POWER = 0.8


class PairedResult(NamedTuple):
    """Differences ``model_a - model_b``, one an attack.

    Attributes
    ----------
    difference, lower, upper, standard_error : [attack]
        Of the rates, over prompts on which both have a verdict; limits by t over clusters.
    p_value : [attack]
        Of no difference, two-sided, adjusted for the number of attacks.
    equivalence_p_value : [attack]
        Of a difference of at least ``margin`` either way (two one-sided tests), adjusted; NaN without a margin.
    minimum_detectable : [attack]
        Difference that this many prompts would show with 80 % power, given how much these vary.
    discordant : [attack, 2]
        Prompts on which only ``model_a``, and only ``model_b``, has the outcome (by a majority of samples).
    num_units : [attack]
        Prompts, or clusters, that both models answered.
    num_excluded : [attack]
        Prompts left out, because one of the two has no verdict.
    status : [attack]
        A :class:`Status`.
    """

    difference: Float[AnyArray, "..."]
    lower: Float[AnyArray, "..."]
    upper: Float[AnyArray, "..."]
    standard_error: Float[AnyArray, "..."]
    p_value: Float[AnyArray, "..."]
    equivalence_p_value: Float[AnyArray, "..."]
    minimum_detectable: Float[AnyArray, "..."]
    discordant: Int[AnyArray, "... 2"]
    num_units: Int[AnyArray, "..."]
    num_excluded: Int[AnyArray, "..."]
    status: Int[AnyArray, "..."]


def paired_difference(
    table: OutcomeTable,
    *,
    model_a: int | str,
    model_b: int | str,
    outcome: Outcome = Outcome.BAD,
    test: str = "auto",
    margin: float | None = None,
    adjust: str = "holm",
    level: float = 0.95,
    num_resamples: int = 10_000,
    key: Array | None = None,
) -> PairedResult:
    r"""Difference of two models' rates on the same prompts, attack by attack.

    .. math:: d_p = x_{a,p} - x_{b,p}, \qquad
        \text{minimum detectable} = (t_{1 - \alpha/2} + t_{0.8})\,\mathrm{SE}(\bar d)

    Parameters
    ----------
    table
        Verdicts of both models on the same prompts.
    model_a, model_b
        Names or indices.
    outcome
        GOOD or BAD.
    test
        - ``"mcnemar"``: exact binomial test on the discordant prompts; one sample a prompt, no clusters or weights.
        - ``"permutation"``: signs of clusters flipped at random; needs ``key``.
        - ``"cluster_t"``: t over clusters.
        - ``"auto"``: McNemar where it applies, else ``"cluster_t"``.
    margin
        Largest difference that counts as none, for the test of equivalence.
    adjust
        For testing all attacks at once: ``"holm"`` (family-wise), ``"bh"`` (false discovery rate) or ``"none"``.
    level
        Coverage of the limits, one attack at a time.
    num_resamples, key
        Of the permutation test, whose smallest p-value is ``1 / (1 + num_resamples)``.

    Returns
    -------
    PairedResult

    Raises
    ------
    ValueError
        For a model that is not in the table or is compared with itself, or a test that does not apply.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.evals import OutcomeTable, paired_difference
    >>> a = np.repeat([1, 1, 0, 0], [5, 15, 2, 78])  # both, only a, only b, neither
    >>> b = np.repeat([1, 0, 1, 0], [5, 15, 2, 78])
    >>> table = OutcomeTable(np.stack([a, b])[:, None, :, None], model_names=("old", "new"))
    >>> found = paired_difference(table, model_a="old", model_b="new")
    >>> print(np.asarray(found.difference).round(3), np.asarray(found.p_value).round(4), found.discordant)
    [0.13] [0.0023] [[15  2]]

    References
    ----------
    McNemar (1947); Holm (1979); Benjamini, Hochberg (1995); Schuirmann (1987); Miller (2024), Adding error bars to
    evals.
    """
    check_option("test", test, TESTS)
    check_option("adjust", adjust, ADJUSTMENTS)
    check_level(level)
    first, second = (int(table.models(m, argument=n)[0]) for n, m in (("model_a", model_a), ("model_b", model_b)))
    check(first != second, "model_b", repr(model_b), "another model than model_a")
    check(margin is None or margin > 0, "margin", margin, "a positive difference")
    simple = table.labels.shape[-1] == 1 and table.cluster is None and table.weight is None
    if test == "mcnemar" and not simple:
        fail("test", "'mcnemar'", "one sample a prompt, no clusters and no weights; or another test")
    counts = count_outcomes(table, outcome, "exclude", "exclude")
    x, weight = (part[0] for part in prompt_means(counts))
    if table.weight is not None:
        weight = weight * table.weight.astype(weight.dtype)
    both = jnp.minimum(weight[first], weight[second])
    d = jnp.where(both > 0, x[first] - x[second], 0)
    mean = mean_over_units(d, both, table.cluster)
    freedom = jnp.maximum(mean.num_units - 1, 1).astype(d.dtype)
    error, several = mean.standard_error, mean.num_units > 1
    half = jnp.where(several, t_quantile(1 - (1 - level) / 2, freedom) * error, 1)
    discordant = jnp.stack([((d > 0) & (both > 0)).sum(-1), ((d < 0) & (both > 0)).sum(-1)], axis=-1)
    if test == "mcnemar" or (test == "auto" and simple):
        p = _mcnemar(discordant.astype(d.dtype))
    elif test == "permutation":
        check_integer("num_resamples", num_resamples, minimum=100)
        p = _permutation(d * both, table.cluster, num_resamples, need_key(key, "for the permutation test"))
    else:
        p = 2 * t_tail(_ratio(jnp.abs(mean.value), error), freedom)
    p = jnp.where(several, jnp.minimum(p, 1), 1)
    equivalence = jnp.full(p.shape, jnp.nan, p.dtype)
    if margin is not None:
        one_sided = t_tail(_ratio(margin - jnp.abs(mean.value), error), freedom)
        equivalence = adjusted(jnp.where(several, one_sided, 1), adjust)
    detectable = (t_quantile(1 - (1 - level) / 2, freedom) + t_quantile(_POWER, freedom)) * error
    return PairedResult(
        difference=mean.value,
        lower=jnp.clip(mean.value - half, -1, 1),
        upper=jnp.clip(mean.value + half, -1, 1),
        standard_error=error,
        p_value=adjusted(p, adjust),
        equivalence_p_value=equivalence,
        minimum_detectable=detectable,
        discordant=discordant.astype(jnp.int32),
        num_units=mean.num_units,
        num_excluded=(both == 0).sum(-1).astype(jnp.int32),
        status=status_of(mean.num_units),
    )


def _ratio(value: Array, error: Array) -> Array:
    """Value over error; infinite where the error is 0, with the value's sign, and 0 where both are."""
    return jnp.where(error > 0, value / jnp.where(error > 0, error, 1), jnp.where(value == 0, 0, jnp.sign(value) * 1e6))


def _mcnemar(discordant: Array) -> Array:
    total, least = discordant.sum(-1), discordant.min(-1)
    # P(X <= k) for X ~ Binomial(n, 1/2) is I_{1/2}(n - k, k + 1).
    tail = betainc(jnp.maximum(total - least, 0.5), least + 1, jnp.full_like(total, 0.5))
    return jnp.where(total > 0, jnp.minimum(2 * tail, 1), 1)


def _permutation(weighted: Array, cluster: Array | None, num: int, key: Array) -> Array:
    """Share of sign flips of clusters whose sum is as far from 0."""
    if cluster is None:
        units = weighted
    else:
        units = jax.vmap(lambda row: jax.ops.segment_sum(row, cluster, row.shape[0]))(weighted)
    signs = jax.random.rademacher(key, (num, units.shape[-1]), units.dtype)
    sums = jnp.abs(jnp.einsum("ru,au->ra", signs, units, precision="highest"))
    observed = jnp.abs(units.sum(-1))
    as_far = (sums >= observed - 1e-5 * jnp.maximum(observed, 1)).sum(0)
    return (1 + as_far.astype(units.dtype)) / (1 + num)


def adjusted(p: Array, method: str) -> Array:
    """P-values ``[m]`` for m tests at once, by Holm or by Benjamini and Hochberg."""
    if method == "none":
        return p
    num = p.shape[-1]
    order = jnp.argsort(p)
    sorted_p = p[order]
    rank = jnp.arange(1, num + 1, dtype=p.dtype)
    if method == "holm":
        running = jax.lax.cummax(sorted_p * (num + 1 - rank))
    else:
        running = jax.lax.cummin(sorted_p * num / rank, reverse=True)
    return jnp.zeros_like(p).at[order].set(jnp.minimum(running, 1).astype(p.dtype))
