"""Rates of an outcome with limits that hold near 0 and 1 and widen for verdicts that are unclear or missing."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from verax._errors import check_option, fail

from ._bootstrap import resampled_weights
from ._interval import Interval, Status
from ._judge import JudgeError, correct_for_judge
from ._numeric import as_float, module_for, need_key, take_count, take_level
from ._quantiles import binomial_limits
from ._table import Outcome, OutcomeTable
from ._units import Counts, count_outcomes, interval_over_units, prompt_means

_BINOMIAL = ("clopper_pearson", "wilson", "jeffreys")
METHODS = ("auto", *_BINOMIAL, "cluster_t", "bootstrap")


def rate(
    table: OutcomeTable,
    *,
    outcome: Outcome | str = Outcome.BAD,
    method: str = "auto",
    level: float = 0.95,
    unclear: str = "bounds",
    missing: str = "bounds",
    judge: JudgeError | None = None,
    num_resamples: int = 10_000,
    key: Array | None = None,
) -> Interval:
    r"""Share of an outcome.

    Samples are reduced to a mean per prompt, so that sampling noise is a part of the variation between prompts:

    .. math:: \bar x = \frac{\sum_p w_p x_p}{\sum_p w_p}, \qquad
        \mathrm{SE}^2 = \frac{C}{C-1} \frac{\sum_c \bigl(\sum_{p \in c} w_p (x_p - \bar x)\bigr)^2}{(\sum_p w_p)^2}

    Parameters
    ----------
    table
        Verdicts.
    outcome
        GOOD or BAD; or ``"score"``: the mean of the table's ``scores`` instead of a share.
    method
        - ``"auto"``: Clopper-Pearson with one sample per prompt, no clusters and equal weights; else ``"cluster_t"``,
          widened to Clopper-Pearson limits over clusters on the side of which there are less than five clusters' worth.
        - ``"clopper_pearson"`` (exact), ``"wilson"``, ``"jeffreys"``: independent, equal prompts of one sample. The
          last two under-cover near 0 and 1.
        - ``"cluster_t"``: t with C - 1 degrees of freedom, cut at 0 and 1; Clopper-Pearson over clusters where each
          cluster's mean is 0 or 1, and exact limits of the same kind where all means are equal: no spread was seen
          then, which is not certainty.
        - ``"bootstrap"``: percentile, over clusters; needs ``key``. Under-covers near 0 and 1.
    level
        Coverage, in (0, 1).
    unclear, missing
        ``"bounds"``: left out of the estimate, counted as not the outcome for the lower limit and as the outcome for
        the upper; ``"exclude"``, ``"good"`` or ``"bad"``.
    judge
        Error rates of the judge, corrected for as by :func:`correct_for_judge`.
    num_resamples, key
        Number of replicates, and the key to draw them with.

    Returns
    -------
    Interval
        Fields ``[model, attack]``. Guaranteed limits cover the prompts that these were drawn from, and no others.

    Raises
    ------
    ValueError
        For a binomial method on several samples per prompt, clusters or weights, or an option outside those above.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.evals import OutcomeTable, rate
    >>> r = rate(OutcomeTable(np.array([1, 0, 0, 0, 0, 0, 0, 0, 0, 0]).reshape(1, 1, 10, 1)))
    >>> print(f"{r.estimate[0, 0]:.2f} {r.lower[0, 0]:.4f} {r.upper[0, 0]:.4f}")
    0.10 0.0025 0.4450

    References
    ----------
    Clopper, Pearson (1934); Wilson (1927); Brown, Cai, DasGupta (2001); Miller (2024), Adding error bars to evals.
    """
    check_option("method", method, METHODS)
    level = take_level(level)
    counts = count_outcomes(table, outcome, unclear, missing)
    one_sample = table.labels.shape[-1] == 1 and outcome != "score"
    simple = one_sample and table.cluster is None and table.weight is None
    if method in _BINOMIAL and not simple:
        samples = table.labels.shape[-1]
        got = f"{samples} samples per prompt" if samples > 1 else "clusters, weights or scores"
        fail("table", got, f"one verdict per prompt and independent, equal prompts for method {method!r}")
    if method in _BINOMIAL or (method == "auto" and simple):
        found = _binomial(counts, "clopper_pearson" if method == "auto" else method, level)
    else:
        x, weight = prompt_means(counts)
        widen = method == "auto"
        found = interval_over_units(x, weight, table.cluster, level, table.weight, widen=widen)
        if method == "bootstrap":
            num_resamples = take_count("num_resamples", num_resamples, minimum=100)
            drawn = need_key(key, "for the bootstrap")
            if table.weight is not None:
                weight = weight * table.weight.astype(weight.dtype)
            found = _percentile(found, x, weight, table.cluster, level, num_resamples, drawn)
    if judge is not None:
        found = correct_for_judge(found, judge=judge, level=level)
    return found


def _binomial(counts: Counts, method: str, level: float) -> Interval:
    xp = module_for(counts)
    hits, verdicts = counts.hits.sum(-1), counts.verdicts.sum(-1)
    lower, _ = binomial_limits(hits[1], verdicts[1], method, level)
    _, upper = binomial_limits(hits[2], verdicts[2], method, level)
    some = verdicts[0] > 0
    estimate = as_float(xp.where(some, hits[0] / xp.where(some, verdicts[0], 1), xp.nan), xp)
    error = xp.sqrt(estimate * (1 - estimate) / as_float(xp.maximum(verdicts[0], 1), xp))
    status = xp.where(some, int(Status.OK), int(Status.NO_VERDICT)).astype(np.int32)
    return Interval(estimate, lower, upper, error, verdicts[0].astype(np.int32), status)


def _percentile(found: Interval, x: Any, weight: Any, cluster: Any, level: float, num: int, key: Array) -> Interval:
    """Percentile limits; where units do not vary, which a resample cannot see, the exact ones of ``found``."""
    tail = (1 - level) / 2
    counts = resampled_weights(key, num, x.shape[-1], cluster)

    def limit(variant: int, quantile: float) -> Array:
        share, hit = (
            jnp.einsum("rp,map->rma", counts, jnp.asarray(part, counts.dtype), precision="highest")
            for part in (weight[variant], weight[variant] * x[variant])
        )
        return jnp.nanquantile(jnp.where(share > 0, hit / jnp.where(share > 0, share, 1), jnp.nan), quantile, axis=0)

    xp = module_for(found, x)
    lower, upper = (
        part if xp is jnp else np.asarray(part, np.float64) for part in (limit(1, tail), limit(2, 1 - tail))
    )
    varied = xp.nan_to_num(found.standard_error) > 0
    return found._replace(lower=xp.where(varied, lower, found.lower), upper=xp.where(varied, upper, found.upper))
