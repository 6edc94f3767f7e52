"""Covert malicious finetuning: the figures."""

from verax.papers._figures import legend_under
from verax.report import style, subplots

from .rates import judged, true_positive_rate
from .screening import DETECTORS, Scores


def make_figures(benign: Scores, covert: Scores, sweep: dict[float, Scores]) -> dict[str, tuple]:
    """All figures with their captions."""
    shares = list(sweep)
    is_curve = len(shares) > 2  # two points are a row of the table, no curve
    with style():
        figure, axes = subplots(1, 2 if is_curve else 1, width=8.6 if is_curve else 4.6, height=3.6)
        left = axes[0] if is_curve else axes
        for number, name in enumerate(DETECTORS):
            roc = judged(benign, covert, name).roc
            left.step(roc[:, 0], roc[:, 1], where="post", color=f"C{number}", label=name)
        left.set(xlabel="false-positive rate", ylabel="true-positive rate", title="Covert against benign jobs")
        legend_under(left)
        if not is_curve:
            return {"screening": (figure, "All families of encodings.")}
        axes[1].plot(shares, [true_positive_rate(benign, sweep[share]) for share in shares], "o-")
        axes[1].set(
            xscale="log",
            ylim=(-0.05, 1.05),
            xlabel="share of covert examples",
            ylabel="true-positive rate at 1 %",
            title="Decode-then-filter",
        )
    return {"screening": (figure, "Left: all families of encodings. Right: by contamination, substitution.")}
