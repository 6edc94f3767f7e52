"""Parts of figures that several papers share."""

from typing import Any


def legend_under(axes: Any, *, columns: int = 2) -> None:
    """Put the legend of a panel under its horizontal axis, where it hides no data."""
    labels = axes.get_legend_handles_labels()[1]
    # The padding, in units of the font, leaves room for the tick labels and the label of the axis.
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 0), borderaxespad=4.5, ncols=min(columns, len(labels)))
