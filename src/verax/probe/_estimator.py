"""The probe as a scikit-learn estimator."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import ClassifierTags, RegressorTags, Tags
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from verax._errors import check, check_option, fail

from ._blocks import draw_folds, plan, row_blocks
from ._calibration import fit_scale, probabilities
from ._compare import compare
from ._dual import Dual
from ._duplicates import count_duplicates
from ._forecast import PartFit, fit_curve, forecast
from ._independence import check_independence
from ._intervals import error_of_share, interval, mean_estimate, wilson
from ._law import SORTED_SCORE, row_order
from ._link import REGRESSION, SEVERAL_CLASSES, TWO_CLASSES, Link
from ._measure import backtest, choose_ridge, fit_parts, measure_law
from ._needed import samples_needed
from ._primal import Primal
from ._results import Comparison, Estimate, Forecast, IndependenceCheck, PerClass, SamplesNeeded
from ._tuned_risk import risk_curve


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
        Positive, 1/n-normalised (scikit-learn's ``alpha`` is ``n * ridge``). Default: 100 ridges from the bottom of the
        spectrum to ten times its top.
    criterion
        What chooses the ridge: "gcv", or "loo" (mean squared leave-one-out error; one more pass over the features).
    class_weight
        None, "balanced" or a dict, as in scikit-learn. Weights multiply the calibrated probabilities before the largest
        is taken: they move the decision and leave the fit, and so the theory, as it is.
    level
        Of all intervals and bands.
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
    law_ : ProbeLaw
        Whether forecasts may be believed, and every statistic behind the verdict.
    warnings_ : tuple of str
        What else a user should know: rank, classes with one example, order of the rows, a ridge at the end of its grid.
    ridge_, path_ : float, RiskPath
        The chosen ridge, and GCV at all of them.
    coef_, intercept_ : [C, p], [C]
        Of the one-hot scores, or of the targets.
    classes_, num_samples_, n_features_in_

    Raises
    ------
    ValueError
        From ``fit``: for NaN or infinite features, one class, as many classes as examples, constant features, sample
        weights, a memory budget that cannot hold the decomposition.

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

    def fit(self, X: Any, y: Any, **refused: Any) -> "RidgeProbe":
        """Fit, and measure everything that the attributes and methods report.

        Parameters
        ----------
        X : [n, p]
            Features of any real dtype, in memory or memory-mapped; float64 copies are made of blocks only.
        y : [n] or [n, C]
            Labels (numbers or strings), or real targets.
        **refused
            ``sample_weight`` is refused with the reason.
        """
        ridges = self._check_options(refused)
        classifier = _classifies(self)
        validated: Any = validate_data(
            self,
            X,
            y,
            ensure_all_finite=False,
            ensure_min_samples=2,
            multi_output=not classifier,
            y_numeric=not classifier,
        )
        x, y = validated
        codes, targets, offset = self._encode(y)
        n = len(x)
        work = plan(n, x.shape[1], targets.shape[1], self.memory_budget)
        folds = draw_folds(n, work.num_folds)
        decomposition = (Primal if work.primal else Dual)(x, targets, folds, work)
        path, ridge = choose_ridge(decomposition.spectrum, ridges)
        if self.criterion == "loo":
            loo_risks = decomposition.loo_risks(path.ridge)
            path, ridge = path._replace(loo=loo_risks), float(path.ridge[np.argmin(loo_risks)])
        predictor, loo = decomposition.predictor(ridge), decomposition.leave_one_out(ridge)
        self.path_, self.ridge_ = path, ridge
        self.coef_, self.intercept_ = predictor.coefficients.T, predictor.intercept + offset
        residual = targets - loo.predictions
        self._loo_loss = np.sum(residual**2, axis=1)
        self.risk_ = mean_estimate(self._loo_loss, self.level)
        if classifier:
            self._scale = fit_scale(loo.predictions, codes)
            self._loo_wrong = self._decide(loo.predictions) != codes
            self._report_errors(codes)
            anchor_losses = self._loo_wrong

            def losses(rows: np.ndarray, predictions: np.ndarray) -> np.ndarray:
                return self._decide(predictions) != codes[rows]
        else:
            anchor_losses = self._loo_loss

            def losses(rows: np.ndarray, predictions: np.ndarray) -> np.ndarray:
                return np.sum((targets[rows] - predictions) ** 2, axis=1)

        smooth = 0.5 if classifier else 0.0
        value = float((anchor_losses.sum() + smooth) / (n + 2 * smooth))
        if classifier:
            standard_error = error_of_share(int(anchor_losses.sum()), n)
        else:
            standard_error = float(anchor_losses.std(ddof=1) / np.sqrt(n))
        anchor = PartFit(float(n), value, standard_error)
        parts = fit_parts(decomposition, n, lambda spectrum: choose_ridge(spectrum, ridges), losses, smooth=smooth)
        self._curve, expected = None, float("nan")
        if parts is not None:
            link = self._link(targets)
            loss_error = self.risk_.standard_error / self.risk_.value
            expected = backtest(link, parts, anchor, loss_error)
            fits = [parts.fits[divisor] for divisor in parts.fits]
            self._curve = fit_curve(link, risk_curve(path), parts.curves, loss_error, anchor, fits)
        self.law_ = measure_law(
            path=path,
            parts=parts,
            curve=self._curve,
            anchor=anchor,
            expected=expected,
            risk=self.risk_.value,
            ridge=ridge,
            leverage=loo.leverage,
            order=row_order(residual, codes if classifier else None, targets),
            duplicates=count_duplicates(x, work.block_rows),
            classifier=classifier,
        )
        self.num_samples_ = n
        self._y = codes if classifier else y
        self.warnings_ = self._find_warnings(decomposition.spectrum.rank, x.shape[1])
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Predict labels (classification) or targets."""
        scores = self._scores(X)
        if _classifies(self):
            return self.classes_[self._decide(scores)]
        return scores[:, 0] if self._y.ndim == 1 else scores

    @available_if(_classifies)
    def decision_function(self, X: Any) -> np.ndarray:
        """Logits of the calibrated probabilities, [n, C]; for two classes the second's minus the first's, [n]."""
        logits = self._logits(self._scores(X))
        return logits[:, 1] - logits[:, 0] if logits.shape[1] == 2 else logits

    @available_if(_classifies)
    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities [n, C], calibrated on leave-one-out scores; the largest is the predicted class's."""
        return probabilities(self._logits(self._scores(X)))

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
            the risk, and the theory's own error. It is wide where the examples are fewer than the features.

        Raises
        ------
        ValueError
            For numbers below 2, and for a probe fitted to fewer than 64 examples.
        """
        check_is_fitted(self)
        sizes = np.asarray(num_samples)
        check(
            sizes.size > 0 and sizes.dtype.kind in "iuf" and bool(np.all(np.isfinite(sizes) & (sizes >= 2))),
            "num_samples",
            repr(num_samples),
            "finite numbers >= 2",
        )
        return forecast(self._need_curve(), sizes, level=self.level, at_most=1.0 if _classifies(self) else np.inf)

    def samples_needed(self, target: float) -> SamplesNeeded:
        """How many examples would bring the error down to ``target``, or that these features cannot.

        Parameters
        ----------
        target
            0-1 error between 0 and 1; for a regression a positive mean squared error.

        Returns
        -------
        SamplesNeeded
            ``.num_samples`` with ``.lower`` and ``.upper``, ``.asymptote`` and ``.message``.
        """
        check_is_fitted(self)
        real = isinstance(target, int | float | np.number) and not isinstance(target, bool)
        high = 1.0 if _classifies(self) else np.inf
        check(real and 0 < float(target) < high, "target", repr(target), f"a number between 0 and {high:g}")
        return samples_needed(self._need_curve(), float(target), level=self.level)

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
        validated: Any = validate_data(
            self, fresh_x, fresh_y, reset=False, ensure_min_samples=2, multi_output=not _classifies(self)
        )
        x, y = validated
        scores = self._scores(x)
        if _classifies(self):
            unknown = np.setdiff1d(y, self.classes_)
            check(
                len(unknown) == 0, "fresh_y", f"unknown labels {unknown[:5].tolist()}", "labels that the fit has seen"
            )
            codes = np.searchsorted(self.classes_, y)
            targets = np.eye(len(self.classes_))[codes]
            wrong = float(np.mean(self._decide(scores) != codes))
            loo_wrong = float(self._loo_wrong.mean())
        else:
            targets, wrong, loo_wrong = np.reshape(y, (len(x), -1)), float("nan"), float("nan")
            check(
                targets.shape[1] == scores.shape[1],
                "fresh_y",
                f"{targets.shape[1]} targets",
                f"{scores.shape[1]}, as the fit had",
            )
        return check_independence(self._loo_loss, np.sum((targets - scores) ** 2, axis=1), loo_wrong, wrong)

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
        own, others = (probe._loo_wrong if _classifies(self) else probe._loo_loss for probe in (self, other))
        return compare(own, others, self._curve, other._curve, level=self.level)

    def _check_options(self, refused: Mapping[str, Any]) -> np.ndarray | None:
        for name, value in refused.items():
            if name != "sample_weight":
                raise TypeError(f"fit() got an unexpected keyword argument {name!r}")
            if value is not None:
                fail(
                    "sample_weight",
                    "weights",
                    "None: generalized cross-validation and the forecasts assume equally weighted draws from one "
                    "population (class_weight is supported: it moves the decision, not the fit)",
                )
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
        ridges = np.atleast_1d(np.asarray(self.ridges))
        check(
            ridges.ndim == 1
            and ridges.size > 0
            and ridges.dtype.kind in "fiu"
            and bool(np.all(np.isfinite(ridges) & (ridges > 0))),
            "ridges",
            repr(self.ridges),
            "positive finite numbers, or None",
        )
        return ridges.astype(np.float64)

    def _encode(self, y: np.ndarray) -> tuple[Any, np.ndarray, np.ndarray]:
        """Codes (None for regression), centred or one-hot targets, and what was subtracted from them."""
        if not _classifies(self):
            targets = np.asarray(y, np.float64).reshape(len(y), -1)
            offset = targets.mean(0)
            check(bool(np.any(targets != targets[0])), "y", "targets that are all equal", "targets that vary")
            return None, targets - offset, offset
        classes, codes = np.unique(y, return_inverse=True)
        num_classes = len(classes)
        check(num_classes > 1, "y", f"one class, {classes[0]!r}", "examples of at least two classes")
        check(
            num_classes < len(y) or y.dtype.kind == "f",
            "y",
            f"{num_classes} classes for {len(y)} examples, a class for each",
            "fewer classes than examples (task='regression' for numbers)",
        )
        check_classification_targets(y)
        self.classes_ = classes
        weights = compute_class_weight(self.class_weight, classes=self.classes_, y=y)
        check(bool(np.all(weights > 0)), "class_weight", repr(self.class_weight), "positive weights")
        self._log_weights = np.log(weights)
        return codes, np.eye(num_classes)[codes], np.zeros(num_classes)

    def _report_errors(self, codes: np.ndarray) -> None:
        wrong = self._loo_wrong
        count = np.bincount(codes)
        misses = np.bincount(codes, weights=wrong).astype(int)
        ends = [wilson(int(k), int(m), self.level) for k, m in zip(misses, count, strict=True)]
        rate = misses / count
        self.per_class_ = PerClass(
            self.classes_, count, rate, np.array([low for low, _ in ends]), np.array([high for _, high in ends])
        )
        n, total = len(codes), int(wrong.sum())
        low, high = wilson(total, n, self.level)
        self.error_ = Estimate(total / n, float(np.sqrt(total / n * (1 - total / n) / n)), low, high)
        # The variance of a class's rate from its smoothed rate, so that a class without errors is not taken as certain.
        smoothed = (misses + 1) / (count + 2)
        error = float(np.sqrt(np.sum(smoothed * (1 - smoothed) / count)) / len(count))
        self.balanced_error_ = interval(float(rate.mean()), error, self.level, 1.0)

    def _find_warnings(self, rank: int, num_features: int) -> tuple[str, ...]:
        found = []
        if rank < min(num_features, self.num_samples_ - 1):
            found.append(
                f"the features have rank {rank} of {num_features}: some columns are constant or combinations of others"
            )
        if _classifies(self):
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
        return tuple(found)

    def _link(self, targets: np.ndarray) -> Link:
        """Coordinates in which errors and risks fall alike."""
        null_risk, none = float(targets.var(0).sum()), np.empty(0)
        if not _classifies(self):
            return Link(REGRESSION, null_risk, none, float(len(targets)))
        if targets.shape[1] == 2 and self.class_weight is None:
            return Link(TWO_CLASSES, null_risk, targets.mean(0), float(len(targets)))
        return Link(SEVERAL_CLASSES, null_risk, none, float(len(targets)))

    def _need_curve(self) -> Any:
        if self._curve is None:
            fail("X", f"{self.num_samples_} examples in the fit", "at least 64 that vary, for a forecast")
        return self._curve

    def _labels(self) -> np.ndarray:
        return self.classes_[self._y] if _classifies(self) else self._y

    def _scores(self, features: Any) -> np.ndarray:
        check_is_fitted(self)
        x: Any = validate_data(self, features, reset=False)
        scores = np.empty((len(x), len(self.coef_)))
        for part, block in row_blocks(x, max(1, 2**22 // x.shape[1])):
            scores[part] = block @ self.coef_.T + self.intercept_
        return scores

    def _logits(self, scores: np.ndarray) -> np.ndarray:
        return self._scale * scores + self._log_weights

    def _decide(self, scores: np.ndarray) -> np.ndarray:
        return np.argmax(self._logits(scores), axis=1)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        if _classifies(self):
            tags.estimator_type, tags.classifier_tags = "classifier", ClassifierTags()
        else:
            tags.estimator_type, tags.regressor_tags = "regressor", RegressorTags()
            tags.target_tags.multi_output = True
        return tags
