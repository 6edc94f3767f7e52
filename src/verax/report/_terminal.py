"""Claims as a table in the terminal. ``rich`` is imported when the table is made."""

from typing import TYPE_CHECKING

from verax._extras import extra

from ._report import Report
from ._text import duration, measured_text, number

if TYPE_CHECKING:
    import rich.table

_COLOURS = {
    "reproduced": "green",
    "not reproduced": "red",
    "analogue only": "yellow",
    "not tested at this scale": "dim",
    "not testable here": "dim",
}


def terminal_table(report: Report) -> "rich.table.Table":
    """Return the claims of a report as a table for ``rich.print``: verdict, claim and criterion, published, measured.

    Examples
    --------
    >>> report = Report("A title", "Authors, 2022", [], {}, {}, {"n": 100}, {}, 1.5)
    >>> [column.header for column in terminal_table(report).columns]
    ['Verdict', 'Claim', 'Published', 'Measured']
    """
    with extra("cli"):
        import rich.box
        import rich.table
        import rich.text

    planned = "" if report.planned_seconds is None else f"planned {duration(report.planned_seconds)}, "
    table = rich.table.Table(
        title=rich.text.Text(report.title, style="bold"),
        caption=f"{planned}took {duration(report.seconds)}",
        box=rich.box.SIMPLE_HEAD,
        title_justify="left",
        caption_justify="left",
        show_lines=True,
    )
    table.add_column("Verdict", max_width=14)
    table.add_column("Claim", ratio=1)
    table.add_column("Published", justify="right", max_width=18)
    table.add_column("Measured", justify="right", no_wrap=True)
    for claim in report.claims:
        statement = rich.text.Text(claim.statement)
        statement.append(f"\nCriterion: {claim.criterion.text}", style="dim")
        if claim.reason and claim.verdict == "not reproduced":
            statement.append(f"\n{claim.reason}", style="italic")
        measured = rich.text.Text(measured_text(claim))
        details = ([f"{claim.seeds} seeds"] if claim.seeds > 1 else []) + [claim.evidence]
        measured.append("\n" + ", ".join(details), style="dim")
        verdict = rich.text.Text(claim.verdict, style=_COLOURS[claim.verdict])
        table.add_row(verdict, statement, rich.text.Text(number(claim.published)), measured)
    return table
