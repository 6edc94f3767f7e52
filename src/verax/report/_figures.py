"""Figures: a calm style, and rendering to SVG and PNG. matplotlib is imported when a figure is made or drawn."""

import contextlib
import dataclasses
import io
from collections.abc import Iterator
from typing import Any

from verax._extras import extra
from verax._results import result

# Of middling lightness, so that every colour reads on a white page and on a dark one.
PALETTE = ("#3b7dbd", "#d9822b", "#3f9b6e", "#c6534e", "#8b67b5", "#7b8794", "#b3892f", "#3a9ca6")

_STYLE: dict[Any, Any] = {
    "axes.edgecolor": "#000000",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.labelsize": 9,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "figure.constrained_layout.use": True,
    "font.size": 9,
    "grid.alpha": 0.25,
    "grid.color": "#7b8794",
    "grid.linewidth": 0.5,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 4,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
}


@result()
@dataclasses.dataclass(frozen=True)
class StoredFigure:
    """A drawn figure: ``png`` holds the bytes of the image, ``svg`` the drawing as text; a notebook shows it."""

    png: bytes
    svg: str

    def _repr_svg_(self) -> str:
        return self.svg


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Plot in the report's style; colours may be written ``"C0"``, ``"C1"``, ... for those of ``PALETTE``.

    Examples
    --------
    >>> with style():
    ...     figure, axes = subplots()
    ...     lines = axes.plot([1, 2], [3, 4], color="C1", label="risk")
    ...     legend = axes.legend()
    >>> legend.get_frame_on()
    False
    """
    with extra("plots"):
        import cycler
        import matplotlib

    with matplotlib.rc_context({**_STYLE, "axes.prop_cycle": cycler.cycler(color=PALETTE)}):
        yield


def subplots(num_rows: int = 1, num_columns: int = 1, *, width: float = 6.4, height: float = 3.6) -> tuple[Any, Any]:
    """Make a figure in the report's style, outside pyplot's global state; plot into it under :func:`style`.

    Parameters
    ----------
    num_rows, num_columns
        Panels.
    width, height
        Width and height of the whole figure, in inches.

    Returns
    -------
    tuple
        The figure, and one axes or an array of them, as ``matplotlib.figure.Figure.subplots`` gives.

    Examples
    --------
    >>> figure, axes = subplots(1, 2)
    >>> axes.shape
    (2,)
    """
    with extra("plots"):
        from matplotlib.figure import Figure

    with style():
        figure = Figure(figsize=(width, height))
        return figure, figure.subplots(num_rows, num_columns)


def render(figure: Any) -> StoredFigure:
    """Draw a matplotlib figure as PNG and SVG; a stored figure is returned as it is."""
    if isinstance(figure, StoredFigure):
        return figure
    with extra("plots"):
        import matplotlib

    png, svg = io.BytesIO(), io.StringIO()
    # Text as outlines looks the same where the fonts are missing; a fixed salt and no date make the file reproducible.
    with style(), matplotlib.rc_context({"svg.fonttype": "path", "svg.hashsalt": "verax"}):
        figure.savefig(png, format="png", dpi=144, metadata={"Software": None})
        layout = figure.get_layout_engine()
        figure.set_layout_engine("none")  # laid out once already, which is half the work of drawing
        figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
        figure.set_layout_engine(layout)
    return StoredFigure(png=png.getvalue(), svg=svg.getvalue())
