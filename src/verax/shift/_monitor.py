"""A monitor of a deployed model: one estimate per chunk of its stream of predictions, and anytime-valid alerts."""

import os
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from verax._arrays import to_array, to_number
from verax._errors import check, check_integer, fail
from verax._save import load, register, save

from ._calibration import ErrorCalibration, bootstrap_scores
from ._checks import check_inputs, check_key, check_logits
from ._evidence import NUM_LABEL_BETS, NUM_SCORE_BETS, Evidence, label_bets, no_evidence, score_bets
from ._monitor_table import MonitorTable
from ._scores import Status

# Bootstrap samples of the reference that give the score's distribution on chunks without shift.
_NULL_SAMPLES = 200
_NULL_KEY = 2**31 - 1
"""Folded into the monitor's key for them; no chunk has this number."""


class _MonitorReference(NamedTuple):
    """Two halves of the labelled holdout: one that scores need, one that shows chunks without shift."""

    logits: np.ndarray
    labels: np.ndarray
    rest: np.ndarray


class _MonitorStream(NamedTuple):
    """A stream after some examples; ``held`` are those of a chunk that is not complete."""

    position: int
    num_chunks: int
    held: np.ndarray
    times: np.ndarray | None
    deviations: float
    weight: int
    label_counts: np.ndarray
    scores: Evidence
    labels: Evidence


class _SavedMonitor(NamedTuple):
    score_name: str | None
    options: dict[str, Any]
    key: np.ndarray
    calibration: ErrorCalibration | None
    reference: _MonitorReference | None
    stream: _MonitorStream | None


register(_MonitorReference, _MonitorStream, Evidence, _SavedMonitor, MonitorTable)


class ShiftMonitor:
    r"""Watch a model without labels: estimate its error on each chunk of its stream, and raise alerts.

    Each chunk's score is compared with those of chunks without shift, resampled from the reference, and with the chunks
    before it. The standardised differences are bet on; the wealth is the evidence, a martingale while nothing changes.
    Over a stream of any length without shift an alert is raised with probability at most ``alpha``, as far as scores of
    chunks are nearly normal; half of it is for scores that are larger than in distribution, half for predicted labels
    that are distributed otherwise. Scores smaller than expected are no alert.

    Parameters
    ----------
    score_fn
        Any score of this package, ``score_fn(val_logits, val_labels, target_logits)``, such as ``cot`` or ``atc``.
    chunk_size
        Examples in a chunk.
    period
        Length of a chunk in time, in the units of the timestamps, in place of ``chunk_size``: a number, or a
        ``numpy.timedelta64`` or ``datetime.timedelta`` for dates. Scores that depend on the number of examples
        (``mde``, ``dispersion``) need chunks of one size.
    alpha
        Probability of an alert over a whole stream without shift.
    calibration
        From that score, on sets of this size, to an error. Without one, the score is taken for the error (fit for
        ``atc``, ``cot``, ``average_confidence`` and their like), and intervals hold sampling only.
    num_resamples
        Bootstrap samples of each chunk, for the limits.
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

    Day by day, chunks run on across calls:

    >>> [monitor.update(worse[150 * day : 150 * (day + 1)]).stop.tolist() for day in range(3)]
    [[], [200], [400]]

    References
    ----------
    J. Ville, 1939, for the inequality; G. Shafer, "Testing by betting", 2021; R. Brown, J. Durbin, J. Evans,
    "Techniques for testing the constancy of regression relationships over time", 1975, for residuals against the past.
    """

    def __init__(
        self,
        score_fn: Callable[[Any, Any, Any], Any],
        *,
        chunk_size: int | None = None,
        period: Any = None,
        alpha: float = 0.05,
        calibration: ErrorCalibration | None = None,
        num_resamples: int = 50,
        key: jax.Array,
    ):
        one = (chunk_size is None) != (period is None)
        check(one, "chunk_size", f"{chunk_size} with period={period}", "either chunk_size or period")
        if chunk_size is not None:
            check_integer("chunk_size", chunk_size, minimum=2)
        check_integer("num_resamples", num_resamples, minimum=2)
        key = check_key(key)
        check(callable(score_fn), "score_fn", type(score_fn).__name__, "a score of this package")
        kind = calibration is None or isinstance(calibration, ErrorCalibration)
        check(kind, "calibration", type(calibration).__name__, "an ErrorCalibration")
        self._score_fn, self._calibration = score_fn, calibration
        self._size = None if chunk_size is None else int(chunk_size)
        self._period = period
        self._alpha = to_number("alpha", alpha, "(0, 1)")
        self._num_resamples, self._key = num_resamples, key
        self._reference: _MonitorReference | None = None
        self._stream: _MonitorStream | None = None
        self._null: dict[int, tuple[float, float, np.ndarray]] = {}

    def __repr__(self) -> str:
        size = f"chunk_size={self._size}" if self._size else f"period={self._period}"
        seen = 0 if self._stream is None else self._stream.position
        state = "not fitted" if self._reference is None else f"{seen} examples seen"
        return f"ShiftMonitor({_name(self._score_fn) or self._score_fn}, {size}, alpha={self._alpha:g}: {state})"

    def fit(self, reference_logits: Any, reference_labels: Any) -> "ShiftMonitor":
        """Take a labelled in-distribution holdout, and return the monitor itself.

        The first half is the holdout that scores need; the second half shows chunks without shift, so that no example
        is on both sides. It needs at least six chunks of examples.
        """
        logits, labels, _ = check_inputs(reference_logits, reference_labels, reference_logits)
        logits, labels = np.asarray(logits), np.asarray(labels)
        half = len(logits) // 2
        need = 6 * (self._size or 20)
        check(len(logits) >= need, "reference_logits", f"{len(logits)} examples", f"at least {need}: six chunks")
        self._reference = _MonitorReference(logits[:half], labels[:half], logits[half:])
        self._null = {}
        nominal = self._size or min(200, len(logits) - half)
        _, deviation, _ = self._without_shift(nominal)
        need = "a score that varies, such as average_confidence or entropy"
        check(deviation > 0, "reference_logits", "one score for all samples of the reference", need)
        self._stream = None
        return self

    def estimate(self, stream: Any, *, timestamps: Any = None) -> MonitorTable:
        """Estimate each chunk of a whole stream, from its beginning; :meth:`update` goes on across calls.

        Parameters
        ----------
        stream : [n, K], or an iterable of such arrays
            Logits in the order of arrival. A last chunk shorter than ``chunk_size`` is compared with samples of its own
            size.
        timestamps : [n], or an iterable of such arrays, optional
            In ascending order; numbers or dates. Required with ``period``.

        Returns
        -------
        MonitorTable

        Raises
        ------
        ValueError
            Before ``fit``; for logits of another width, or timestamps that do not ascend.
        """
        table, _ = self._advance(self._start(), stream, timestamps, last=True)
        check(len(table.start) > 0, "stream", "no examples", "at least one")
        return table

    def update(self, stream: Any, *, timestamps: Any = None, flush: bool = False) -> MonitorTable:
        """Take the next examples of one stream: rows for the chunks that they complete.

        Parameters
        ----------
        stream, timestamps
            As for :meth:`estimate`.
        flush
            Close the last chunk too, whatever its size; otherwise it is held back until it is complete.

        Returns
        -------
        MonitorTable
            Positions count from the stream's beginning; without rows where no chunk is complete.
        """
        table, self._stream = self._advance(self._stream or self._start(), stream, timestamps, last=flush)
        return table

    def reset(self) -> "ShiftMonitor":
        """Forget the stream, and return the monitor itself: after an alert that has been dealt with."""
        self._stream = None
        return self

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the monitor with its reference and the state of its stream."""
        period = self._period
        check(
            period is None or isinstance(period, int | float), "period", repr(period), "a number, in a monitor to save"
        )
        options = {
            "chunk_size": self._size,
            "period": period,
            "alpha": self._alpha,
            "num_resamples": self._num_resamples,
        }
        key = np.asarray(jax.random.key_data(self._key))
        saved = _SavedMonitor(_name(self._score_fn), options, key, self._calibration, self._reference, self._stream)
        save(saved, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, score_fn: Callable[..., Any] | None = None) -> "ShiftMonitor":
        """Read a monitor that :meth:`save` wrote; ``score_fn`` where it was not a function of this package."""
        found = load(path)
        check(isinstance(found, _SavedMonitor), "path", f"{path}, a {type(found).__name__}", "a monitor")
        if score_fn is None:
            if found.score_name is None:
                fail("score_fn", "None", "the monitor's score: it is no function of this package, and was not stored")
            from verax import shift

            score_fn = getattr(shift, found.score_name)
        assert score_fn is not None
        key = jax.random.wrap_key_data(jnp.asarray(found.key))
        monitor = cls(score_fn, **found.options, calibration=found.calibration, key=key)
        monitor._reference, monitor._stream = found.reference, found.stream
        return monitor

    def _start(self) -> _MonitorStream:
        if self._reference is None:
            fail("stream", "a monitor that was not fitted", "fit(reference_logits, reference_labels) first")
        logits, _, rest = self._reference
        counts = np.bincount(rest.argmax(1), minlength=logits.shape[1])
        held = np.zeros((0, logits.shape[1]), logits.dtype)
        nothing = no_evidence(NUM_SCORE_BETS), no_evidence(NUM_LABEL_BETS)
        return _MonitorStream(0, 0, held, None, 0.0, len(rest), counts, *nothing)

    def _advance(
        self, state: _MonitorStream, stream: Any, timestamps: Any, *, last: bool
    ) -> tuple[MonitorTable, _MonitorStream]:
        """Rows for the chunks that the parts complete, and the state behind them."""
        assert self._reference is not None
        need = "timestamps, one per example, for chunks by period"
        check(timestamps is not None or self._period is None, "timestamps", "None", need)
        parts = _parts(stream)
        times = [None] * len(parts) if timestamps is None else _time_parts(timestamps, len(parts))
        rows: list[tuple[Any, ...]] = []
        for number, (part, time) in enumerate(zip(parts, times, strict=True)):
            state = _appended(state, _logits(part, state.held.shape[1]), time)
            final = last and number == len(parts) - 1
            while (size := self._complete(state, final)) > 0:
                row, state = self._judged(state, size)
                rows.append(row)
        return self._table(rows, with_times=timestamps is not None), state

    def _complete(self, state: _MonitorStream, final: bool) -> int:
        """Size of the first chunk of those held, or 0 where it is not complete."""
        if self._size is not None:
            size = self._size if len(state.held) >= self._size else 0
        elif not len(state.held):
            size = 0
        else:
            assert state.times is not None
            behind = state.times >= state.times[0] + self._period
            size = int(behind.argmax()) if behind.any() else 0
        return size or (len(state.held) if final else 0)

    def _judged(self, state: _MonitorStream, size: int) -> tuple[tuple[Any, ...], _MonitorStream]:
        """Row of the first ``size`` held examples."""
        assert self._reference is not None
        chunk, place = state.held[:size], (state.position, state.position + size)
        when = (None, None) if state.times is None else (state.times[0], state.times[size - 1])
        state = state._replace(
            position=state.position + size,
            num_chunks=state.num_chunks + 1,
            held=state.held[size:],
            times=None if state.times is None else state.times[size:],
        )
        values = [np.nan] * 4 + [int(Status.NON_FINITE)]
        if np.all(np.isfinite(chunk)):
            values = list(self._one(chunk, jax.random.fold_in(self._key, state.num_chunks - 1)))
        if np.isfinite(values[0]):
            state = self._with_evidence(state, chunk, float(values[0]))
        return (*place, *values[:4], state.scores.log10, state.labels.log10, values[4], *when), state

    def _with_evidence(self, state: _MonitorStream, chunk: np.ndarray, score: float) -> _MonitorStream:
        """Bet on how far a chunk's score is from what the reference and the chunks before let expect."""
        size = len(chunk)
        expected, deviation, null = self._without_shift(size)
        gap, unit = score - expected, deviation * np.sqrt(size)
        bets = np.zeros(NUM_SCORE_BETS)
        if unit > 0:
            # The reference's own error is shared by all chunks; residuals against all that came before are independent.
            predicted = state.deviations / state.weight
            bets = score_bets((gap - predicted) / (unit * np.sqrt(1 / size + 1 / state.weight)), null)
        counts = np.bincount(chunk.argmax(1), minlength=len(state.label_counts))
        return state._replace(
            deviations=state.deviations + size * gap,
            weight=state.weight + size,
            label_counts=state.label_counts + counts,
            scores=state.scores.after(bets),
            labels=state.labels.after(label_bets(counts, state.label_counts)),
        )

    def _without_shift(self, size: int) -> tuple[float, float, np.ndarray]:
        """Mean and standard deviation of the score on samples of the reference of a size; the samples, standardised."""
        assert self._reference is not None
        if size not in self._null:
            logits, labels, rest = self._reference
            key = jax.random.fold_in(jax.random.fold_in(self._key, _NULL_KEY), size)
            rows = np.asarray(jax.random.randint(key, (_NULL_SAMPLES, size), 0, len(rest)))
            scores = np.array([float(self._score_fn(logits, labels, rest[one])) for one in rows])
            mean, deviation = float(scores.mean()), float(scores.std(ddof=1))
            standard = (scores - mean) / deviation if deviation > 0 else np.zeros_like(scores)
            self._null[size] = mean, deviation, standard
        return self._null[size]

    def _one(self, chunk: np.ndarray, key: jax.Array) -> tuple[float, float, float, float, int]:
        assert self._reference is not None
        holdout = self._reference[:2]
        score = float(self._score_fn(*holdout, chunk))
        samples = bootstrap_scores(self._score_fn, *holdout, chunk, num_resamples=self._num_resamples, key=key)
        if self._calibration is None:
            lower, upper = np.quantile(samples, (0.05, 0.95))
            return score, score, float(min(lower, score)), float(max(upper, score)), int(Status.OK)
        labels = chunk.argmax(1) if self._calibration.reference_counts is not None else None
        found = self._calibration.estimate(score, predicted_labels=labels, score_samples=samples)
        return score, float(found.error), float(found.lower), float(found.upper), int(found.status)

    def _table(self, rows: list[tuple[Any, ...]], *, with_times: bool) -> MonitorTable:
        start, stop, score, estimate, lower, upper, evidence, labels, status, begin, end = (
            zip(*rows, strict=True) if rows else [()] * 11
        )
        columns = [np.array(column, np.float64) for column in (score, estimate, lower, upper, evidence, labels)]
        codes = np.array(status, np.int64)
        threshold = float(np.log10(2 / self._alpha))
        alert = (columns[4] >= threshold) | (columns[5] >= threshold) | (codes == int(Status.NON_FINITE))
        return MonitorTable(
            np.array(start, np.int64),
            np.array(stop, np.int64),
            *columns,
            threshold=threshold,
            alert=alert,
            realized=np.full(len(codes), np.nan),
            num_labelled=np.zeros(len(codes), np.int64),
            status=codes,
            begin=np.array(begin) if with_times else None,
            end=np.array(end) if with_times else None,
        )


def _parts(stream: Any) -> list[Any]:
    """One array as one part; a list of arrays, or a generator, as several."""
    if hasattr(stream, "dtype") or hasattr(stream, "columns") or hasattr(stream, "detach"):
        return [stream]
    check(
        isinstance(stream, Iterable) and not isinstance(stream, str), "stream", type(stream).__name__, "logits [n, K]"
    )
    parts = list(stream)
    numbers = bool(parts) and (np.isscalar(parts[0]) or (isinstance(parts[0], list | tuple) and np.ndim(parts[0]) == 1))
    return [parts] if numbers else parts


def _time_parts(timestamps: Any, num: int) -> list[Any]:
    if num == 1 and (hasattr(timestamps, "dtype") or np.isscalar(timestamps[0]) or np.ndim(timestamps[0]) == 0):
        return [timestamps]
    parts = list(timestamps)
    check(len(parts) == num, "timestamps", f"{len(parts)} parts", f"{num}, as stream has")
    return parts


def _logits(part: Any, width: int) -> np.ndarray:
    """Logits of one part; a non-finite entry stays, and is a status of its chunk."""
    array = np.asarray(to_array("stream", part, finite=False, empty=True))
    if array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 1 and width == 2):
        array = np.stack([np.zeros(len(array), array.dtype), array.reshape(-1)], axis=1)
    fits = array.ndim == 2 and array.shape[1] == width
    check(fits, "stream", f"shape {array.shape}", f"logits [n, {width}]")
    finite = np.isfinite(array).all(1)
    if finite.any():
        check_logits("stream", array[finite], width)  # not probabilities
    return array


def _appended(state: _MonitorStream, logits: np.ndarray, time: Any) -> _MonitorStream:
    held = np.concatenate([state.held, logits.astype(state.held.dtype)])
    if time is None:
        known = state.times is None or len(state.times) == 0
        check(known, "timestamps", "None", "timestamps in every call, as before")
        return state._replace(held=held, times=None)
    times = np.asarray(time)
    if times.dtype.kind == "O":
        times = times.astype("datetime64[us]")
    check(times.shape == (len(logits),), "timestamps", f"shape {times.shape}", f"[{len(logits)}], one per example")
    before = times[:0] if state.times is None else state.times.astype(times.dtype)
    whole = np.concatenate([before, times])
    ascending = len(whole) < 2 or bool((whole[1:] >= whole[:-1]).all())
    check(ascending, "timestamps", "a timestamp before the one in front of it", "timestamps in ascending order")
    return state._replace(held=held, times=whole)


def _name(score_fn: Any) -> str | None:
    """Name of a score of this package."""
    from verax import shift

    name = getattr(score_fn, "__name__", "")
    return name if getattr(shift, name, None) is score_fn else None
