"""Tables on a terminal that never cut a number, and the page of a result."""

import html
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

_NARROWEST = 60


def make_outputs(out: pathlib.Path) -> None:
    """Make the folder before any work, or raise a ``ValueError``."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"--out: got {out}, which is no folder ({error}); need a folder to write") from error


def say(*lines: str) -> None:
    """Print text that may hold any names, in whatever encoding the terminal has."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    for line in lines:
        print(line.encode(encoding, "replace").decode(encoding))


def terminal_width() -> int:
    """Columns of the terminal, or 80."""
    import shutil

    return max(_NARROWEST, shutil.get_terminal_size((80, 24)).columns)


def show_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], width: int) -> list[str]:
    """Lines of a table: rows side by side where they fit, else one value per line."""
    texts = [[text_of(value) for value in row] for row in rows]
    widths = [max(len(column), *(len(row[i]) for row in texts)) for i, column in enumerate(columns)]
    lines = ["", title]
    if sum(widths) + 2 * len(widths) <= width:
        right = [all(not isinstance(row[i], str) for row in rows) for i in range(len(columns))]

        def line(cells: Sequence[str]) -> str:
            padded = (
                cell.rjust(size) if to_right else cell.ljust(size)
                for cell, size, to_right in zip(cells, widths, right, strict=True)
            )
            return "  ".join(padded).rstrip()

        return [*lines, line(columns), line(["-" * size for size in widths]), *map(line, texts)]
    name = max(map(len, columns))
    for row in texts:
        lines.append("-" * min(width, 40))
        lines += [f"{column.ljust(name)}  {cell}" for column, cell in zip(columns, row, strict=True)]
    return lines


def text_of(value: Any) -> str:
    """A cell: numbers to four digits, never cut."""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return "-"
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, float | np.floating):
        return f"{value:.4g}"
    return str(value)


def plain(value: Any) -> Any:
    """A value as JSON has it: no NaN, no NumPy scalars."""
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def forest_plot(rows: Sequence[tuple[str, float, float, float]], *, zero: bool) -> Any:
    """Estimates with limits, one row each, as a drawing; ``zero`` marks no difference."""
    from verax.report import StoredFigure

    rows = [row for row in rows if np.isfinite(row[1:]).all()]
    ends = [value for row in rows for value in row[1:]] + ([0.0] if zero else [])
    low, high = (min(ends), max(ends)) if ends else (0.0, 1.0)
    margin = 0.06 * (high - low) or 0.5
    low, high = low - margin, high + margin
    left, right, height, step = 170, 590, 34 + 24 * len(rows), 24

    def x(value: float) -> float:
        return left + (right - left) * (value - low) / (high - low)

    parts = [f'<svg viewBox="0 0 620 {height}" width="620" height="{height}" font-size="12" fill="#000000">']
    if zero:
        parts.append(f'<line x1="{x(0):.1f}" x2="{x(0):.1f}" y1="4" y2="{height - 24}" stroke="#7b8794"/>')
    for number, (name, estimate, lower, upper) in enumerate(rows):
        y = 16 + step * number
        shown = html.escape(name if len(name) <= 24 else name[:23] + "…")
        parts.append(f'<text x="{left - 10}" y="{y + 4}" text-anchor="end">{shown}</text>')
        parts.append(f'<line x1="{x(lower):.1f}" x2="{x(upper):.1f}" y1="{y}" y2="{y}" stroke="#3b7dbd"/>')
        parts.append(f'<circle cx="{x(estimate):.1f}" cy="{y}" r="4" fill="#3b7dbd"/>')
    for value in np.linspace(low + margin, high - margin, 3):
        parts.append(f'<text x="{x(value):.1f}" y="{height - 6}" text-anchor="middle">{value:.3g}</text>')
    return StoredFigure(b"", "".join([*parts, "</svg>"]))


def write_page(
    path: pathlib.Path, title: str, lead: str, tables: Mapping[str, Any], figures: Mapping[str, Any], notes: list[str]
) -> pathlib.Path:
    """One page: the sentences, figures and tables."""
    from verax.report import write_card

    return write_card(
        path,
        title=title,
        lead=lead,
        facts=[],
        notices=[("open", note) for note in notes],
        figures=figures,
        tables=tables,
        captions={},
    )
