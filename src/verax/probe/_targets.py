"""Kinds of labels, the targets that a probe regresses on, and how its scores become predictions and losses."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import type_of_target

from verax._errors import check

from ._calibration import fit_scale, probabilities
from ._link import REGRESSION, SEVERAL_CLASSES, TWO_CLASSES, Link


class Real:
    """One or several real targets; squared errors, summed over targets."""

    classifies = False
    classes = np.empty(0)

    def __init__(self, y: np.ndarray) -> None:
        targets = np.asarray(y, np.float64).reshape(len(y), -1)
        check(bool(np.any(targets != targets[0])), "y", "targets that are all equal", "targets that vary")
        self.offset = targets.mean(0)
        self.targets = targets - self.offset
        self.single = y.ndim == 1

    def calibrate(self, scores: np.ndarray) -> None:
        """Nothing to calibrate."""

    def losses(self, rows: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """Squared errors of scores for these rows."""
        return np.sum((self.targets[rows] - scores) ** 2, axis=1)

    def predict(self, scores: np.ndarray) -> np.ndarray:
        """Targets from scores that have the offset back."""
        return scores[:, 0] if self.single else scores

    def link(self) -> Link:
        """Coordinates in which errors and risks fall alike."""
        return Link(REGRESSION, float(self.targets.var(0).sum()), np.empty(0), float(len(self.targets)))


class Classes:
    """One class per row, as labels or as one-hot rows; 0-1 errors."""

    classifies = True

    def __init__(self, y: np.ndarray, class_weight: Mapping | str | None) -> None:
        self.one_hot = y.ndim == 2
        labels = np.argmax(y, axis=1) if self.one_hot else y
        self.classes, self.codes = np.unique(labels, return_inverse=True)
        if self.one_hot:
            self.width = y.shape[1]
        count = len(self.classes)
        check(count > 1, "y", f"one class, {self.classes[0]!r}", "examples of at least two classes")
        check(
            count < len(y) or labels.dtype.kind == "f",
            "y",
            f"{count} classes for {len(y)} examples, a class for each",
            "fewer classes than examples (task='regression' for numbers)",
        )
        kind = type_of_target(labels)
        check(
            kind in ("binary", "multiclass"),
            "y",
            f"Unknown label type: {kind}",
            "labels (task='regression' for numbers)",
        )
        weights = compute_class_weight(class_weight, classes=self.classes, y=labels)
        check(bool(np.all(weights > 0)), "class_weight", repr(class_weight), "positive weights")
        self._log_weights, self._weighted = np.log(weights), class_weight is not None
        self._scale = 1.0
        self.offset, self.targets = np.zeros(count), np.eye(count)[self.codes]

    def calibrate(self, scores: np.ndarray) -> None:
        """Fit the scale of the probabilities to leave-one-out scores."""
        self._scale = fit_scale(scores, self.codes)

    def logits(self, scores: np.ndarray) -> np.ndarray:
        """Logits of the calibrated probabilities [n, C]."""
        return self._scale * scores + self._log_weights

    def probabilities(self, scores: np.ndarray) -> np.ndarray:
        """Calibrated probabilities [n, C]."""
        return probabilities(self.logits(scores))

    def decide(self, scores: np.ndarray) -> np.ndarray:
        """Class of each row as an index."""
        return np.argmax(self.logits(scores), axis=1)

    def losses(self, rows: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """0-1 losses of scores for these rows."""
        return (self.decide(scores) != self.codes[rows]).astype(np.float64)

    def predict(self, scores: np.ndarray) -> np.ndarray:
        """Labels as they came."""
        labels = self.classes[self.decide(scores)]
        return np.eye(self.width, dtype=int)[labels] if self.one_hot else labels

    def encode(self, y: np.ndarray, argument: str) -> np.ndarray:
        """Codes of other labels."""
        labels = np.argmax(y, axis=1) if np.ndim(y) == 2 else y
        unknown = np.setdiff1d(labels, self.classes)
        check(len(unknown) == 0, argument, f"unknown labels {unknown[:5].tolist()}", "labels that the fit has seen")
        return np.searchsorted(self.classes, labels)

    def link(self) -> Link:
        """Coordinates in which errors and risks fall alike."""
        null_risk, n = float(self.targets.var(0).sum()), float(len(self.targets))
        if len(self.classes) == 2 and not self._weighted:
            return Link(TWO_CLASSES, null_risk, self.targets.mean(0), n)
        return Link(SEVERAL_CLASSES, null_risk, np.empty(0), n)


class ManyLabels:
    """Several labels per row, [n, C] of zeros and ones; the share of wrong labels."""

    classifies = True
    one_hot = False

    def __init__(self, y: np.ndarray, class_weight: Mapping | str | None) -> None:
        check(class_weight is None, "class_weight", repr(class_weight), "None for several labels per row")
        self.codes = np.asarray(y).astype(bool)
        self.classes = np.arange(y.shape[1])
        constant = np.flatnonzero(self.codes.all(0) | ~self.codes.any(0))
        check(len(constant) < y.shape[1], "y", "labels that are all equal", "a label that varies")
        self._scale = 1.0
        self.offset, self.targets = np.zeros(y.shape[1]), self.codes.astype(np.float64)

    def calibrate(self, scores: np.ndarray) -> None:
        """Fit the scale of the probabilities, one for all labels, by log-loss."""
        signed = (scores - 0.5) * np.where(self.codes, 1, -1)

        def log_loss(log_scale: float) -> float:
            return float(np.mean(np.logaddexp(0, -np.exp(log_scale) * signed)))

        found: Any = minimize_scalar(log_loss, bounds=(np.log(1e-3), np.log(1e4)), method="bounded")
        self._scale = float(np.exp(found.x))

    def logits(self, scores: np.ndarray) -> np.ndarray:
        """Logits of each label [n, C]."""
        return self._scale * (scores - 0.5)

    def probabilities(self, scores: np.ndarray) -> np.ndarray:
        """Probability of each label [n, C]."""
        return expit(self.logits(scores))

    def losses(self, rows: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """Share of wrong labels per row."""
        return np.mean((scores > 0.5) != self.codes[rows], axis=1)

    def predict(self, scores: np.ndarray) -> np.ndarray:
        """Zeros and ones [n, C]."""
        return (scores > 0.5).astype(int)

    def encode(self, y: np.ndarray, argument: str) -> np.ndarray:
        """Labels [m, C] as booleans."""
        fits = np.ndim(y) == 2 and y.shape[1] == self.codes.shape[1] and bool(np.isin(y, (0, 1)).all())
        check(fits, argument, f"shape {np.shape(y)}", f"zeros and ones of shape [m, {self.codes.shape[1]}]")
        return np.asarray(y).astype(bool)

    def link(self) -> Link:
        """Coordinates in which errors and risks fall alike."""
        return Link(SEVERAL_CLASSES, float(self.targets.var(0).sum()), np.empty(0), float(len(self.targets)))


Targets = Real | Classes | ManyLabels


def read_targets(y: Any, *, classifies: bool, class_weight: Mapping | str | None) -> Targets:
    """Tell one-hot rows from several labels per row, and labels from numbers."""
    y = np.asarray(y)
    if not classifies:
        return Real(y)
    if y.ndim == 1 or y.shape[1] == 1:
        return Classes(y.reshape(-1) if y.ndim == 2 else y, class_weight)
    binary = bool(np.isin(y, (0, 1)).all())
    check(binary, "y", f"{type_of_target(y)} targets", "one label per row, or zeros and ones (several labels per row)")
    return Classes(y, class_weight) if bool(np.all(y.sum(1) == 1)) else ManyLabels(y, class_weight)


class Report(NamedTuple):
    """Errors by class; arrays [C]."""

    num: np.ndarray
    error: np.ndarray
    number: np.ndarray
    """Rows behind each error."""


def errors_by_class(targets: Classes | ManyLabels, wrong: np.ndarray, scores: np.ndarray, w: np.ndarray) -> Report:
    """Examples of each class (or of each label), weighted errors among them, and how many rows stand behind each."""
    if isinstance(targets, ManyLabels):
        misses = (w[:, None] * ((scores > 0.5) != targets.codes)).sum(0)
        total = np.full(len(misses), w.sum())
        return Report(targets.codes.sum(0), misses / total, np.full(len(misses), float(len(w))))
    count = np.bincount(targets.codes)
    total = np.bincount(targets.codes, weights=w)
    squares = np.bincount(targets.codes, weights=w**2)
    return Report(count, np.bincount(targets.codes, weights=w * wrong) / total, total**2 / squares)
