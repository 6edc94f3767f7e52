"""The probe as a scikit-learn estimator."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import ClassifierTags, RegressorTags, Tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, column_or_1d

from verax._arrays import to_host
from verax._errors import check, check_option

from ._blocks import NUM_FOLDS, draw_folds, plan, row_blocks
from ._columns import name_columns
from ._compare import compare
from ._dual import Dual
from ._duplicates import count_duplicates
from ._forecast import PartFit, fit_curve, forecast
from ._independence import check_independence
from ._intervals import (
    area_estimate,
    effective_number,
    error_of_share,
    interval,
    mean_estimate,
    share_estimate,
    wilson,
)
from ._law import SORTED_SCORE, row_order
from ._measure import backtest, choose_ridge, fit_parts, measure_law
from ._needed import samples_needed
from ._no_forecast import no_forecast, none_needed, why_none
from ._primal import Primal
from ._reading import named, read_features, read_groups, read_labels, read_weights
from ._results import Comparison, Forecast, IndependenceCheck, PerClass, SamplesNeeded
from ._targets import Classes, Real, errors_by_class, read_targets
from ._tuned_risk import risk_curve

_LEAST_GROUPS = 2 * NUM_FOLDS
"""Fewer groups are not split into the parts that a forecast is made from."""
_DEPENDENCE = 2.0
"""Standard errors between the errors with and without the row's own group that a warning reports."""


def _classifies(probe: "RidgeProbe") -> bool:
    return probe.task == "classification"


class RidgeProbe(BaseEstimator):
    r"""Linear probe that says how wrong it will be on new data, how many labels would help, and whether to believe it.

    .. math::
        \hat f = \arg\min_f \frac1n \sum_i \lVert y_i - f(x_i) \rVert^2 + \lambda \lVert w \rVert^2,
        \qquad f(x) = x^\top w + b

    on one-hot labels (classification) or on the targets (regression). One decomposition, of the features' covariance or
    of the samples' kernel, whichever is smaller, gives every ridge, every leave-one-out prediction and the learning
    curve. It is a scikit-learn classifier or regressor, by ``task``.

    Parameters
    ----------
    task
        "classification" (any labels; 0-1 errors) or "regression" (one or several real targets; squared errors).
    ridges : [L], optional
        Non-negative, 1/n-normalised (scikit-learn's ``alpha`` is ``n * ridge``). Default: 100 ridges from the bottom of
        the spectrum to ten times its top.
    criterion
        What chooses the ridge: "gcv", or "loo" (mean squared leave-one-out error; one more pass over the features).
    class_weight
        None, "balanced" or a dict, as in scikit-learn. Weights multiply the calibrated probabilities before the largest
        is taken: they move the decision and leave the fit, and so the theory, as it is.
    level
        Confidence level of all intervals and bands.
    memory_budget
        Bytes that the fit may hold beside the features; None for no limit. Features are read in blocks, so that a
        memory-mapped array is never in memory as a whole.

    Attributes
    ----------
    risk_ : Estimate
        Mean squared leave-one-out error, summed over classes or targets.
    error_ : Estimate
        Leave-one-out 0-1 error with a Wilson interval (classification).
    balanced_error_ : Estimate
        Mean over classes of the leave-one-out error within the class (classification).
    per_class_ : PerClass
        Leave-one-out errors by class (classification).
    roc_auc_ : Estimate
        Area under the ROC curve of leave-one-out scores; the mean over classes against the rest beyond two.
    law_ : ProbeLaw
        Whether forecasts may be believed, and every statistic behind the verdict.
    warnings_ : tuple of str
        What else a user should know: rank, classes with one example, order of the rows, a ridge at the end of its grid.
    ridge_ : float
        The chosen ridge.
    path_ : RiskPath
        GCV at every ridge.
    coef_ : [C, p]
        Coefficients of the one-hot scores, or of the targets.
    intercept_ : [C]
        Their intercepts.
    classes_, num_samples_, n_features_in_

    Raises
    ------
    ValueError
        From ``fit``: for NaN or infinite features, one class, as many classes as examples, constant features, a
        memory budget that cannot hold the decomposition.

    Notes
    -----
    The features must be independent of these labels. Those of a network that was trained on these very examples make
    every number here too small: `independence_check` tests it with fresh data.

    Cost for ``n`` rows and ``p`` features: ``2 n p^2`` flops for the moments, twice that for leave-one-out,
    and one full and ten partial decompositions of side ``p`` (or of sides ``n``, ``n/2``, ``n/4``, ``n/8`` where ``n <
    p``), all in float64 on the host. Intervals treat leave-one-out losses as independent, which ignores the correlation
    that shared training examples give them.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from verax.probe import RidgeProbe
    >>> features, labels = load_digits(return_X_y=True)
    >>> order = np.random.default_rng(0).permutation(len(labels))
    >>> train, new = order[:1200], order[1200:]
    >>> probe = RidgeProbe().fit(features[train], labels[train])
    >>> bool(probe.error_.lower < 1 - probe.score(features[new], labels[new]) < probe.error_.upper)
    True
    >>> round(probe.error_.value, 3)
    0.063

    References
    ----------
    Wei, Hu, Steinhardt, "More Than a Toy" (ICML 2022).
    """

    def __init__(
        self,
        *,
        task: str = "classification",
        ridges: Sequence[float] | np.ndarray | None = None,
        criterion: str = "gcv",
        class_weight: Mapping | str | None = None,
        level: float = 0.95,
        memory_budget: int | None = None,
    ) -> None:
        self.task = task
        self.ridges = ridges
        self.criterion = criterion
        self.class_weight = class_weight
        self.level = level
        self.memory_budget = memory_budget

    def fit(self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None) -> "RidgeProbe":
        """Fit, and measure everything that the attributes and methods report.

        Parameters
        ----------
        X : [n, p]
            Features of any real dtype (bfloat16 and float8 included), dense or sparse, in memory or memory-mapped;
            float64 copies are made of blocks only.
        y : [n] or [n, C]
            Labels of any kind; one-hot rows; zeros and ones for several labels per row; or real targets.
        sample_weight : [n], optional
            Non-negative importance of each row, as in surveys; scaled to mean 1. Errors are weighted likewise. Rows of
            weight 0 are left out. A weight is no number of copies: copies of a row make leave-one-out too small.
        groups : [n], optional
            Group of each row (a person, a video, a text). Every error is then one of predictions by fits without the
            row's whole group, intervals count groups, and forecasts keep groups whole.
        """
        ridges = self._check_options()
        x = read_features(self, "X", X, reset=True, finite=False, least=2)
        y = read_labels("y", y, x.shape[0], numeric=not _classifies(self))
        if y.ndim == 2 and y.shape[1] == 1 and _classifies(self):
            y = column_or_1d(y, warn=True)
        weights, groups = read_weights(sample_weight, x.shape[0]), read_groups(groups, x.shape[0])
        if weights is not None and not np.all(weights > 0):
            used = weights > 0
            x, y, weights = x[used], y[used], weights[used]
            groups = None if groups is None else np.unique(groups[used], return_inverse=True)[1]
        targets = read_targets(y, classifies=_classifies(self), class_weight=self.class_weight)
        n = x.shape[0]
        work = plan(n, x.shape[1], targets.targets.shape[1], self.memory_budget)
        folds = draw_folds(n, work.num_folds, groups)
        with named("X", "gram", "kernel", "features"), np.errstate(over="ignore", invalid="ignore"):
            decomposition = (Primal if work.primal else Dual)(x, targets.targets, folds, work, weights)
        path, ridge = choose_ridge(decomposition.spectrum, ridges)
        if self.criterion == "loo":
            loo_risks = decomposition.loo_risks(path.ridge)
            path, ridge = path._replace(loo=loo_risks), float(path.ridge[np.argmin(loo_risks)])
        predictor, loo = decomposition.predictor(ridge), decomposition.leave_one_out(ridge)
        self.path_, self.ridge_ = path, ridge
        self.coef_, self.intercept_ = predictor.coefficients.T, predictor.intercept + targets.offset
        self.num_samples_, self._targets, self._weights = n, targets, weights
        if _classifies(self):
            self.classes_ = targets.classes
        left_out = loo.predictions if groups is None else decomposition.leave_group_out(ridge, groups)
        targets.calibrate(left_out)
        every = np.arange(n)
        residual = targets.targets - left_out
        self._loo_loss = np.sum(residual**2, axis=1)
        check(
            bool(np.isfinite(self._loo_loss).all()),
            "ridges",
            f"{ridge:.3g}, at which the fit interpolates its rows",
            "a larger ridge",
        )
        risk_number = effective_number(self._loo_loss, weights, groups)
        self.risk_ = mean_estimate(self._loo_loss, weights, risk_number, self.level)
        losses = targets.losses(every, left_out)
        self._loo_error = losses
        number = effective_number(losses, weights, groups)
        if _classifies(self):
            self._report_errors(losses, left_out, number)
        smooth = 0.5 if _classifies(self) else 0.0
        share = float(np.average(losses, weights=weights))
        anchor = PartFit(
            float(n),
            (share * number + smooth) / (number + 2 * smooth),
            error_of_share(share, number) if _classifies(self) else self.risk_.standard_error,
        )
        parts = None
        num_groups = None if groups is None else int(groups.max()) + 1
        if weights is None and (num_groups is None or num_groups >= _LEAST_GROUPS):
            with named("X", "gram", "kernel", "features"):
                parts = fit_parts(
                    decomposition, n, lambda spectrum: choose_ridge(spectrum, ridges), targets.losses, smooth=smooth
                )
        self._curve, expected = None, float("nan")
        if parts is not None:
            loss_error = self.risk_.standard_error / self.risk_.value
            expected = backtest(targets.link(), parts, anchor, loss_error)
            fits = list(parts.fits.values())
            self._curve = fit_curve(targets.link(), risk_curve(path), parts.curves, loss_error, anchor, fits)
        self._why_none = why_none(n, weighted=weights is not None, num_groups=num_groups, least_groups=_LEAST_GROUPS)
        alone = float(np.average(np.sum((targets.targets - loo.predictions) ** 2, axis=1), weights=weights))
        self.law_ = measure_law(
            path=path,
            parts=parts,
            curve=self._curve,
            anchor=anchor,
            expected=expected,
            risk=alone,
            ridge=ridge,
            leverage=loo.leverage,
            order=row_order(residual, targets.codes if isinstance(targets, Classes) else None, targets.targets, groups),
            duplicates=count_duplicates(x, work.block_rows),
            classifier=_classifies(self),
            grouped=groups is not None,
        )
        self.warnings_ = self._find_warnings(
            decomposition.spectrum.rank, x, work.block_rows, targets.losses(every, loo.predictions), groups
        )
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Predict labels (classification) or targets."""
        scores = self._scores(X)
        return self._targets.predict(scores)

    @available_if(_classifies)
    def decision_function(self, X: Any) -> np.ndarray:
        """Logits of the calibrated probabilities, [n, C]; for two classes the second's minus the first's, [n]."""
        logits = self._fitted_targets().logits(self._scores(X))
        two = isinstance(self._targets, Classes) and logits.shape[1] == 2
        return logits[:, 1] - logits[:, 0] if two else logits

    @available_if(_classifies)
    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities [n, C], calibrated on leave-one-out scores; the largest is the predicted class's.

        For several labels per row the probability of each.
        """
        return self._fitted_targets().probabilities(self._scores(X))

    def score(self, X: Any, y: Any) -> float:
        """Accuracy (classification) or R^2 on these data."""
        mixin: Any = ClassifierMixin if _classifies(self) else RegressorMixin
        return float(mixin.score(self, X, y))

    def learning_curve(self, num_samples: Any) -> Forecast:
        r"""Forecast the error on new data of a probe fitted to ``num_samples`` examples of the same kind.

        .. math:: R(n') = \min_\kappa \frac{B(\kappa) + \sigma^2}{1 - \mathrm{df}_2(\kappa) / n'}

        is the squared risk at the best ridge, over the effective ridges that this sample shows reliably (``df2 <= n /
        2``). A line in coordinates in which errors and risks fall alike, fitted to the leave-one-out error and to the
        errors of fits to eighths, quarters and halves of the rows, carries it to the error. At the present number of
        examples the forecast is a fit through all of these, not ``error_`` itself.

        Parameters
        ----------
        num_samples
            Numbers of training examples, at least 2, below or above those of the fit.

        Returns
        -------
        Forecast
            The band holds the error's own uncertainty, that of the line, the disagreement of parts of the data about
            the risk, and the theory's own error. It is wide where the examples are fewer than the features. A fit with
            ``sample_weight``, to fewer than 64 examples or to fewer than 16 groups allows none: ``status`` is NONE, the
            numbers are NaN, ``message`` says why, and ``raise_if_failed()`` raises.

        Raises
        ------
        ValueError
            For numbers below 2.
        """
        check_is_fitted(self)
        sizes = to_host("num_samples", num_samples, within="[2, inf)")
        if self._curve is None:
            return no_forecast(sizes, self._why_none)
        return forecast(self._curve, sizes, level=self.level, at_most=1.0 if _classifies(self) else np.inf)

    def samples_needed(self, target: float) -> SamplesNeeded:
        """How many examples would bring the error down to ``target``, or that these features cannot.

        Parameters
        ----------
        target
            0-1 error between 0 and 1; for a regression a positive mean squared error.

        Returns
        -------
        SamplesNeeded
            ``.num_samples`` with ``.lower`` and ``.upper``, ``.asymptote`` and ``.message``. Where `learning_curve` has
            no forecast, ``status`` is NONE, these are NaN, and ``message`` says why.
        """
        check_is_fitted(self)
        real = isinstance(target, int | float | np.number) and not isinstance(target, bool)
        high = 1.0 if _classifies(self) else np.inf
        check(real and 0 < float(target) < high, "target", repr(target), f"a number between 0 and {high:g}")
        if self._curve is None:
            return none_needed(float(target), self.num_samples_, self._why_none)
        return samples_needed(self._curve, float(target), level=self.level)

    def independence_check(self, fresh_x: Any, fresh_y: Any) -> IndependenceCheck:
        """Test with fresh examples whether the features were trained on the labels of the fit.

        Left-out and fresh examples are equally hard for features that have not seen either. Fine-tuning, feature
        selection or supervised dimension reduction on the labels of the fit makes the left-out ones easier.

        Parameters
        ----------
        fresh_x : [m, p]
            Features of examples whose labels nothing has seen, drawn as those of the fit were.
        fresh_y : [m] or [m, C]
            Their labels.

        Returns
        -------
        IndependenceCheck
            ``.p_value`` of a one-sided test on mean squared losses. A shift between the two samples has the same
            effect as leakage.
        """
        check_is_fitted(self)
        x = read_features(self, "fresh_x", fresh_x, reset=False, least=2)
        y = read_labels("fresh_y", fresh_y, x.shape[0], numeric=not _classifies(self))
        scores, targets = self._scores_of(x), self._targets
        if isinstance(targets, Real):
            truth, wrong, loo_wrong = np.reshape(y, (len(y), -1)), float("nan"), float("nan")
            check(
                truth.shape[1] == scores.shape[1],
                "fresh_y",
                f"{truth.shape[1]} targets",
                f"{scores.shape[1]}, as the fit had",
            )
        else:
            codes = targets.encode(y, "fresh_y")
            truth = np.eye(len(targets.classes))[codes] if isinstance(targets, Classes) else codes.astype(np.float64)
            if isinstance(targets, Classes):
                wrong = float(np.mean(targets.decide(scores) != codes))
            else:
                wrong = float(np.mean((scores > 0.5) != codes))
            loo_wrong = float(self._loo_error.mean())
        return check_independence(self._loo_loss, np.sum((truth - scores) ** 2, axis=1), loo_wrong, wrong)

    def compare(self, other: "RidgeProbe") -> Comparison:
        """Compare with a probe of another representation of the same examples, in the same order.

        Returns
        -------
        Comparison
            Paired difference of leave-one-out errors with its standard error; both forecasts on a grid of sample sizes
            and where they cross.

        Raises
        ------
        ValueError
            For probes of different tasks or of different examples.
        """
        check_is_fitted(self)
        check(isinstance(other, RidgeProbe), "other", type(other).__name__, "a RidgeProbe")
        check_is_fitted(other)
        check(other.task == self.task, "other", f"a probe for {other.task}", f"a probe for {self.task}")
        mine, theirs = self._labels(), other._labels()
        check(
            mine.shape == theirs.shape and bool(np.all(mine == theirs)),
            "other",
            "a probe that was fitted to other labels, or to the same in another order",
            "both probes fitted to the same examples in the same order",
        )
        return compare(self._loo_error, other._loo_error, self._curve, other._curve, level=self.level)

    def _check_options(self) -> np.ndarray | None:
        check_option("task", self.task, ("classification", "regression"))
        check_option("criterion", self.criterion, ("gcv", "loo"))
        check(
            isinstance(self.level, float) and 0 < self.level < 1, "level", repr(self.level), "a number between 0 and 1"
        )
        check(
            self.class_weight is None or _classifies(self),
            "class_weight",
            repr(self.class_weight),
            "None for regression",
        )
        if self.ridges is None:
            return None
        return np.atleast_1d(to_host("ridges", self.ridges, shape=[(), ("L",)], within="[0, inf)"))

    def _report_errors(self, wrong: np.ndarray, scores: np.ndarray, number: float) -> None:
        targets: Any = self._targets
        w = np.ones(len(wrong)) if self._weights is None else self._weights
        self.error_ = share_estimate(wrong, self._weights, number, self.level)
        per = errors_by_class(targets, wrong, scores, w)
        # Groups make every class's error as much less certain as they make the whole one.
        share = number / (w.sum() ** 2 / np.sum(w**2))
        size = np.maximum(per.number * share, 1.0)
        ends = [wilson(float(rate), float(n), self.level) for rate, n in zip(per.error, size, strict=True)]
        low, high = np.array(ends).T
        self.per_class_ = PerClass(targets.classes, per.num, per.error, low, high)
        # The variance of a class's rate from its smoothed rate, so that a class without errors is not taken as certain.
        smoothed = (per.error * size + 1) / (size + 2)
        error = float(np.sqrt(np.sum(smoothed * (1 - smoothed) / size)) / len(size))
        self.balanced_error_ = interval(float(per.error.mean()), error, self.level, 1.0)
        # A row that is left out pulls the mean away from its own label, and so its score, whatever the features.
        ranked = scores + (targets.targets - targets.targets.mean(0)) / (len(scores) - 1)
        positive = targets.targets > 0.5
        if isinstance(targets, Classes) and len(targets.classes) == 2:
            ranked, positive = ranked[:, 1:] - ranked[:, :1], positive[:, 1:]
        area = area_estimate(ranked, positive, self.level)
        self.roc_auc_ = interval(area.value, area.standard_error / np.sqrt(min(share, 1.0)), self.level, 1.0)

    def _find_warnings(
        self, rank: int, x: Any, block_rows: int, alone: np.ndarray, groups: np.ndarray | None
    ) -> tuple[str, ...]:
        found = []
        if rank < min(x.shape[1], self.num_samples_ - 1):
            columns = name_columns(x, block_rows, getattr(self, "feature_names_in_", None))
            found.append(f"the features have rank {rank} of {x.shape[1]}: {columns}")
        if isinstance(self._targets, Classes):
            single = self.per_class_.classes[self.per_class_.num_examples == 1]
            if len(single):
                found.append(
                    f"{len(single)} of {len(self.classes_)} classes have a single example ({single[0]!s}): nothing can "
                    "be said about their errors, since the fit without that example does not know the class"
                )
        if self.ridge_ in (self.path_.ridge.min(), self.path_.ridge.max()) and len(self.path_.ridge) > 1:
            end = "smallest" if self.ridge_ == self.path_.ridge.min() else "largest"
            found.append(f"the {end} ridge of the grid was chosen: a wider grid may be better")
        if self.law_.label_order_score > SORTED_SCORE:
            found.append("the rows are sorted by label: shuffle before any split by position")
        if groups is not None:
            gap = float(np.mean(self._loo_error - alone))
            sums = np.bincount(groups, weights=self._loo_error - alone)
            if abs(gap) > _DEPENDENCE * float(np.sqrt(np.sum(sums**2))) / self.num_samples_:
                unit = f"{100 * gap:+.1f} points" if _classifies(self) else f"{gap:+.3g}"
                found.append(
                    f"rows of a group resemble each other: the error without the row's group is {unit} against that "
                    "without the row alone"
                )
        return tuple(found)

    def _fitted_targets(self) -> Any:
        check_is_fitted(self)
        return self._targets

    def _labels(self) -> np.ndarray:
        targets = self._targets
        return targets.classes[targets.codes] if isinstance(targets, Classes) else targets.targets

    def _scores(self, features: Any) -> np.ndarray:
        check_is_fitted(self)
        return self._scores_of(read_features(self, "X", features, reset=False))

    def _scores_of(self, x: Any) -> np.ndarray:
        scores = np.empty((x.shape[0], len(self.coef_)))
        for part, block in row_blocks(x, max(1, 2**22 // x.shape[1])):
            scores[part] = block @ self.coef_.T + self.intercept_
        return scores

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.input_tags.sparse = True
        if _classifies(self):
            tags.estimator_type, tags.classifier_tags = "classifier", ClassifierTags(multi_label=True)
        else:
            tags.estimator_type, tags.regressor_tags = "regressor", RegressorTags()
            tags.target_tags.multi_output = True
        return tags
