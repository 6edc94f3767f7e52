"""Two models on the same prompts: difference, tests, equivalence, and the difference that could have been detected."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Int

from verax._arrays import to_number
from verax._errors import check, check_option, fail
from verax._results import raise_if_failed, result
from verax._types import AnyArray

from ._discordant import difference_limits, equivalence_p
from ._interval import SENTENCES
from ._numeric import Numeric, as_float, module_for, need_key, sums_by_group, take_count, take_level
from ._quantiles import fair_tail, t_quantile, t_tail
from ._table import Outcome, OutcomeTable
from ._units import Mean, alike_limits, count_outcomes, mean_over_units, prompt_means, status_of

TESTS = ("auto", "mcnemar", "permutation", "cluster_t")
ADJUSTMENTS = ("holm", "bh", "none")
_POWER = 0.8


@result(SENTENCES)
class PairedResult(NamedTuple):
    """Differences ``model_a - model_b``, one per attack.

    Attributes
    ----------
    difference, lower, upper, standard_error : [attack]
        Difference of the rates over the prompts on which both have a verdict. Limits come from the discordant prompts
        where each prompt has one verdict, else from t over clusters; where no spread was seen, from what the number of
        prompts excludes.
    p_value : [attack]
        Two-sided p-value of the hypothesis of no difference, adjusted for the number of attacks.
    equivalence_p_value : [attack]
        P-value of a difference of at least ``margin`` either way (two one-sided tests), adjusted; NaN without a margin.
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

    raise_if_failed = raise_if_failed


def paired_difference(
    table: OutcomeTable,
    *,
    model_a: int | str,
    model_b: int | str,
    outcome: Outcome | str = Outcome.BAD,
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
        GOOD or BAD; or ``"score"``: the difference of the mean ``scores``.
    test
        - ``"mcnemar"``: exact binomial test on the discordant prompts; one sample per prompt, no clusters or weights.
        - ``"permutation"``: signs of clusters flipped at random; needs ``key``.
        - ``"cluster_t"``: t over clusters, whose p-value is never below ``2^(1 - clusters)``, the least that flipping
          signs can attest.
        - ``"auto"``: McNemar where it applies, else ``"cluster_t"``.
    margin
        Largest difference that counts as none, for the test of equivalence.
    adjust
        For testing all attacks at once: ``"holm"`` (family-wise), ``"bh"`` (false discovery rate) or ``"none"``.
    level
        Coverage of the limits, one attack at a time.
    num_resamples, key
        Number of random flips, and the key to draw them with; the smallest p-value is ``1 / (1 + num_resamples)``.

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
    level = take_level(level)
    margin = None if margin is None else to_number("margin", margin, "(0, inf)")
    first, second = (int(table.models(m, argument=n)[0]) for n, m in (("model_a", model_a), ("model_b", model_b)))
    check(first != second, "model_b", repr(model_b), "another model than model_a")
    simple = is_simple(table, outcome)
    if test == "mcnemar" and not simple:
        fail("test", "'mcnemar'", "one verdict per prompt, no clusters and no weights; or another test")
    if test == "permutation":
        num_resamples, key = take_count("num_resamples", num_resamples, minimum=100), need_key(key, "for the signs")
    d, both = differences(table, first, second, outcome)
    xp = module_for(d, both)
    mean = mean_over_units(d, both, table.cluster)
    only_a, only_b = ((sign * d > 0) & (both > 0) for sign in (1, -1))
    discordant = xp.stack([only_a.sum(-1), only_b.sum(-1)], axis=-1)
    several = mean.num_units > 1
    lower, upper = _counted_limits(discordant, mean, level) if simple else _spread_limits(mean, level)
    if test == "mcnemar" or (test == "auto" and simple):
        p = xp.minimum(2 * fair_tail(discordant.min(-1), discordant.sum(-1)), 1)
    elif test == "permutation":
        assert key is not None
        p = _permutation(d * both, table.cluster, num_resamples, key)
    else:
        p = _t_test(mean)
    equivalence = xp.full(p.shape, xp.nan, p.dtype)
    if margin is not None:
        found = (
            equivalence_p(discordant[..., 0], discordant[..., 1], mean.num_units, margin)
            if simple
            else _equivalence_t(mean, margin)
        )
        equivalence = adjusted(xp.where(several, found, 1), adjust)
    return PairedResult(
        difference=mean.value,
        lower=xp.where(several, lower, -1),
        upper=xp.where(several, upper, 1),
        standard_error=mean.standard_error,
        p_value=adjusted(xp.where(several, p, 1), adjust),
        equivalence_p_value=equivalence,
        minimum_detectable=_detectable(mean, level, simple),
        discordant=discordant.astype(np.int32),
        num_units=mean.num_units,
        num_excluded=(both == 0).sum(-1).astype(np.int32),
        status=status_of(mean.num_units),
    )


def is_simple(table: OutcomeTable, outcome: Outcome | str) -> bool:
    """Whether each prompt has one verdict, and all count alike."""
    return table.labels.shape[-1] == 1 and table.cluster is None and table.weight is None and outcome != "score"


def differences(table: OutcomeTable, first: int, second: int, outcome: Outcome | str) -> tuple[Numeric, Numeric]:
    """Differences ``[attack, prompt]`` of the prompt means, and weights, 0 where one of the two has no verdict."""
    x, weight = (part[0] for part in prompt_means(count_outcomes(table, outcome, "exclude", "exclude")))
    xp = module_for(x, weight, table.weight)
    if table.weight is not None:
        weight = weight * as_float(table.weight, xp)
    both = xp.minimum(weight[first], weight[second])
    return xp.where(both > 0, x[first] - x[second], 0), both


def _counted_limits(discordant: Numeric, mean: Mean, level: float) -> tuple[Numeric, Numeric]:
    return difference_limits(discordant[..., 0], discordant[..., 1], mean.num_units, level)


def _spread_limits(mean: Mean, level: float) -> tuple[Numeric, Numeric]:
    """Limits by t, or, where no spread was seen, by what the number of units excludes."""
    xp, tail = module_for(mean), (1 - level) / 2
    num = as_float(mean.num_units, xp)
    half = t_quantile(tail, xp.maximum(num - 1, 1)) * mean.standard_error
    alike = alike_limits(mean.value, num, tail, -1.0)
    lower = xp.where(mean.alike, alike[0], xp.clip(mean.value - half, -1, 1))
    return lower, xp.where(mean.alike, alike[1], xp.clip(mean.value + half, -1, 1))


def _t_test(mean: Mean) -> Numeric:
    """Two-sided p by t, but no smaller than flipping the signs of the units can attest: ``2^(1 - units)``."""
    xp = module_for(mean)
    num = as_float(mean.num_units, xp)
    sound = ~mean.alike & (mean.standard_error > 0)
    ratio = xp.abs(mean.value) / xp.where(sound, mean.standard_error, 1)
    floor = 2.0 ** xp.minimum(1 - num, 0)
    by_t = xp.where(sound, 2 * t_tail(ratio, xp.maximum(num - 1, 1)), 0)
    return xp.where(xp.abs(mean.value) > 0, xp.clip(by_t, floor, 1), 1)


def _equivalence_t(mean: Mean, margin: float) -> Numeric:
    """Two one-sided t-tests; where no spread was seen, the chance of that if the difference were ``margin``."""
    xp = module_for(mean)
    num, size = as_float(mean.num_units, xp), xp.abs(mean.value)
    sound = ~mean.alike & (mean.standard_error > 0)
    ratio = (margin - size) / xp.where(sound, mean.standard_error, 1)
    # A mean of ``margin`` needs a share of at least (margin - size) / (1 - size) of units unlike those seen.
    unlike = (margin - size) / xp.where(size < 1, 1 - size, 1)
    unseen = xp.where(size < margin, xp.clip(1 - unlike, 0, 1) ** num, 1)
    return xp.where(sound, t_tail(ratio, xp.maximum(num - 1, 1)), unseen)


def _detectable(mean: Mean, level: float, simple: bool) -> Numeric:
    """Difference that would be found with 80 % power.

    A difference of delta between single verdicts has a variance of at least delta (1 - delta), even where the prompts
    seen so far happen to agree.
    """
    xp = module_for(mean)
    freedom = xp.maximum(as_float(mean.num_units, xp) - 1, 1)
    quantiles = t_quantile((1 - level) / 2, freedom) + t_quantile(1 - _POWER, freedom)
    by_spread = quantiles * mean.standard_error
    least = quantiles**2 / (as_float(mean.num_units, xp) + quantiles**2)
    floor = least if simple else xp.where(mean.alike, least, 0)
    return xp.minimum(xp.maximum(by_spread, floor), 1)


def _permutation(weighted: Numeric, cluster: Numeric | None, num: int, key: Array) -> Numeric:
    """Share of sign flips of clusters whose sum is as far from 0."""
    units = weighted if cluster is None else sums_by_group(weighted, cluster, weighted.shape[-1])
    xp, units = module_for(units), jnp.asarray(units)
    signs = jax.random.rademacher(key, (num, units.shape[-1]), units.dtype)
    sums = jnp.abs(jnp.einsum("ru,au->ra", signs, units, precision="highest"))
    observed = jnp.abs(units.sum(-1))
    as_far = (sums >= observed - 1e-5 * jnp.maximum(observed, 1)).sum(0)
    p = (1 + as_far.astype(units.dtype)) / (1 + num)
    return np.asarray(p, np.float64) if xp is np else p


def adjusted(p: Numeric, method: str) -> Numeric:
    """P-values ``[m]`` for m tests at once, by Holm or by Benjamini and Hochberg."""
    if method == "none":
        return p
    xp, num = module_for(p), p.shape[-1]
    order = xp.argsort(p)
    sorted_p = p[order]
    rank = xp.arange(1, num + 1, dtype=p.dtype)
    if method == "holm":
        scaled = sorted_p * (num + 1 - rank)
        running = np.maximum.accumulate(scaled) if xp is np else jax.lax.cummax(scaled)
    else:
        scaled = (sorted_p * num / rank)[::-1]
        running = (np.minimum.accumulate(scaled) if xp is np else jax.lax.cummin(scaled))[::-1]
    return xp.minimum(running, 1)[xp.argsort(order)]
