"""o1 System Card: the figures."""

import numpy as np

from verax.papers._figures import legend_under
from verax.report import style, subplots

from .published import Cell
from .simulations import Goodness
from .tables import items_needed


def make_figures(cells: tuple[Cell, ...], harm: Goodness) -> dict[str, tuple]:
    """All figures with their captions."""
    with style():
        figure, axes = subplots(1, 2, width=9.3, height=4.2)
        rows = [row for row in items_needed(cells) if row[4] is not None]
        labels = [f"{row[0]}, {row[1]}, {row[2]}" for row in rows]
        axes[0].barh(np.arange(len(rows)), [row[4] for row in rows], color="C0")
        axes[0].set_yticks(np.arange(len(rows)), labels, fontsize=5)
        axes[0].set(xscale="log", xlabel="items needed", title="To tell a model from GPT-4o")
        axes[0].invert_yaxis()
        for side, label, color in (
            (harm.lower, "plug-in", "C1"),
            (harm.estimate, "shrunk", "C0"),
            (harm.upper, "cross-fitted", "C2"),
        ):
            known = slice(1, None) if label == "cross-fitted" else slice(None)
            axes[1].plot(np.array(harm.samples)[known], side.mean(1)[known], "o-", color=color, label=label)
        axes[1].axhline(harm.truth, color="black", linewidth=0.8, label="truth")
        axes[1].set(xscale="log", xlabel="samples a cell", title="goodness@0.1, simulated")
        legend_under(axes[1])
    return {
        "what the numbers are worth": (figure, "Left: from published rates. Right: means over simulated evaluations.")
    }
