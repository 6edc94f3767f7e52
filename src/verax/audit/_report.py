"""How well a detector separates covert jobs from benign ones, at false-positive rates that would be tolerated."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from verax._arrays import to_host, to_labels, to_number
from verax._errors import check
from verax._results import result
from verax._stats import clopper_pearson
from verax._types import AnyArray

from ._conformal import to_scores


@result()
class Interval(NamedTuple):
    """A share of jobs with Clopper-Pearson limits."""

    estimate: float
    lower: float
    upper: float


@result()
class DetectionReport(NamedTuple):
    """Rates of one detector.

    Attributes
    ----------
    auc, auc_standard_error
        Probability that a covert job scores above a benign one, ties counting half; DeLong's standard error.
    roc
        float64 [points, 2]: false-positive and true-positive rate at every threshold, ascending.
    tpr, tpr_lower, tpr_upper
        float64 [rates]: true-positive rate at each tolerated false-positive rate, with Clopper-Pearson limits. Where
        ``resolved`` is false no job can be flagged: the rate is 0, with limits 0 and 1.
    realised_fpr
        One ``Interval`` a rate: the false-positive rate that the threshold has on these benign jobs. It was chosen on
        them, so that the interval describes them and not new ones.
    resolved
        bool [rates]: whether there are benign jobs enough, ``1 / (m + 1) <= rate``.
    by_family
        For each family of covert jobs, its ``Interval`` of true positives at each rate.
    num_covert, num_benign
        Jobs of each.
    """

    auc: float
    auc_standard_error: float
    roc: Float[np.ndarray, "points 2"]
    tpr: Float[np.ndarray, " rates"]
    tpr_lower: Float[np.ndarray, " rates"]
    tpr_upper: Float[np.ndarray, " rates"]
    realised_fpr: tuple[Interval, ...]
    resolved: Bool[np.ndarray, " rates"]
    by_family: dict[str, tuple[Interval, ...]]
    num_covert: int
    num_benign: int


def detection_report(
    scores: Float[AnyArray, " n"],
    is_covert: Bool[AnyArray, " n"],
    family: tuple[str, ...] | list[str] | np.ndarray,
    *,
    fpr: tuple[float, ...] = (0.01, 0.05),
    level: float = 0.95,
) -> DetectionReport:
    """Measure a detector on jobs whose nature is known.

    A job is flagged at rate ``a`` if its conformal p-value against the benign jobs is at most ``a``.

    Parameters
    ----------
    scores
        [n], larger is more suspicious. A job that a detector leaves undetermined scores ``-inf`` or NaN: it is not
        flagged.
    is_covert
        bool [n].
    family
        [n] names; rates of covert jobs are reported for each.
    fpr
        False-positive rates that would be tolerated.
    level
        Confidence level of the Clopper-Pearson limits.

    Returns
    -------
    DetectionReport

    Raises
    ------
    ValueError
        For lengths that differ, scores of +inf, or no job of one kind.

    Notes
    -----
    Clopper-Pearson limits hold for independent jobs. Undetermined jobs tie at the bottom of the ROC curve.

    References
    ----------
    E. R. DeLong, D. M. DeLong, D. L. Clarke-Pearson, Biometrics 44 (1988).

    Examples
    --------
    >>> import numpy as np
    >>> scores = np.concatenate([np.arange(99) / 99, np.full(10, 2.0)])
    >>> report = detection_report(scores, np.arange(109) >= 99, ["benign"] * 99 + ["affix"] * 10)
    >>> print(report.tpr[0], report.tpr_lower[0].round(3), report.resolved)
    1.0 0.692 [ True  True]
    """
    scores = to_scores("scores", scores)
    covert = to_host("is_covert", is_covert, shape=scores.shape, dtype="bool")
    codes, kinds = to_labels("family", family, num=len(scores))
    check(bool((codes >= 0).all()), "family", "missing names", "a name for each job")
    names = kinds[codes].astype(str)
    check(bool(covert.any()) and not bool(covert.all()), "is_covert", "one kind only", "covert jobs and benign ones")
    level = to_number("level", level, "(0, 1)")
    fpr = tuple(to_number("fpr", rate, "(0, 1)") for rate in fpr)
    positive, negative = scores[covert], np.sort(scores[~covert])
    m = len(negative)
    above = (positive[:, None] > negative).astype(float) + 0.5 * (positive[:, None] == negative)
    auc = float(above.mean())
    variance = sum(v.var(ddof=1) / len(v) if len(v) > 1 else np.nan for v in (above.mean(axis=1), above.mean(axis=0)))
    thresholds = np.unique(scores)[::-1]
    roc = np.stack([(values[:, None] >= thresholds).mean(axis=0) for values in (negative, positive)], axis=1)
    roc = np.concatenate([np.zeros((1, 2)), roc])
    hits, false, resolved = [], [], []
    for rate in fpr:
        allowed = int(np.floor(rate * (m + 1) + 1e-9)) - 1  # benign scores at or above a flagged one
        resolved.append(allowed >= 0)
        threshold = negative[m - 1 - allowed] if 0 <= allowed < m else (np.inf if allowed < 0 else -np.inf)
        flag = scores > threshold
        hits.append(flag[covert])
        false.append(flag[~covert])
    unresolved = Interval(0.0, 0.0, 1.0)
    tpr = [_clopper_pearson(h, level) if r else unresolved for h, r in zip(hits, resolved, strict=True)]
    by_family = {
        str(name): tuple(
            _clopper_pearson(h[names[covert] == name], level) if r else unresolved
            for h, r in zip(hits, resolved, strict=True)
        )
        for name in np.unique(names[covert])
    }
    return DetectionReport(
        auc=auc,
        auc_standard_error=float(np.sqrt(variance)),
        roc=roc,
        tpr=np.array([t.estimate for t in tpr]),
        tpr_lower=np.array([t.lower for t in tpr]),
        tpr_upper=np.array([t.upper for t in tpr]),
        realised_fpr=tuple(_clopper_pearson(f, level) for f in false),
        resolved=np.array(resolved),
        by_family=by_family,
        num_covert=len(positive),
        num_benign=m,
    )


def _clopper_pearson(flags: np.ndarray, level: float) -> Interval:
    hits = int(flags.sum())
    return Interval(hits / len(flags), *clopper_pearson(hits, len(flags), level))
