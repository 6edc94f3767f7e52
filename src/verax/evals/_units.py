"""From verdicts to independent units: prompt means, clusters of prompts, their mean and its limits."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from verax._errors import check, check_option

from ._interval import Interval, Status
from ._numeric import Numeric, as_float, module_for, sums_by_group
from ._quantiles import binomial_limits, t_quantile
from ._table import Outcome, OutcomeTable

TREATMENTS = ("bounds", "exclude", "good", "bad")
SCORE = "score"
_FEW = 5
_VARIANTS = ("estimate", "lower", "upper")


class Counts(NamedTuple):
    """Hits and verdicts of each prompt for the estimate, the lower and the upper limit, ``[3, model, attack, p]``."""

    hits: Numeric
    verdicts: Numeric


def as_outcome(outcome: Outcome | str) -> Outcome | str:
    """GOOD, BAD or "score", given as the member, its name or its number."""
    named = {"GOOD": Outcome.GOOD, "BAD": Outcome.BAD, SCORE: SCORE}
    if isinstance(outcome, str):
        check(outcome in named, "outcome", repr(outcome), "Outcome.GOOD, Outcome.BAD or 'score'")
        return named[outcome]
    sound = isinstance(outcome, int | np.integer) and outcome in (Outcome.GOOD, Outcome.BAD)
    check(sound and not isinstance(outcome, bool), "outcome", outcome, "Outcome.GOOD, Outcome.BAD or 'score'")
    return Outcome(int(outcome))


def count_outcomes(table: OutcomeTable, outcome: Outcome | str, unclear: str, missing: str) -> Counts:
    """Count an outcome, or add up scores, with the chosen treatment of samples without a verdict."""
    wanted = as_outcome(outcome)
    check_option("unclear", unclear, TREATMENTS)
    check_option("missing", missing, TREATMENTS)
    labels, xp = table.labels, module_for(table)

    def number(verdict: Outcome) -> Numeric:
        return (labels == int(verdict)).sum(-1)

    if wanted == SCORE:
        check(table.scores is not None, "table", "no scores", "scores for outcome 'score'")
        scored = (labels >= 0) & (labels != int(Outcome.MISSING))
        known, own = as_float(scored.sum(-1), xp), as_float(xp.where(scored, table.scores, 0).sum(-1), xp)
        kinds = [(missing, Outcome.MISSING)]
    else:
        known, own = number(Outcome.GOOD) + number(Outcome.BAD), number(Outcome(wanted))
        kinds = [(unclear, Outcome.UNCLEAR), (missing, Outcome.MISSING)]
    hits, verdicts = [], []
    for variant in _VARIANTS:
        hit, verdict = own, known
        for treatment, kind in kinds:
            counted, is_hit = _treat(treatment, variant, wanted)
            if counted:
                verdict = verdict + number(kind).astype(verdict.dtype)
            if is_hit:
                hit = hit + number(kind).astype(hit.dtype)
        hits.append(hit)
        verdicts.append(verdict)
    return Counts(xp.stack(hits), xp.stack(verdicts))


def _treat(treatment: str, variant: str, outcome: Outcome | str) -> tuple[int, int]:
    """Whether a sample without a verdict counts, and whether as the outcome (or as a score of 1)."""
    if treatment == "exclude" or (treatment == "bounds" and variant == "estimate"):
        return 0, 0
    if treatment == "bounds":
        return 1, int(variant == "upper")
    return 1, int((treatment == "good") == (outcome == Outcome.GOOD))


class Mean(NamedTuple):
    """A weighted mean over prompts, with what its limits need."""

    value: Numeric
    standard_error: Numeric
    num_units: Numeric
    binary: Numeric  # each unit's own mean is 0 or 1
    ones: Numeric  # units whose mean is 1
    alike: Numeric  # all units have the same mean


def mean_over_units(x: Numeric, weight: Numeric, cluster: Numeric | None, prompt_weight: Numeric | None = None) -> Mean:
    r"""Weighted mean ``[...]`` of ``x [..., p]``, its standard error by clusters.

    ``sqrt(C/(C-1) sum_c (sum_{i in c} w_i (x_i - mean))^2) / sum_i w_i``; with equal weights as in Inspect. Weights are
    ``weight [..., p]`` times ``prompt_weight [p]``.
    """
    xp = module_for(x, weight, cluster, prompt_weight)
    # Sums over prompts as products with their weights: a bootstrap, which has many of these, makes matrix products.
    prompts = xp.ones(x.shape[-1], x.dtype) if prompt_weight is None else as_float(prompt_weight, xp)
    total, hits = _dot(weight, prompts, xp), _dot(weight * x, prompts, xp)
    mean = xp.where(total > 0, hits / xp.where(total > 0, total, 1), xp.nan)
    weight = weight * prompts
    residual = _by_cluster(weight * (x - xp.where(total > 0, mean, 0)[..., None]), cluster)
    share, hit = _by_cluster(weight, cluster), _by_cluster(weight * x, cluster)
    present = share > 0
    num = as_float(present.sum(-1), xp)
    spread = xp.sqrt((residual**2).sum(-1) * num / xp.maximum(num - 1, 1))
    unit_mean = xp.where(present, hit / xp.where(present, share, 1), 0)
    rounding = 8 * xp.finfo(x.dtype).eps
    is_one = unit_mean >= 1 - rounding
    furthest = xp.where(present, xp.abs(unit_mean - xp.where(total > 0, mean, 0)[..., None]), 0).max(-1)
    return Mean(
        value=mean,
        standard_error=xp.where(num > 1, spread / xp.where(total > 0, total, 1), xp.nan),
        num_units=num.astype(np.int32),
        binary=((xp.abs(unit_mean) <= rounding) | is_one).all(-1),
        ones=(is_one & present).sum(-1),
        alike=furthest <= rounding,
    )


def _dot(x: Numeric, y: Numeric, xp: object) -> Numeric:
    return x @ y if xp is np else jnp.einsum("...p,p->...", x, y, precision="highest")


def _by_cluster(x: Numeric, cluster: Numeric | None) -> Numeric:
    return x if cluster is None else sums_by_group(x, cluster, x.shape[-1])


def alike_limits(value: Numeric, num: Numeric, tail: float, low: float) -> tuple[Numeric, Numeric]:
    """Limits for a mean within [low, 1] whose ``num`` units all have the same value.

    If more than ``1 - tail^(1/num)`` of all units had another value, so many equal ones would be less likely than
    ``tail``; the others may be as small as ``low`` or as large as 1.
    """
    xp = module_for(value, num)
    other = 1 - tail ** (1 / xp.maximum(num, 1))
    return value - other * (value - low), value + other * (1 - value)


def few_limits(value: Numeric, num: Numeric, lower: Numeric, upper: Numeric, level: float) -> tuple[Numeric, Numeric]:
    """Limits of a mean in [0, 1], widened on the side of which ``num`` units show few events.

    Values near 0 or 1 are skewed: with less than five units' worth of the rarer end, t knows too little of it. The
    limit on that side is then at least the one of Clopper and Pearson for the mean as a share of the units, as if all
    units were 0 or 1, which varies most for a given mean.
    """
    xp = module_for(value, num, lower, upper)
    known = xp.where(num > 0, xp.nan_to_num(value), 0)
    exact = binomial_limits(known * num, num, "clopper_pearson", level)
    lower = xp.where(num * (1 - known) < _FEW, xp.minimum(lower, exact[0]), lower)
    return lower, xp.where(num * known < _FEW, xp.maximum(upper, exact[1]), upper)


def limits(mean: Mean, level: float, *, widen: bool = True) -> tuple[Numeric, Numeric]:
    """Limits by t with ``units - 1`` degrees of freedom, cut at 0 and 1, where units vary.

    Clopper-Pearson where all units are 0 or 1, and :func:`alike_limits` where they are all the same; ``widen`` by
    :func:`few_limits`.
    """
    xp, tail = module_for(mean), (1 - level) / 2
    num = as_float(mean.num_units, xp)
    half = t_quantile(tail, xp.maximum(num - 1, 1)) * mean.standard_error
    exact = binomial_limits(as_float(mean.ones, xp), num, "clopper_pearson", level)
    alike = alike_limits(mean.value, num, tail, 0.0)
    lower = xp.where(mean.alike, alike[0], xp.clip(mean.value - half, 0, 1))
    upper = xp.where(mean.alike, alike[1], xp.clip(mean.value + half, 0, 1))
    if widen:
        lower, upper = few_limits(mean.value, num, lower, upper, level)
    lower, upper = xp.where(mean.binary, exact[0], lower), xp.where(mean.binary, exact[1], upper)
    return xp.where(num > 1, lower, 0), xp.where(num > 1, upper, 1)


def status_of(num_units: Numeric) -> Numeric:
    """No unit, a single one, or enough."""
    xp = module_for(num_units)
    single = xp.where(num_units == 1, int(Status.ONE_UNIT), int(Status.OK))
    return xp.where(num_units == 0, int(Status.NO_VERDICT), single).astype(np.int32)


def interval_over_units(
    x: Numeric,
    weight: Numeric,
    cluster: Numeric | None,
    level: float,
    prompt_weight: Numeric | None = None,
    *,
    widen: bool = True,
) -> Interval:
    """Interval for means ``[..., p]``; a leading axis of three gives the estimate and the variants for the limits."""
    means = [mean_over_units(x[v], weight[v], cluster, prompt_weight) for v in range(3)]
    lower, upper = limits(means[1], level, widen=widen)[0], limits(means[2], level, widen=widen)[1]
    estimate = means[0]
    return Interval(
        estimate.value, lower, upper, estimate.standard_error, estimate.num_units, status_of(estimate.num_units)
    )


def prompt_means(counts: Counts) -> tuple[Numeric, Numeric]:
    """Means over a prompt's samples, and weights of 1, or 0 for prompts without a verdict."""
    xp = module_for(counts)
    some = counts.verdicts > 0
    x = as_float(xp.where(some, counts.hits / xp.where(some, counts.verdicts, 1), 0), xp)
    return x, as_float(some, xp)
