"""Rates of an outcome with limits that hold near 0 and 1, and that widen for verdicts that are unclear or missing."""

import jax.numpy as jnp
from jax import Array

from verax._errors import check_integer, check_option, fail

from ._bootstrap import resampled_weights
from ._interval import Interval
from ._judge import JudgeError, correct_for_judge
from ._quantiles import binomial_limits
from ._table import Outcome, OutcomeTable
from ._units import Counts, check_level, count_outcomes, interval_over_units, need_key, prompt_means, status_of

_BINOMIAL = ("clopper_pearson", "wilson", "jeffreys")
METHODS = ("auto", *_BINOMIAL, "cluster_t", "bootstrap")


def rate(
    table: OutcomeTable,
    *,
    outcome: Outcome = Outcome.BAD,
    method: str = "auto",
    level: float = 0.95,
    unclear: str = "bounds",
    missing: str = "bounds",
    judge: JudgeError | None = None,
    num_resamples: int = 10_000,
    key: Array | None = None,
) -> Interval:
    r"""Share of an outcome.

    Samples are reduced to a mean for each prompt, so that sampling noise is part of what varies between prompts:

    .. math:: \bar x = \frac{\sum_p w_p x_p}{\sum_p w_p}, \qquad
        \mathrm{SE}^2 = \frac{C}{C-1} \frac{\sum_c \bigl(\sum_{p \in c} w_p (x_p - \bar x)\bigr)^2}{(\sum_p w_p)^2}

    Parameters
    ----------
    table
        Verdicts.
    outcome
        GOOD or BAD.
    method
        - ``"auto"``: Clopper-Pearson with one sample a prompt, no clusters and equal weights; else ``"cluster_t"``.
        - ``"clopper_pearson"`` (exact), ``"wilson"``, ``"jeffreys"``: independent, equal prompts of one sample.
        - ``"cluster_t"``: t with C - 1 degrees of freedom, cut at 0 and 1; Clopper-Pearson over clusters where each
          cluster's mean is 0 or 1, since its spread says nothing then.
        - ``"bootstrap"``: percentile, over clusters; needs ``key``. Under-covers near 0 and 1.
    level
        Coverage, in (0, 1).
    unclear, missing
        ``"bounds"``: left out of the estimate, counted as not the outcome for the lower limit and as the outcome for
        the upper; ``"exclude"``, ``"good"`` or ``"bad"``.
    judge
        Error rates of the judge, corrected for as by :func:`correct_for_judge`.
    num_resamples, key
        Of the bootstrap.

    Returns
    -------
    Interval
        Fields ``[model, attack]``. Guaranteed limits cover the prompts that these were drawn from, and no others.

    Raises
    ------
    ValueError
        For a binomial method on several samples a prompt, clusters or weights, or an option outside those above.

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
    check_level(level)
    counts = count_outcomes(table, outcome, unclear, missing)
    simple = table.labels.shape[-1] == 1 and table.cluster is None and table.weight is None
    if method in _BINOMIAL and not simple:
        samples = table.labels.shape[-1]
        got = f"{samples} samples a prompt" if samples > 1 else "clusters or weights"
        fail("table", got, f"one sample a prompt and independent, equal prompts for method {method!r}")
    if method in _BINOMIAL or (method == "auto" and simple):
        found = _binomial(counts, "clopper_pearson" if method == "auto" else method, level)
    else:
        x, weight = prompt_means(counts)
        found = interval_over_units(x, weight, table.cluster, level, table.weight)
        if method == "bootstrap":
            check_integer("num_resamples", num_resamples, minimum=100)
            drawn = need_key(key, "for the bootstrap")
            if table.weight is not None:
                weight = weight * table.weight.astype(weight.dtype)
            found = _percentile(found, x, weight, table.cluster, level, num_resamples, drawn)
    if judge is not None:
        found = correct_for_judge(found, judge=judge, level=level)
    return found


def _binomial(counts: Counts, method: str, level: float) -> Interval:
    hits, verdicts = counts.hits.sum(-1), counts.verdicts.sum(-1)
    lower, _ = binomial_limits(hits[1], verdicts[1], method, level)
    _, upper = binomial_limits(hits[2], verdicts[2], method, level)
    some = verdicts[0] > 0
    estimate = jnp.where(some, hits[0] / jnp.where(some, verdicts[0], 1), jnp.nan)
    error = jnp.sqrt(estimate * (1 - estimate) / jnp.maximum(verdicts[0], 1))
    units = verdicts[0].astype(jnp.int32)
    return Interval(estimate, lower, upper, error, units, jnp.where(units == 0, status_of(units), 0))


def _percentile(
    found: Interval, x: Array, weight: Array, cluster: Array | None, level: float, num: int, key: Array
) -> Interval:
    tail = (1 - level) / 2
    counts = resampled_weights(key, num, x.shape[-1], cluster)

    def limit(variant: int, quantile: float) -> Array:
        share, hit = (
            jnp.einsum("rp,map->rma", counts, part, precision="highest")
            for part in (weight[variant] * jnp.ones_like(x[variant]), weight[variant] * x[variant])
        )
        return jnp.nanquantile(jnp.where(share > 0, hit / jnp.where(share > 0, share, 1), jnp.nan), quantile, axis=0)

    several = found.num_units > 1
    return found._replace(lower=jnp.where(several, limit(1, tail), 0), upper=jnp.where(several, limit(2, 1 - tail), 1))
