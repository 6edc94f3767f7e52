"""Jailbroken: the figures."""

import numpy as np

from verax.papers._estimate import over_seeds
from verax.papers._figures import legend_under
from verax.report import style, subplots

from .measure import ATTACKS, Answers


def make_figures(found: dict[str, Answers], by_width: dict[int, dict[str, Answers]]) -> dict[str, tuple]:
    """All figures with their captions."""
    standard = found["standard"]
    with style():
        figure, axes = subplots(1, 3 if len(by_width) > 1 else 2, width=11.0 if len(by_width) > 1 else 8.6, height=4.0)
        left = np.zeros(len(standard.names))
        for verdict, name, color in ((1, "BAD", "C3"), (2, "UNCLEAR", "0.75"), (0, "GOOD", "C0")):
            shares = np.array([standard.share(way, verdict).mean() for way in standard.names])
            axes[0].barh(range(len(shares)), shares, left=left, color=color, label=name)
            left = left + shares
        axes[0].set(yticks=range(len(left)), title="Standard recipe, shares of requests")
        axes[0].set_yticklabels(standard.names)
        axes[0].invert_yaxis()
        axes[0].legend(loc="upper center", bbox_to_anchor=(0.4, -0.08), ncols=3)
        for color, name in enumerate(("affirm", "dialect")):
            for line, pair in (("-", ("standard", "wider safety")), ("--", ("less capability", "both"))):
                estimates = [over_seeds(found[recipe].share(name)) for recipe in pair]
                axes[1].errorbar(
                    (0, 1),
                    [e.value for e in estimates],
                    yerr=[2 * (e.standard_error or 0) for e in estimates],
                    fmt=f"o{line}",
                    color=f"C{color}",
                    label=f"{name}, {'full' if line == '-' else 'less'} capability",
                )
        axes[1].set(xticks=(0, 1), xlim=(-0.3, 1.3), ylim=(-0.05, 1.05), ylabel="BAD", title="Two by two")
        axes[1].set_xticklabels(("plain safety data", "with a dialect"))
        legend_under(axes[1])
        if len(by_width) > 1:
            widths = sorted(by_width)
            for color, name in enumerate(by_width[widths[0]]):
                estimates = [over_seeds(by_width[width][name].adaptive()) for width in widths]
                axes[2].errorbar(
                    widths,
                    [e.value for e in estimates],
                    yerr=[2 * (e.standard_error or 0) for e in estimates],
                    fmt="o-",
                    color=f"C{color}",
                    label=name,
                )
            axes[2].set(ylim=(-0.05, 1.05), xlabel="width", ylabel="adaptive rate", title="Scale")
            legend_under(axes[2])
    return {"failure modes": (figure, f"Means over organisms, two standard errors; {len(ATTACKS)} rewritings.")}
