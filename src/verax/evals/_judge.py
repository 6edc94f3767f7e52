"""Rates read by a judge that errs: correction by its error rates, and prediction-powered inference."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import ndtri
from jaxtyping import Float, Int

from verax._errors import check, check_finite, is_traced
from verax._types import AnyArray

from ._interval import Interval, Status
from ._units import check_level


class JudgeError(NamedTuple):
    """Error rates of a judge, with what they were measured on.

    Attributes
    ----------
    sensitivity
        Share of truly BAD responses that it calls BAD.
    specificity
        Share of truly GOOD responses that it calls GOOD.
    num_bad, num_good
        Labelled responses of each kind; infinity for rates known exactly.
    """

    sensitivity: Float[AnyArray, ""]
    specificity: Float[AnyArray, ""]
    num_bad: Float[AnyArray, ""]
    num_good: Float[AnyArray, ""]


def fit_judge_error(confusion: Int[AnyArray, "2 2"]) -> JudgeError:
    """Error rates from responses that people have labelled too.

    Parameters
    ----------
    confusion : [2, 2], int
        Rows: truly GOOD, truly BAD. Columns: called GOOD, called BAD.

    Returns
    -------
    JudgeError

    Raises
    ------
    ValueError
        For another shape, negative counts, or no response of one kind.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.evals import fit_judge_error
    >>> error = fit_judge_error(np.array([[97, 3], [10, 90]]))
    >>> print(np.asarray(error.sensitivity).round(2), np.asarray(error.specificity).round(2))
    0.9 0.97
    """
    counts = jnp.asarray(confusion)
    check(counts.shape == (2, 2), "confusion", f"shape {counts.shape}", "[2, 2]: truth by verdict, GOOD before BAD")
    check(jnp.issubdtype(counts.dtype, jnp.integer), "confusion", f"dtype {counts.dtype}", "integer counts")
    if not is_traced(counts):
        table = np.asarray(counts)
        check(int(table.min()) >= 0, "confusion", f"a count of {table.min()}", "counts >= 0")
        check(bool((table.sum(1) > 0).all()), "confusion", table.sum(1).tolist(), "labelled responses of both kinds")
    good, bad = counts.astype(jnp.result_type(float))
    return JudgeError(bad[1] / bad.sum(), good[0] / good.sum(), bad.sum(), good.sum())


def correct_for_judge(observed: Interval, *, judge: JudgeError, level: float = 0.95) -> Interval:
    r"""Rate of truly BAD responses from the rate that a judge calls BAD (Rogan and Gladen).

    .. math:: \hat p = \frac{q + Sp - 1}{Se + Sp - 1}, \qquad \mathrm{SE}^2 = \frac{\mathrm{SE}_q^2 + \hat p^2
        Se(1 - Se)/n_{bad} + (1 - \hat p)^2 Sp(1 - Sp)/n_{good}}{(Se + Sp - 1)^2}

    Parameters
    ----------
    observed
        Of BAD verdicts, from :func:`rate`; its limits may hold bounds for unclear verdicts, which are kept.
    judge
        Its error rates.
    level
        Coverage of ``observed``, and of the result.

    Returns
    -------
    Interval
        The estimate is not cut at 0 and 1, so that it is unbiased; the limits are. Each limit is the corrected one of
        ``observed``, moved outwards for the uncertainty of the error rates. ``NOT_IDENTIFIED`` where
        ``Se + Sp <= 1``, and where fewer were called BAD than the judge calls BAD by mistake.

    Raises
    ------
    ValueError
        For error rates outside [0, 1] or a level outside (0, 1).

    Notes
    -----
    The distance of each limit from the estimate, and the share that the error rates add, are combined as independent
    errors: ``sqrt(a^2 + b^2)``.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.evals import OutcomeTable, correct_for_judge, fit_judge_error, rate
    >>> read = rate(OutcomeTable(np.repeat([1, 0], [30, 270]).reshape(1, 1, 300, 1)))
    >>> true = correct_for_judge(read, judge=fit_judge_error(np.array([[97, 3], [10, 90]])))
    >>> print(np.asarray(true.estimate).round(4))  # (0.1 + 0.97 - 1) / 0.87
    [[0.0805]]

    References
    ----------
    Rogan and Gladen (1978), Estimating prevalence from the results of a screening test.
    """
    check_level(level)
    for name in ("sensitivity", "specificity"):
        value = getattr(judge, name)
        inside = is_traced(value) or bool(0 <= float(value) <= 1)
        check(inside, f"judge.{name}", value, "a rate in [0, 1]")
    se, sp = jnp.asarray(judge.sensitivity), jnp.asarray(judge.specificity)
    excess = se + sp - 1
    slope = jnp.where(excess > 0, excess, 1)

    def corrected(q: AnyArray) -> Array:
        return (jnp.asarray(q) + sp - 1) / slope

    p = corrected(observed.estimate)
    judged = p**2 * se * (1 - se) / judge.num_bad + (1 - p) ** 2 * sp * (1 - sp) / judge.num_good
    error = jnp.sqrt(observed.standard_error**2 + judged) / slope
    z = ndtri(jnp.asarray(1 - (1 - level) / 2, p.dtype))
    wide = z * jnp.sqrt(judged) / slope
    centre = jnp.where(jnp.isfinite(p), p, 0)
    lower = centre - jnp.hypot(jnp.maximum(centre - corrected(observed.lower), 0), wide)
    upper = centre + jnp.hypot(jnp.maximum(corrected(observed.upper) - centre, 0), wide)
    known = excess > 0
    lower, upper = jnp.where(known, jnp.clip(lower, 0, 1), 0), jnp.where(known, jnp.clip(upper, 0, 1), 1)
    status = jnp.where(known & ~(observed.estimate < 1 - sp), observed.status, Status.NOT_IDENTIFIED)
    status = jnp.where(observed.status == Status.OK, status, observed.status).astype(jnp.int32)
    return Interval(jnp.where(known, p, jnp.nan), lower, upper, error, observed.num_units, status)


def ppi_rate(
    judged: Float[AnyArray, "n"],
    labelled: Float[AnyArray, "n"],
    unlabelled: Float[AnyArray, "N"],
    *,
    level: float = 0.95,
) -> Interval:
    r"""Prediction-powered rate: a few human labels, corrected by many verdicts of a judge.

    .. math:: \hat p = \bar y + \lambda (\bar f_{N} - \bar f_{n}), \qquad
        \mathrm{SE}^2 = \frac{\mathrm{Var}(y - \lambda f)}{n} + \lambda^2 \frac{\mathrm{Var}(f)}{N}, \qquad
        \lambda = \frac{\mathrm{Cov}(y, f)}{(1 + n/N)\,\mathrm{Var}(f)}

    Parameters
    ----------
    judged, labelled : [n]
        Verdicts of the judge and of people on the same responses, in [0, 1].
    unlabelled : [N]
        Verdicts of the judge on further responses, drawn alike.
    level
        Coverage, in (0, 1).

    Returns
    -------
    Interval
        Scalars; never wider, for large n, than from the labels alone, however bad the judge.

    Raises
    ------
    ValueError
        For fewer than two labels, other lengths, or values outside [0, 1].

    Examples
    --------
    >>> import numpy as np
    >>> from verax.evals import ppi_rate
    >>> rng = np.random.default_rng(0)
    >>> truth = (rng.random(5200) < 0.3).astype(float)
    >>> verdict = np.where(rng.random(5200) < 0.9, truth, 1 - truth)
    >>> found = ppi_rate(verdict[:200], truth[:200], verdict[200:])
    >>> bool(found.lower < 0.3 < found.upper), bool(found.standard_error < np.std(truth[:200]) / 200**0.5)
    (True, True)

    References
    ----------
    Angelopoulos, Duchi, Zrnic (2023), PPI++: efficient prediction-powered inference.
    """
    check_level(level)
    dtype = jnp.result_type(float)
    f, y, more = (_share(n, v).astype(dtype) for n, v in
                  (("judged", judged), ("labelled", labelled), ("unlabelled", unlabelled)))  # fmt: skip
    check(f.shape == y.shape, "labelled", f"{y.shape[0]} labels", f"one for each of {f.shape[0]} verdicts")
    check(y.shape[0] >= 2, "labelled", f"{y.shape[0]} labels", "at least two")
    n, num = y.shape[0], more.shape[0]
    variance = jnp.var(jnp.concatenate([f, more]), ddof=1)
    covariance = ((y - y.mean()) * (f - f.mean())).sum() / (n - 1)
    lam = jnp.where(variance > 0, covariance / (jnp.where(variance > 0, variance, 1) * (1 + n / num)), 0)
    estimate = y.mean() + lam * (more.mean() - f.mean())
    error = jnp.sqrt(jnp.var(y - lam * f, ddof=1) / n + lam**2 * variance / num)
    half = ndtri(jnp.asarray(1 - (1 - level) / 2, dtype)) * error
    return Interval(
        estimate, jnp.clip(estimate - half, 0, 1), jnp.clip(estimate + half, 0, 1), error, jnp.int32(n),
        jnp.int32(Status.OK),
    )  # fmt: skip


def _share(argument: str, values: Any) -> Array:
    array = jnp.asarray(values)
    check(array.ndim == 1 and array.size > 0, argument, f"shape {array.shape}", "a sequence, not empty")
    check_finite(argument, array)
    if not is_traced(array):
        low, high = float(np.min(np.asarray(array))), float(np.max(np.asarray(array)))
        check(low >= 0 and high <= 1, argument, f"values {low:g} to {high:g}", "values in [0, 1]")
    return array
