"""The whole confusion matrix of a shifted set without its labels, and every metric that follows from it."""

from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from verax._arrays import to_host, to_integer
from verax._errors import check, check_option
from verax._results import result

from ._checks import check_concrete, check_inputs, check_key, check_level

_METHODS = ("calibrated", "label_shift")
# Of the fixed-point iteration for the shares of the labels.
_STEPS, _TOLERANCE = 10_000, 1e-10


@result()
class MetricEstimate(NamedTuple):
    """An estimate with bootstrap limits, numbers or arrays over classes."""

    value: Any
    lower: Any
    upper: Any


@result()
class Confusion(NamedTuple):
    """Estimated confusion matrix of a set, as shares that sum to 1, with its bootstrap.

    Metrics are NaN for classes that no example is estimated to have.
    """

    matrix: Float[np.ndarray, "K K"]
    """Share of the examples with true class i (row) and predicted class j (column)."""
    samples: Float[np.ndarray, "B K K"]
    """The same on bootstrap samples of holdout and target."""
    level: float
    """Of all limits."""

    def metric(self, function: Any) -> MetricEstimate:
        """Apply a function of the matrix, ``function(matrix [K, K])``, with limits from the bootstrap."""
        values = np.stack([np.asarray(function(one)) for one in self.samples])
        tail = (1 - self.level) / 2
        with np.errstate(invalid="ignore"):
            lower, upper = (
                np.nanquantile(values, (tail, 1 - tail), axis=0) if np.isfinite(values).any() else (np.nan,) * 2
            )
        value = np.asarray(function(self.matrix))
        return MetricEstimate(value, np.fmin(lower, value), np.fmax(upper, value))

    @property
    def accuracy(self) -> MetricEstimate:
        """Share of right predictions."""
        return self.metric(np.trace)

    @property
    def recall(self) -> MetricEstimate:
        """Share of right predictions among the examples of each class, [K]."""
        return self.metric(lambda m: _ratio(np.diag(m), m.sum(1)))

    @property
    def precision(self) -> MetricEstimate:
        """Share of right predictions among the predictions of each class, [K]."""
        return self.metric(lambda m: _ratio(np.diag(m), m.sum(0)))

    @property
    def f1(self) -> MetricEstimate:
        """Harmonic mean of precision and recall of each class, [K]."""
        return self.metric(lambda m: _ratio(2 * np.diag(m), m.sum(0) + m.sum(1)))

    def cost(self, costs: Any) -> MetricEstimate:
        """Mean cost of a prediction; ``costs [K, K]`` by true and predicted class."""
        table = to_host("costs", costs, shape=self.matrix.shape)
        return self.metric(lambda m: (m * table).sum())


def estimate_confusion(
    val_logits: Any,
    val_labels: Any,
    target_logits: Any,
    *,
    method: str = "calibrated",
    num_resamples: int = 100,
    level: float = 0.9,
    key: jax.Array,
) -> Confusion:
    r"""Confusion matrix of an unlabelled set: accuracy, recall, precision, F1 and costs without labels.

    With :math:`\hat y_j` the predicted class and :math:`q_j` an estimate of the probabilities of the true one,

    .. math:: M_{ck} = \frac1m \sum_{j:\, \hat y_j = k} q_{jc}

    Parameters
    ----------
    val_logits, val_labels, target_logits
        As for :func:`average_confidence`; scale by a temperature first (:func:`fit_temperature`).
    method
        :math:`q_j` is for "calibrated" the softmax, right where the model is calibrated on the target. For
        "label_shift" it is the softmax re-weighted by the ratio of label shares, :math:`q_c \propto p_c w_c`, with the
        target's shares found by maximum likelihood (EM): right where only the shares of the labels differ from the
        holdout's. The plan of :func:`cot` is no such estimate: it moves whole examples, mostly to the predicted class,
        and gives accuracies near 1.
    num_resamples
        Bootstrap samples of holdout and target; they show the sampling error, not that of the method's assumption.
    level
        Confidence level of the limits.
    key
        A ``jax.random.key`` for them.

    Returns
    -------
    Confusion

    Raises
    ------
    ValueError
        As :func:`average_confidence`, for unknown methods, and with "label_shift" for classes that the holdout lacks.

    Notes
    -----
    A host function; O(m K) per bootstrap sample and step of EM.

    Examples
    --------
    Three classes of which one becomes rare:

    >>> import jax, numpy as np
    >>> from verax.shift import estimate_confusion
    >>> rng = np.random.default_rng(0)
    >>> labels, target = rng.integers(0, 3, 4000), rng.choice(3, 4000, p=[0.6, 0.35, 0.05])
    >>> logits, shifted = (2 * np.eye(3)[y] + rng.normal(size=(4000, 3)) for y in (labels, target))
    >>> logits, shifted = 2 * logits, 2 * shifted  # the log-likelihood ratios of this model
    >>> found = estimate_confusion(logits, labels, shifted, method="label_shift", key=jax.random.key(0))
    >>> shares = found.matrix.sum(1)
    >>> bool(np.abs(shares - [0.6, 0.35, 0.05]).max() < 0.02)
    True
    >>> accuracy = np.mean(shifted.argmax(1) == target)
    >>> bool(found.accuracy.lower < accuracy < found.accuracy.upper)
    True

    References
    ----------
    M. Saerens, P. Latinne, C. Decaestecker, "Adjusting the outputs of a classifier to new a priori probabilities", 2002
    (the EM); J. Białek et al., 2024 (arXiv:2401.08348), for metrics from calibrated probabilities.
    """
    check_concrete(val_logits=val_logits, val_labels=val_labels, target_logits=target_logits)
    check_option("method", method, _METHODS)
    num_resamples = to_integer("num_resamples", num_resamples, minimum=2)
    check_level(level)
    key = check_key(key)
    val, labels, target = (np.asarray(part) for part in check_inputs(val_logits, val_labels, target_logits))
    num_classes = target.shape[1]
    if method != "calibrated":
        absent = np.flatnonzero(np.bincount(labels, minlength=num_classes) == 0)
        check(
            absent.size == 0, "val_labels", f"no example of classes {absent[:5].tolist()}", "each class in the holdout"
        )
    p = _softmax(target)

    def matrix(val_rows: np.ndarray, rows: np.ndarray) -> np.ndarray:
        shares = np.bincount(labels[val_rows], minlength=num_classes) / len(val_rows)
        q = p[rows]
        if method == "label_shift":
            q = _reweighted(p[rows], np.maximum(shares, 0.5 / len(val_rows)))
        columns = np.eye(num_classes)[target[rows].argmax(1)]
        return q.T @ columns / len(rows)

    draws = [
        np.asarray(jax.random.randint(one, (num_resamples, size), 0, size))
        for one, size in zip(jax.random.split(key), (len(val), len(target)), strict=True)
    ]
    samples = np.stack([matrix(*one) for one in zip(*draws, strict=True)])
    return Confusion(matrix(np.arange(len(val)), np.arange(len(target))), samples, float(level))


def _reweighted(p: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Rows ``p_c w_c`` with sum 1, w the ratio of the target's label shares to these, by EM."""
    current, change, steps = shares, np.inf, 0
    while change > _TOLERANCE and steps < _STEPS:
        q = p * (current / shares)
        q /= q.sum(1, keepdims=True)
        change, current, steps = float(np.abs(q.mean(0) - current).max()), q.mean(0), steps + 1
    need = "logits that tell the classes apart"
    check(change <= 1e3 * _TOLERANCE, "target_logits", f"label shares that do not settle in {steps} steps", need)
    q = p * (current / shares)
    return q / q.sum(1, keepdims=True)


def _softmax(logits: np.ndarray) -> np.ndarray:
    odds = np.exp(np.float64(logits) - np.float64(logits).max(1, keepdims=True))
    return odds / odds.sum(1, keepdims=True)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.where(whole > 0, part / np.where(whole > 0, whole, 1), np.nan)
