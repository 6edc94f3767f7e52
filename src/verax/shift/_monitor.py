"""A monitor of a deployed model: one estimate a chunk of its stream of predictions."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, cast

import jax
import numpy as np

from verax._errors import check, check_integer, fail
from verax._types import AnyArray

from ._calibration import ErrorCalibration, bootstrap_scores
from ._checks import check_inputs, check_key
from ._scores import Status

_COLUMNS = ("chunk", "start", "stop", "score", "estimate", "lower", "upper", "threshold", "alert", "realized", "status")


class MonitorTable(NamedTuple):
    """One row a chunk; ``print`` it, or :meth:`plot` it."""

    start: np.ndarray
    """Index in the stream of a chunk's first example."""
    stop: np.ndarray
    """One past its last."""
    score: np.ndarray
    """The score; without a calibration it is the estimate too."""
    estimate: np.ndarray
    """Estimated error; NaN where the status is not OK."""
    lower: np.ndarray
    """Limits of the error: of calibration and sampling, or, without a calibration, of sampling only."""
    upper: np.ndarray
    """Upper limit."""
    threshold: float
    """Estimates above it raise an alert: mean plus three standard deviations over chunks of the reference."""
    alert: np.ndarray
    """Whether the estimate is above the threshold, or there is none because the status is not OK."""
    realized: np.ndarray
    """True error where labels have arrived, else NaN."""
    status: np.ndarray
    """:class:`Status` of each chunk."""

    def realize(self, labels: AnyArray, predicted_labels: AnyArray) -> "MonitorTable":
        """Add true errors, now that labels of the stream have arrived.

        Parameters
        ----------
        labels, predicted_labels : int [n]
            From the stream's beginning; chunks that they do not fill stay without.
        """
        true, predicted = np.asarray(labels), np.asarray(predicted_labels)
        same = true.ndim == 1 and true.shape == predicted.shape
        check(same, "labels", f"shape {true.shape}", f"[n], as predicted_labels ({predicted.shape})")
        realized = self.realized.copy()
        for i, (start, stop) in enumerate(zip(self.start, self.stop, strict=True)):
            if stop <= len(true):
                realized[i] = np.mean(true[start:stop] != predicted[start:stop])
        return self._replace(realized=realized)

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows as dictionaries, for a data frame or a file."""
        columns = [np.arange(len(self.start)), self.start, self.stop, self.score, self.estimate, self.lower, self.upper,
                   np.full(len(self.start), self.threshold), self.alert, self.realized, self.status]  # fmt: skip
        return [dict(zip(_COLUMNS, (value.item() for value in row), strict=True)) for row in zip(*columns, strict=True)]

    def __str__(self) -> str:
        lines = ["  ".join(f"{name:>9}" for name in _COLUMNS)]
        for row in self.rows():
            cells = [f"{v:9.4f}" if isinstance(v, float) else f"{v!s:>9}" for v in row.values()]
            cells[-1] = f"{Status(row['status']).name:>9}"
            lines.append("  ".join(cells))
        return "\n".join(lines)

    def plot(self, axes: Any = None) -> Any:
        """Draw estimates with limits, the threshold, alerts and realized errors; return the matplotlib axes."""
        if axes is None:
            from matplotlib.figure import Figure

            axes = Figure(figsize=(7, 3)).subplots()
        x = np.arange(len(self.start))
        axes.fill_between(x, self.lower, self.upper, alpha=0.2, linewidth=0, step="mid", label="interval")
        axes.plot(x, self.estimate, marker="o", markersize=3, label="estimate")
        axes.axhline(self.threshold, linestyle="--", linewidth=0.8, color="C3", label="threshold")
        marked = np.where(np.isfinite(self.estimate), self.estimate, self.threshold)
        axes.plot(x[self.alert], marked[self.alert], "x", color="C3", label="alert")
        if np.any(np.isfinite(self.realized)):
            axes.plot(x, self.realized, ".", color="black", label="realized")
        axes.set(xlabel="chunk", ylabel="error")
        axes.legend(fontsize="small", ncols=2)
        return axes


class ShiftMonitor:
    """Watch a model without labels: estimate its error on each chunk of its stream.

    Parameters
    ----------
    score_fn
        Any score of this room, ``score_fn(val_logits, val_labels, target_logits)``, such as ``cot`` or ``atc``.
    chunk_size
        Examples in a chunk.
    calibration
        From that score, on sets of this size, to an error. Without one, the score is taken for the error (fit for
        ``atc``, ``cot``, ``average_confidence`` and their like), and intervals hold sampling only.
    num_resamples
        Bootstrap samples of each chunk.
    key
        A ``jax.random.key`` for them.

    Examples
    --------
    >>> import jax, numpy as np
    >>> from verax.shift import ShiftMonitor, atc
    >>> rng = np.random.default_rng(0)
    >>> labels = rng.integers(0, 3, 4000)
    >>> logits = 3 * np.eye(3)[labels] + rng.normal(size=(4000, 3))
    >>> monitor = ShiftMonitor(atc, chunk_size=200, num_resamples=20, key=jax.random.key(0))
    >>> monitor = monitor.fit(logits[:3000], labels[:3000])
    >>> worse = np.eye(3)[labels] + rng.normal(size=(4000, 3))  # from here on the signal is weak
    >>> table = monitor.estimate(np.concatenate([logits[3000:3400], worse[:400]]))
    >>> table.alert.tolist()
    [False, False, True, True]
    """

    def __init__(
        self,
        score_fn: Callable[[Any, Any, Any], Any],
        *,
        chunk_size: int,
        calibration: ErrorCalibration | None = None,
        num_resamples: int = 50,
        key: jax.Array,
    ):
        check_integer("chunk_size", chunk_size, minimum=2)
        check_integer("num_resamples", num_resamples, minimum=2)
        check_key(key)
        check(callable(score_fn), "score_fn", type(score_fn).__name__, "a score of this room")
        self._score_fn, self._size, self._calibration = score_fn, int(chunk_size), calibration
        self._num_resamples, self._key = num_resamples, key
        self._reference: tuple[np.ndarray, np.ndarray] | None = None
        self._threshold = float("nan")

    def fit(self, reference_logits: AnyArray, reference_labels: AnyArray) -> "ShiftMonitor":
        """Learn the threshold from a labelled in-distribution holdout of at least three chunks, and return itself.

        The first half is the holdout that scores need; chunks of the second half give the threshold, so that no example
        is on both sides.
        """
        logits, labels = np.asarray(reference_logits), np.asarray(reference_labels)
        check_inputs(logits, labels, logits)
        half = len(logits) // 2
        num_chunks = (len(logits) - half) // self._size
        check(
            num_chunks >= 3,
            "reference_logits",
            f"{len(logits)} examples",
            f"at least {6 * self._size}: three chunks of {self._size} beside the holdout's half",
        )
        self._reference = logits[:half], labels[:half]
        table = self._measure(self._chunks([logits[half:]], whole=True))
        known = table.estimate[table.status == int(Status.OK)]
        check(len(known) >= 2, "calibration", "no estimate on the reference", "one that holds in distribution")
        self._threshold = float(known.mean() + 3 * known.std(ddof=1))
        return self

    def estimate(self, stream: AnyArray | Iterable[AnyArray]) -> MonitorTable:
        """Estimate each chunk of a stream.

        Parameters
        ----------
        stream : [n, K], or an iterable of such arrays
            Logits in the order of arrival. A last chunk shorter than ``chunk_size`` is estimated too.

        Returns
        -------
        MonitorTable

        Raises
        ------
        ValueError
            Before ``fit``; for logits of another width.
        """
        if self._reference is None:
            fail("stream", "a monitor that was not fitted", "fit(reference_logits, reference_labels) first")
        parts = cast(Iterable[AnyArray], [stream] if hasattr(stream, "dtype") else stream)
        return self._measure(self._chunks(parts, whole=False))

    def _chunks(self, parts: Iterable[AnyArray], *, whole: bool) -> Iterable[np.ndarray]:
        assert self._reference is not None
        held = np.zeros((0, self._reference[0].shape[1]), self._reference[0].dtype)
        for part in parts:
            array = np.asarray(part)
            fits = array.ndim == 2 and array.shape[1] == held.shape[1]
            check(fits, "stream", f"shape {array.shape}", f"logits [n, {held.shape[1]}]")
            held = np.concatenate([held, array])
            while len(held) >= self._size:
                yield held[: self._size]
                held = held[self._size :]
        if len(held) and not whole:
            yield held

    def _measure(self, chunks: Iterable[np.ndarray]) -> MonitorTable:
        assert self._reference is not None
        start, columns = 0, []
        for i, chunk in enumerate(chunks):
            stop = start + len(chunk)
            if not np.all(np.isfinite(chunk)):
                columns.append((start, stop, *[np.nan] * 4, int(Status.NON_FINITE)))
            else:
                columns.append((start, stop, *self._one(chunk, jax.random.fold_in(self._key, i))))
            start = stop
        check(bool(columns), "stream", "no examples", "at least one")
        table = [np.array(column) for column in zip(*columns, strict=True)]
        alert = (table[6] != int(Status.OK)) | (table[3] > self._threshold)
        return MonitorTable(
            *table[:6], threshold=self._threshold, alert=alert, realized=np.full(len(alert), np.nan), status=table[6]
        )

    def _one(self, chunk: np.ndarray, key: jax.Array) -> tuple[float, float, float, float, int]:
        assert self._reference is not None
        score = float(self._score_fn(*self._reference, chunk))
        samples = bootstrap_scores(self._score_fn, *self._reference, chunk, num_resamples=self._num_resamples, key=key)
        if self._calibration is None:
            lower, upper = np.quantile(samples, (0.05, 0.95))
            return score, score, float(min(lower, score)), float(max(upper, score)), int(Status.OK)
        labels = chunk.argmax(1) if self._calibration.reference_counts is not None else None
        found = self._calibration.estimate(score, predicted_labels=labels, score_samples=samples)
        return score, float(found.error), float(found.lower), float(found.upper), int(found.status)
