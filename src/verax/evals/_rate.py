"""Rates of an outcome with binomial intervals that widen for verdicts that are unclear or missing."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import betainc, ndtri

from verax._errors import check, check_option, fail

from ._table import Outcome, OutcomeTable


class Interval(NamedTuple):
    """An estimate and its interval, each ``[model, attack]``; status 0 is good, 1 means that no unit has a verdict."""

    estimate: Any
    lower: Any
    upper: Any
    standard_error: Any
    num_units: Any
    status: Any


def _beta_quantile(p, a, b):
    """Inverse of the regularised incomplete beta function by bisection; exact to the dtype's rounding near 1."""
    low, high = jnp.zeros_like(a), jnp.ones_like(a)

    def halve(_, ends):
        low, high = ends
        middle = (low + high) / 2
        below = betainc(a, b, middle) < p
        return jnp.where(below, middle, low), jnp.where(below, high, middle)

    low, high = jax.lax.fori_loop(0, 60, halve, (low, high))
    return (low + high) / 2


def _limits(count, total, method, level):
    tail = (1 - level) / 2
    if method == "wilson":
        z = ndtri(jnp.asarray(1 - tail, count.dtype))
        p = count / total
        centre = (p + z**2 / (2 * total)) / (1 + z**2 / total)
        half = z * jnp.sqrt(p * (1 - p) / total + z**2 / (4 * total**2)) / (1 + z**2 / total)
        return jnp.where(count == 0, 0.0, centre - half), jnp.where(count == total, 1.0, centre + half)
    prior = 0.5 if method == "jeffreys" else 0.0
    extra = 0.5 if method == "jeffreys" else 1.0
    safe = jnp.where(count > 0, count, 1.0)
    rest = jnp.where(total > count, total - count, 1.0)
    lower = _beta_quantile(tail, safe + prior, total - safe + extra)
    upper = _beta_quantile(1 - tail, total - rest + extra, rest + prior)
    return jnp.where(count == 0, 0.0, lower), jnp.where(count == total, 1.0, upper)


def rate(
    table: OutcomeTable, *, outcome: Outcome = Outcome.BAD, method: str = "clopper_pearson", level: float = 0.95
) -> Interval:
    r"""Share of an outcome among the prompts with a verdict.

    :math:`\hat p = k / n` over GOOD and BAD verdicts. The lower limit counts UNCLEAR and MISSING as not the outcome,
    the upper limit counts them as the outcome, so that no choice about them is hidden.

    Parameters
    ----------
    table
        One sample a prompt, without clusters and weights: binomial intervals need independent, equal units.
    outcome
        GOOD or BAD.
    method
        ``"clopper_pearson"`` (exact), ``"wilson"`` or ``"jeffreys"``.
    level
        Coverage, in (0, 1).

    Returns
    -------
    Interval
        Fields ``[model, attack]``. Where no prompt has a verdict the estimate is NaN and the status 1.

    Raises
    ------
    ValueError
        For several samples a prompt, clusters or weights, or an option outside those above.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.evals import OutcomeTable, rate
    >>> r = rate(OutcomeTable(np.array([1, 0, 0, 0, 0, 0, 0, 0, 0, 0]).reshape(1, 1, 10, 1)))
    >>> print(f"{r.estimate[0, 0]:.2f} {r.lower[0, 0]:.4f} {r.upper[0, 0]:.4f}")
    0.10 0.0025 0.4450

    References
    ----------
    Clopper and Pearson (1934); Wilson (1927); Brown, Cai and DasGupta (2001).
    """
    check_option("method", method, ("clopper_pearson", "wilson", "jeffreys"))
    check(0 < level < 1, "level", level, "a number in (0, 1)")
    check(outcome in (Outcome.GOOD, Outcome.BAD), "outcome", outcome, "Outcome.GOOD or Outcome.BAD")
    if table.labels.shape[-1] != 1:
        fail("table", f"{table.labels.shape[-1]} samples a prompt", "one sample a prompt for a binomial interval")
    if table.cluster is not None or table.weight is not None:
        fail("table", "clusters or weights", "independent prompts of equal weight for a binomial interval")
    labels = table.labels[..., 0]
    dtype = jnp.zeros(()).dtype
    count = (labels == int(outcome)).sum(-1).astype(dtype)
    known = (labels <= int(Outcome.BAD)).sum(-1).astype(dtype)
    total = jnp.full_like(known, labels.shape[-1])
    lower, _ = _limits(count, total, method, level)
    _, upper = _limits(count + total - known, total, method, level)
    estimate = jnp.where(known > 0, count / jnp.maximum(known, 1.0), jnp.nan)
    error = jnp.sqrt(estimate * (1 - estimate) / jnp.maximum(known, 1.0))
    return Interval(estimate, lower, upper, error, known.astype(jnp.int32), (known == 0).astype(jnp.int32))
