"""The table that a monitor returns."""

from typing import Any, NamedTuple

import numpy as np

from verax._arrays import to_labels
from verax._errors import check
from verax._extras import extra
from verax._results import raise_if_failed, result

from ._scores import SENTENCES, Status

_COLUMNS = (
    "chunk",
    "start",
    "stop",
    "begin",
    "end",
    "score",
    "estimate",
    "lower",
    "upper",
    "evidence",
    "label_evidence",
    "alert",
    "realized",
    "num_labelled",
    "status",
)
_SHOWN = ("chunk", "start", "stop", "score", "estimate", "lower", "upper", "evidence", "alert", "realized", "status")


@result(SENTENCES)
class MonitorTable(NamedTuple):
    """One row per chunk; it can be printed, plotted (``plot``) or taken as a data frame (``to_frame``)."""

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
    evidence: np.ndarray
    """Evidence so far that scores are larger than in distribution, log10."""
    label_evidence: np.ndarray
    """Evidence so far that predicted labels are distributed otherwise than in distribution, log10."""
    threshold: float
    """Evidence of either kind from here on is an alert: ``log10(2 / alpha)``."""
    alert: np.ndarray
    """Whether either evidence is at the threshold, or the chunk is not finite."""
    realized: np.ndarray
    """True error over the examples whose labels have arrived, else NaN."""
    num_labelled: np.ndarray
    """Number of labels that have arrived."""
    status: np.ndarray
    """:class:`Status` of each chunk."""
    begin: np.ndarray | None = None
    """First timestamp of each chunk."""
    end: np.ndarray | None = None
    """Last timestamp."""

    raise_if_failed = raise_if_failed

    def realize(self, labels: Any, predicted_labels: Any) -> "MonitorTable":
        """Add true errors, now that labels of the stream have arrived.

        Parameters
        ----------
        labels : [n]
            From the stream's beginning; None, NaN or -1 for labels that have not arrived.
        predicted_labels : [n]
            Labels of the same kind that the model predicted.

        Returns
        -------
        MonitorTable
            ``realized`` is NaN for chunks without a label.

        Raises
        ------
        ValueError
            For different lengths, or labels of different kinds.
        """
        codes, classes = to_labels("labels", labels, missing=(-1,))
        predicted, names = to_labels("predicted_labels", predicted_labels, num=len(codes))
        arrived = codes >= 0
        wrong = np.zeros(len(codes), bool)
        if arrived.any():
            alike = (classes.dtype.kind in "OUS") == (names.dtype.kind in "OUS")
            check(alike, "predicted_labels", f"dtype {names.dtype}", f"the kind of labels, {classes.dtype}")
            check(bool((predicted[arrived] >= 0).all()), "predicted_labels", "missing entries", "all predictions")
            wrong[arrived] = classes[codes[arrived]] != names[predicted[arrived]]
        realized, counts = self.realized.copy(), self.num_labelled.copy()
        for i, (start, stop) in enumerate(zip(self.start, self.stop, strict=True)):
            rows = arrived[start:stop]
            if rows.any():
                counts[i] = rows.sum()
                realized[i] = wrong[start:stop][rows].mean()
        return self._replace(realized=realized, num_labelled=counts)

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows as dictionaries, for a file or a page."""
        num = len(self.start)
        columns = [np.arange(num) if name == "chunk" else getattr(self, name) for name in _COLUMNS]
        named = [(name, column) for name, column in zip(_COLUMNS, columns, strict=True) if column is not None]
        return [{name: column[i].item() for name, column in named} for i in range(num)]

    def to_frame(self) -> Any:
        """Return the rows as a pandas DataFrame; pandas is imported here only."""
        with extra("frames"):
            import pandas  # pyright: ignore[reportMissingImports] (an optional package)

        frame = pandas.DataFrame(self.rows())
        return frame.assign(status=[Status(code).name for code in self.status])

    def __str__(self) -> str:
        lines = ["  ".join(f"{name:>9}" for name in _SHOWN)]
        for row in self.rows():
            cells = [row[name] for name in _SHOWN]
            words = [f"{v:9.4f}" if isinstance(v, float) else f"{v!s:>9}" for v in cells]
            words[-1] = f"{Status(row['status']).name:>9}"
            lines.append("  ".join(words))
        return "\n".join(lines)

    def plot(self, axes: Any = None) -> Any:
        """Draw estimates with limits, alerts and realized errors; return the matplotlib axes."""
        if axes is None:
            with extra("plots"):
                from matplotlib.figure import Figure

            axes = Figure(figsize=(7, 3)).subplots()
        x = np.arange(len(self.start)) if self.begin is None else self.begin
        axes.fill_between(x, self.lower, self.upper, alpha=0.2, linewidth=0, step="mid", label="interval")
        axes.plot(x, self.estimate, marker="o", markersize=3, label="estimate")
        bottom = np.nanmin(self.lower) if np.isfinite(self.lower).any() else 0.0
        marked = np.where(np.isfinite(self.estimate), self.estimate, bottom)
        axes.plot(x[self.alert], marked[self.alert], "x", color="C3", label="alert")
        if np.any(np.isfinite(self.realized)):
            axes.plot(x, self.realized, ".", color="black", label="realized")
        axes.set(xlabel="chunk" if self.begin is None else "time", ylabel="error")
        axes.legend(fontsize="small", ncols=2)
        return axes
