"""Covert malicious finetuning: the figures."""

from verax.report import style, subplots

from .rates import judged, true_positive_rate
from .screening import DETECTORS, Scores


def make_figures(benign: Scores, covert: Scores, sweep: dict[float, Scores]) -> dict[str, tuple]:
    """All figures with their captions."""
    with style():
        figure, axes = subplots(1, 2, width=8.6, height=3.6)
        for number, name in enumerate(DETECTORS):
            roc = judged(benign, covert, name).roc
            axes[0].step(roc[:, 0], roc[:, 1], where="post", color=f"C{number}", label=name)
        axes[0].set(xlabel="false-positive rate", ylabel="true-positive rate", title="Covert against benign jobs")
        axes[0].legend()
        shares = list(sweep)
        axes[1].plot(shares, [true_positive_rate(benign, sweep[share]) for share in shares], "o-")
        axes[1].set(
            xscale="log", ylim=(-0.05, 1.05), xlabel="share of covert examples", ylabel="true-positive rate at 1 %",
            title="Decode-then-filter",
        )  # fmt: skip
    return {"screening": (figure, "Left: all families of encodings. Right: by contamination, substitution.")}
