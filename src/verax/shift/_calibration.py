"""From a score to an error: a frozen line, conformal over families of shifts."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import jax
import numpy as np
from scipy import stats

from verax._errors import check, check_finite, check_integer, check_option, fail
from verax._results import raise_if_failed, result
from verax._save import register
from verax._stats import clopper_pearson, conformal_quantile
from verax._types import AnyArray

from ._checks import check_concrete, check_key, check_level, check_logits
from ._scores import SENTENCES, Status


@result(SENTENCES)
class Estimate(NamedTuple):
    """Errors of target sets; the numbers are NaN where ``status`` is not ``Status.OK``."""

    error: np.ndarray
    """Predicted error, in [0, 1]."""
    lower: np.ndarray
    """Lower limit at the calibration's level."""
    upper: np.ndarray
    """Upper limit."""
    status: np.ndarray
    """OK, OUT_OF_RANGE, LABEL_SHIFT or NON_FINITE."""

    raise_if_failed = raise_if_failed


@result()
class Validation(NamedTuple):
    """Predictions of each family from the others."""

    predicted: np.ndarray
    """Predictions [S] of each set by a line fitted to the other families."""
    lower: np.ndarray
    """Lower limits [S] from the other families."""
    upper: np.ndarray
    """Upper limits [S]."""
    mean_absolute_error: float
    """Over sets."""
    r_squared: float
    """Of one line through all sets: squared correlation of score and error."""
    spearman: float
    """Rank correlation of score and error over all sets."""
    set_coverage: tuple[float, float, float]
    """Share of sets inside their limits, with Clopper-Pearson limits that take sets as independent."""
    family_coverage: tuple[float, float, float]
    """Share of families all of whose sets are inside, with Clopper-Pearson limits."""


@result()
@dataclasses.dataclass(frozen=True)
class ErrorCalibration:
    r"""A line from score to error, with intervals for shifts of a family that it has not seen.

    For each family g of shifts, a line is fitted by least squares to the other families, and :math:`r_g` is the largest
    absolute residual of g's sets. At a new score s the limits are conformal quantiles over families (cross-conformal,
    "CV+", with families as folds),

    .. math:: \bigl[\,-q(-(\hat\mu_{-g}(s) - r_g)),\; q(\hat\mu_{-g}(s) + r_g)\,\bigr],

    cut to [0, 1], since an error lies there. If the new family is exchangeable with these, all of its sets are covered
    with probability at least ``2 level - 1`` whatever the distribution, and about ``level`` in practice. The unit is
    the family, since sets of one corruption are alike. No method works for every shift (Garg et al. 2022).

    Attributes
    ----------
    scores, errors : float64 [S]
        Scores and errors of the calibration sets.
    families : str [S]
        The family of each set.
    level : float
        Confidence level of the intervals.
    reference_counts : int64 [K] or None
        How often each label is predicted in distribution.
    label_threshold : float
        Largest distance of predicted labels from the reference's that is taken for no label shift; NaN without them.
    exact : bool
        Whether the limits are conformal; False for those of few families.
    """

    scores: np.ndarray
    errors: np.ndarray
    families: np.ndarray
    level: float
    reference_counts: np.ndarray | None = None
    label_threshold: float = float("nan")
    exact: bool = True

    @classmethod
    def fit(
        cls,
        scores: AnyArray,
        errors: AnyArray,
        families: Sequence[str] | AnyArray,
        *,
        level: float = 0.9,
        few_families: str = "refuse",
        reference_labels: AnyArray | None = None,
        calibration_labels: Sequence[AnyArray] | None = None,
    ) -> "ErrorCalibration":
        """Fit to synthetic shifts of labelled in-distribution data.

        Parameters
        ----------
        scores, errors : [S]
            A score (larger is worse) and the true error of each set, as shares. Of Projection Norm take the excess.
        families : [S]
            The kind of shift of each set, such as the corruption's name; each family is one unit.
        level
            Confidence level of the intervals, in (0, 1).
        few_families
            With fewer families than the level needs (9 at 0.9): "refuse", or "normal": prediction intervals that take
            the families' mean residuals for normally distributed, of at least the largest residual on either side. At
            least 3 families; `exact` is then False, and nothing is guaranteed for other distributions.
        reference_labels : int [n], optional
            Labels that the model predicts in distribution, for the test of label shift.
        calibration_labels : sequence of S arrays of int, optional
            Labels that the model predicts on each calibration set. Corruptions move predictions too: with these, label
            shift means further from the reference than ``level`` of the families go. Without, it means that a
            chi-squared test at 1 - level rejects equality.

        Returns
        -------
        ErrorCalibration

        Raises
        ------
        ValueError
            For arrays of different lengths, non-finite values, errors outside [0, 1], scores that are all equal, and
            fewer families than the level needs: level / (1 - level), 9 at 0.9.

        Examples
        --------
        >>> import numpy as np
        >>> from verax.shift import ErrorCalibration
        >>> rng = np.random.default_rng(0)
        >>> scores = rng.uniform(0, 1, (15, 5))
        >>> errors = 0.1 + 0.6 * scores + 0.02 * rng.normal(size=(15, 1))  # a family errs together
        >>> names = np.repeat([f"family {i}" for i in range(15)], 5)
        >>> calibration = ErrorCalibration.fit(scores.ravel(), errors.ravel(), names)
        >>> estimate = calibration.estimate(0.5)
        >>> bool(estimate.lower < 0.4 < estimate.upper), bool(estimate.upper - estimate.lower < 0.2)
        (True, True)
        >>> int(calibration.estimate(7.0).status)  # OUT_OF_RANGE
        3
        """
        check_level(level)
        x, y = (_vector(name, value) for name, value in (("scores", scores), ("errors", errors)))
        names = np.asarray(families).astype(str)
        check(x.size > 0, "scores", "none", "at least one set")
        check(y.shape == x.shape, "errors", f"shape {y.shape}", f"shape {x.shape}, as scores")
        check(names.shape == x.shape, "families", f"shape {names.shape}", f"shape {x.shape}, one name a set")
        check(not np.any(names == ""), "families", "an empty name", "a name for each family")
        check(bool(np.all((y >= 0) & (y <= 1))), "errors", f"{y.min():g} to {y.max():g}", "shares in [0, 1]")
        groups = np.unique(names)
        check_option("few_families", few_families, ("refuse", "normal"))
        exact = few_families == "refuse" or _conformal_serves(len(groups), level)
        check(exact or len(groups) >= 3, "families", f"{len(groups)} of them", "at least 3")
        if exact:  # raises where the level asks for more families
            conformal_quantile(np.zeros(len(groups)), level, argument="families")
        for group in groups:
            rest = x[names != group]
            check(np.ptp(rest) > 0, "scores", f"equal scores outside family {group!r}", "scores that differ")
        counts, threshold = None, float("nan")
        if reference_labels is None:
            check(calibration_labels is None, "reference_labels", "None", "labels, beside calibration_labels")
        else:
            reference = _labels("reference_labels", reference_labels)
            counts = np.bincount(reference)
        if counts is not None and calibration_labels is not None:
            many = len(calibration_labels) == len(x)
            check(many, "calibration_labels", f"{len(calibration_labels)} sets", f"{len(x)}, one a score")
            moved = np.array([_distance(counts, _labels("calibration_labels", one)) for one in calibration_labels])
            worst = np.array([moved[names == group].max() for group in groups])
            threshold = float(conformal_quantile(worst, level, argument="families") if exact else worst.max())
        return cls(x, y, names, float(level), counts, threshold, exact)

    def estimate(
        self,
        score: float | int | AnyArray,
        *,
        predicted_labels: AnyArray | None = None,
        score_samples: AnyArray | None = None,
    ) -> Estimate:
        """Error of new sets from their scores.

        Parameters
        ----------
        score : number or [S]
            The same score as in ``fit``.
        predicted_labels : int [m], or [S, m] with S scores
            Labels that the model predicts on the sets, for the test of label shift.
        score_samples : [B] or [B, S]
            The score on bootstrap samples of the set (:func:`bootstrap_scores`). Limits widen by the spread of the
            line's values on them, at the same level.

        Returns
        -------
        Estimate
            NaN where the score is outside the range of the calibration's (OUT_OF_RANGE), where the labels are
            distributed as in no calibration set (LABEL_SHIFT, which comes first), or the score is not finite.

        Raises
        ------
        ValueError
            For bad shapes, and labels without ``reference_labels`` in ``fit``.
        """
        s = np.asarray(score, np.float64)
        check(s.ndim <= 1, "score", f"shape {s.shape}", "a number or [S]")
        finite = np.isfinite(s)
        inside = finite & (s >= self.scores.min()) & (s <= self.scores.max())
        status = np.where(inside, int(Status.OK), np.where(finite, int(Status.OUT_OF_RANGE), int(Status.NON_FINITE)))
        if predicted_labels is not None:
            if self.reference_counts is None:
                fail("predicted_labels", "labels", "reference_labels in fit, to compare them with")
            labels = np.asarray(predicted_labels)
            check(labels.ndim == s.ndim + 1, "predicted_labels", f"shape {labels.shape}", "[m], or [S, m] for S scores")
            check(labels.shape[:-1] == s.shape, "predicted_labels", f"shape {labels.shape}", f"{s.size} sets")
            rows = labels.reshape(-1, labels.shape[-1])
            shifted = [self.label_shift(row) for row in rows]
            status = np.where(np.reshape(shifted, s.shape), int(Status.LABEL_SHIFT), status)
        error, lower, upper = self.line(np.where(finite, s, 0.0))
        if score_samples is not None:
            samples = np.asarray(score_samples, np.float64)
            fits = samples.ndim == s.ndim + 1 and samples.shape[1:] == s.shape and len(samples) >= 2
            check(fits, "score_samples", f"shape {samples.shape}", "[B], or [B, S] for S scores, with B >= 2")
            tail = (1 - self.level) / 2
            low, high = np.quantile(self.line(samples)[0] - error, (tail, 1 - tail), axis=0)
            lower, upper = np.asarray(lower + np.minimum(low, 0)), np.asarray(upper + np.maximum(high, 0))
        bad = status != int(Status.OK)
        error, lower, upper = (np.where(bad, np.nan, np.clip(part, 0, 1)) for part in (error, lower, upper))
        return Estimate(error, lower, upper, status)

    def label_shift(self, predicted_labels: AnyArray) -> bool:
        """Whether these predicted labels [m] are distributed as in no calibration set."""
        if self.reference_counts is None:
            fail("predicted_labels", "labels", "reference_labels in fit, to compare them with")
        labels = _labels("predicted_labels", predicted_labels)
        if np.isfinite(self.label_threshold):
            return _distance(self.reference_counts, labels) > self.label_threshold
        width = max(len(self.reference_counts), int(labels.max()) + 1)
        table = np.stack(
            [
                np.pad(self.reference_counts, (0, width - len(self.reference_counts))),
                np.bincount(labels, minlength=width),
            ]
        )
        table = table[:, table.sum(0) > 0]
        return bool(table.shape[1] > 1 and cast(Any, stats.chi2_contingency(table)).pvalue < 1 - self.level)

    def validate(self) -> Validation:
        """Leave out each family, predict it from the others, and count how often its sets are covered.

        One family more than ``fit`` needs. Scores outside the others' range are judged too, by the line.
        """
        groups = np.unique(self.families)
        if self.exact:
            conformal_quantile(np.zeros(len(groups) - 1), self.level, argument="families (without the one left out)")
        predicted, lower, upper = (np.empty_like(self.scores) for _ in range(3))
        for group in groups:
            out = self.families == group
            others = dataclasses.replace(
                self, scores=self.scores[~out], errors=self.errors[~out], families=self.families[~out]
            )
            parts = others.line(self.scores[out])
            predicted[out], lower[out], upper[out] = (np.clip(part, 0, 1) for part in parts)
        covered = (lower <= self.errors) & (self.errors <= upper)
        whole = np.array([covered[self.families == group].all() for group in groups])

        def share(hits: np.ndarray) -> tuple[float, float, float]:
            return (float(hits.mean()), *clopper_pearson(int(hits.sum()), len(hits), 0.95))

        correlation = np.corrcoef(self.scores, self.errors)[0, 1]
        return Validation(
            predicted,
            lower,
            upper,
            float(np.abs(predicted - self.errors).mean()),
            float(correlation**2),
            float(cast(Any, stats.spearmanr(self.scores, self.errors)).statistic),
            share(covered),
            share(whole),
        )

    def line(self, score: AnyArray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Fitted line at scores [...] with lower and upper limits: neither cut to [0, 1] nor refused out of range.

        For plots; `estimate` is for decisions.
        """
        s = np.asarray(score, np.float64)
        slope, intercept = _line(self.scores, self.errors)
        lows, highs, means, spreads = [], [], [], []
        for group in np.unique(self.families):
            out = self.families == group
            a, b = _line(self.scores[~out], self.errors[~out])
            residuals = self.errors[out] - (a * self.scores[out] + b)
            residual = np.abs(residuals).max()
            means.append(residuals.mean())
            spreads.append(np.abs(residuals - residuals.mean()).max())
            lows.append(a * s + b - residual)
            highs.append(a * s + b + residual)
        if not self.exact:
            num = len(means)
            quantile = float(stats.t.ppf((1 + self.level) / 2, num - 1))
            width = quantile * np.std(means, ddof=1) * np.sqrt(1 + 1 / num) + max(spreads)
            centre = np.asarray(slope * s + intercept)
            return (
                centre,
                np.minimum(centre - width, np.min(lows, axis=0)),
                np.maximum(centre + width, np.max(highs, axis=0)),
            )
        upper = conformal_quantile(np.stack(highs), self.level, argument="families")
        lower = np.asarray(-conformal_quantile(-np.stack(lows), self.level, argument="families"))
        return np.asarray(slope * s + intercept), lower, upper


def bootstrap_scores(
    score_fn: Callable[[Any, Any, Any], Any],
    val_logits: AnyArray,
    val_labels: AnyArray,
    target_logits: AnyArray,
    *,
    num_resamples: int = 100,
    key: jax.Array,
) -> np.ndarray:
    """Score of bootstrap samples of a target set: m rows drawn with replacement, [num_resamples].

    Parameters
    ----------
    score_fn
        Any score of this package, ``score_fn(val_logits, val_labels, target_logits)``.
    val_logits, val_labels, target_logits
        Its arguments; the holdout is not resampled.
    num_resamples
        At least 2.
    key
        A ``jax.random.key``.

    Examples
    --------
    >>> import jax, numpy as np
    >>> from verax.shift import average_confidence, bootstrap_scores
    >>> z = np.random.default_rng(0).normal(size=(200, 3))
    >>> samples = bootstrap_scores(average_confidence, z, z.argmax(1), z, num_resamples=50, key=jax.random.key(0))
    >>> samples.shape, bool(0.001 < samples.std() < 0.05)
    ((50,), True)
    """
    check_concrete(val_logits=val_logits, val_labels=val_labels, target_logits=target_logits)
    check_integer("num_resamples", num_resamples, minimum=2)
    key = check_key(key)
    target_logits = np.asarray(check_logits("target_logits", target_logits))
    rows = np.asarray(jax.random.randint(key, (num_resamples, len(target_logits)), 0, len(target_logits)))
    return np.array([float(score_fn(val_logits, val_labels, target_logits[one])) for one in rows])


def _line(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    centred = x - x.mean()
    slope = float(centred @ y / (centred @ centred))
    return slope, float(y.mean() - slope * x.mean())


def _conformal_serves(num_families: int, level: float) -> bool:
    return bool(num_families >= np.ceil(level / (1 - level) - 1e-9))


def _vector(argument: str, value: Any) -> np.ndarray:
    array = np.asarray(value)
    check(array.dtype.kind in "fiub" and array.ndim == 1, argument, f"{array.dtype} {array.shape}", "numbers [S]")
    check_finite(argument, array)
    return array.astype(np.float64)


def _labels(argument: str, value: Any) -> np.ndarray:
    array = np.asarray(value)
    good = array.dtype.kind in "iu" and array.ndim == 1 and array.size > 0
    check(good, argument, f"{array.dtype} {array.shape}", "integer labels [m]")
    check(int(array.min()) >= 0, argument, f"label {array.min()}", "labels >= 0")
    return array


def _distance(counts: np.ndarray, labels: np.ndarray) -> float:
    """Total variation between two distributions of labels."""
    width = max(len(counts), int(labels.max()) + 1)
    other = np.bincount(labels, minlength=width)
    return float(np.abs(np.pad(counts, (0, width - len(counts))) / counts.sum() - other / other.sum()).sum() / 2)


register(ErrorCalibration)
