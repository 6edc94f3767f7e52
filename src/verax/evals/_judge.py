"""Rates read by a judge that errs: correction by its error rates, and prediction-powered inference."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from verax._errors import check, is_traced
from verax._results import result
from verax._types import AnyArray

from ._interval import Interval, Status
from ._numeric import Numeric, as_float, module_for, take, take_level
from ._quantiles import binomial_limits, t_quantile
from ._units import alike_limits


@result()
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


_RATES, _NUMBERS = ("sensitivity", "specificity"), ("num_bad", "num_good")
_FEW = 5


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
    counts = take("confusion", confusion, shape=(2, 2), dtype="integer", within="[0, inf)")
    if not is_traced(counts):
        check(bool((counts.sum(1) > 0).all()), "confusion", counts.sum(1).tolist(), "labelled responses of both kinds")
    good, bad = as_float(counts, module_for(counts))
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
    The distances of the corrected rate when ``q``, ``Se`` or ``Sp`` alone moves to its own limit (Clopper-Pearson for
    the error rates) are combined as independent errors, ``sqrt(a^2 + b^2 + c^2)``: a judge without an error among few
    labelled responses is not taken for a perfect one.

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
    level = take_level(level)
    xp = module_for(observed, judge)
    rates = (take(f"judge.{n}", getattr(judge, n), observed, judge, within="[0, 1]") for n in _RATES)
    numbers = (
        take(f"judge.{n}", getattr(judge, n), observed, judge, within="(0, inf]", finite=False) for n in _NUMBERS
    )
    (se, sp), (num_bad, num_good) = rates, numbers
    se_low, se_high = _rate_limits(se, num_bad, level)
    sp_low, sp_high = _rate_limits(sp, num_good, level)
    q, q_low, q_high, q_error = (as_float(xp.asarray(part), xp) for part in observed[:4])

    def corrected(q: Numeric, se: Numeric, sp: Numeric, otherwise: float) -> Numeric:
        excess = se + sp - 1
        return xp.where(excess > 0, (q + sp - 1) / xp.where(excess > 0, excess, 1), otherwise)

    known = se + sp - 1 > 0
    p = corrected(q, se, sp, xp.nan)
    slope = xp.where(known, se + sp - 1, 1)
    judged = p**2 * se * (1 - se) / num_bad + (1 - p) ** 2 * sp * (1 - sp) / num_good
    error = xp.sqrt(q_error**2 + judged) / slope
    centre = xp.where(xp.isfinite(p), p, 0)
    down = (corrected(q_low, se, sp, -1), corrected(q, se_high, sp, -1), corrected(q, se, sp_low, -1))
    up = (corrected(q_high, se, sp, 2), corrected(q, se_low, sp, 2), corrected(q, se, sp_high, 2))
    lower = centre - xp.sqrt(sum(xp.maximum(centre - xp.nan_to_num(low), 0) ** 2 for low in down))
    upper = centre + xp.sqrt(sum(xp.maximum(xp.nan_to_num(high) - centre, 0) ** 2 for high in up))
    readable = known & xp.isfinite(p)
    lower, upper = xp.where(readable, xp.clip(lower, 0, 1), 0), xp.where(readable, xp.clip(upper, 0, 1), 1)
    before = xp.asarray(observed.status)
    status = xp.where(known & ~(q < 1 - sp), before, int(Status.NOT_IDENTIFIED))
    status = xp.where(before == int(Status.OK), status, before).astype(np.int32)
    return Interval(p, lower, upper, error, observed.num_units, status)


def _rate_limits(rate: Numeric, num: Numeric, level: float) -> tuple[Numeric, Numeric]:
    """Clopper-Pearson limits of an error rate; the rate itself where it is known exactly."""
    xp = module_for(rate, num)
    exact = xp.isinf(num)
    trials = xp.where(exact, 1, num)
    low, high = binomial_limits(rate * trials, trials, "clopper_pearson", level)
    return xp.where(exact, rate, low), xp.where(exact, rate, high)


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
        Scalars. Labels and verdicts of 0 and 1 get limits from exact ones of the shares of agreement and disagreement
        (Clopper-Pearson for the labels alone where there are fewer than five of one kind, since the judge cannot be
        calibrated then); graded ones get limits by t.

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
    level = take_level(level)
    f, y, more = (
        take(name, value, judged, labelled, unlabelled, shape=("n",), within="[0, 1]")
        for name, value in (("judged", judged), ("labelled", labelled), ("unlabelled", unlabelled))
    )
    check(f.shape == y.shape, "labelled", f"{y.shape[0]} labels", f"one for each of {f.shape[0]} verdicts")
    check(y.shape[0] >= 2, "labelled", f"{y.shape[0]} labels", "at least two")
    xp, n, num, tail = module_for(f, y, more), y.shape[0], more.shape[0], (1 - level) / 2
    variance = xp.concatenate([f, more]).var(ddof=1)
    covariance = ((y - y.mean()) * (f - f.mean())).sum() / (n - 1)
    lam = xp.where(variance > 0, covariance / (xp.where(variance > 0, variance, 1) * (1 + n / num)), 0)
    lam = xp.where(_both_kinds(y), xp.clip(lam, 0, 1), 0)
    rest = y - lam * f
    estimate = rest.mean() + lam * more.mean()
    error = xp.sqrt(rest.var(ddof=1) / n + lam**2 * variance / num)
    freedom = xp.asarray(n - 1.0)
    by_t = t_quantile(tail, freedom) * error
    spread = estimate - by_t, estimate + by_t
    alike = alike_limits(y.mean(), xp.asarray(float(n)), tail, 0.0)  # without both kinds of labels, lam is 0
    spread = tuple(xp.where(rest.max() - rest.min() < 1e-9, a, b) for a, b in zip(alike, spread, strict=True))
    counted = _counted_limits(f, y, more, lam, level)
    single = ((y == 0) | (y == 1)).all() & ((f == 0) | (f == 1)).all() & ((more == 0) | (more == 1)).all()
    lower, upper = (xp.where(single, c, s) for c, s in zip(counted, spread, strict=True))
    units, status = xp.asarray(n, np.int32), xp.asarray(int(Status.OK), np.int32)
    return Interval(estimate, xp.clip(lower, 0, 1), xp.clip(upper, 0, 1), error, units, status)


def _both_kinds(y: Numeric) -> Numeric:
    """Whether there are labels enough of either kind to learn from how the judge goes with them."""
    return (y.sum() >= _FEW) & ((1 - y).sum() >= _FEW)


def _counted_limits(f: Numeric, y: Numeric, more: Numeric, lam: Numeric, level: float) -> tuple[Numeric, Numeric]:
    """Limits for verdicts and labels of 0 and 1: each share has its own exact limits, combined by square-and-add.

    ``p = lam P(f) + P(y, not f) + (1 - lam) P(y, f) - lam P(f, not y)``.
    """
    xp, n, num = module_for(f, y, more, lam), y.shape[0], more.shape[0]
    parts = [
        (1.0, (y * (1 - f)).sum(), n),
        (1 - lam, (y * f).sum(), n),
        (-lam, (f * (1 - y)).sum(), n),
        (lam, more.sum(), num),
    ]
    centre, down, up = 0.0, 0.0, 0.0
    for factor, count, total in parts:
        share = count / total
        low, high = binomial_limits(count, xp.asarray(float(total)), "clopper_pearson", level)
        centre = centre + factor * share
        smaller, larger = share - low, high - share
        down = down + (factor * xp.where(factor > 0, smaller, larger)) ** 2
        up = up + (factor * xp.where(factor > 0, larger, smaller)) ** 2
    low, high = binomial_limits(y.sum(), xp.asarray(float(n)), "clopper_pearson", level)
    return xp.where(lam > 0, centre - xp.sqrt(down), low), xp.where(lam > 0, centre + xp.sqrt(up), high)
