"""One page for one result: facts, notices, figures and tables, in the style of the reports."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from verax._errors import check_option

from ._html import escape, figure_block, table_block, write_page
from ._report import Table

_KINDS = {"good": "✓", "bad": "✕", "partial": "!", "open": "i"}


class Fact(NamedTuple):
    """A number that the page opens with: what it is, the number, and its uncertainty or unit."""

    name: str
    value: str
    note: str


def write_card(
    path: str | pathlib.Path,
    *,
    title: str,
    lead: str,
    facts: Sequence[Fact],
    notices: Sequence[tuple[str, str]],
    figures: Mapping[str, Any],
    tables: Mapping[str, Table],
    captions: Mapping[str, str],
) -> pathlib.Path:
    """Write a self-contained page, light or dark as the reader's system asks.

    Parameters
    ----------
    path
        The file to write; its folder is made if need be.
    title, lead
        Heading, and the sentence below it.
    facts
        Numbers in large type.
    notices
        Pairs of a kind ("good", "bad", "partial" or "open") and a sentence.
    figures, tables
        By name; matplotlib figures and tables.
    captions
        By the name of a figure or table.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    ValueError
        For another kind of notice.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     page = write_card(
    ...         pathlib.Path(folder) / "card.html",
    ...         title="A probe",
    ...         lead="100 examples",
    ...         facts=[Fact("Error", "5 %", "4 to 6 %")],
    ...         notices=[("good", "Nothing speaks against it.")],
    ...         figures={},
    ...         tables={},
    ...         captions={},
    ...     ).read_text()
    >>> "5 %" in page and "http" not in page
    True
    """
    for kind, _ in notices:
        check_option("notices", kind, tuple(_KINDS))
    parts = [f'<header class="masthead"><h1>{escape(title)}</h1><p class="lead">{escape(lead)}</p></header>']
    parts.append('<dl class="facts">')
    for fact in facts:
        parts.append(f"<div><dt>{escape(fact.name)}</dt><dd>{escape(fact.value)}</dd>")
        parts.append(f'<dd class="note">{escape(fact.note)}</dd></div>')
    parts.append('</dl><ul class="notices">')
    for kind, text in notices:
        badge = f'<span class="badge {kind}" aria-hidden="true">{_KINDS[kind]}</span>'
        parts.append(f"<li>{badge}<span>{escape(text)}</span></li>")
    parts.append('</ul><div class="figures">')
    for index, (name, figure) in enumerate(figures.items(), start=1):
        parts.append(figure_block(name, figure, captions.get(name, ""), f"f{index}-"))
    parts.append("</div>")
    for name, table in tables.items():
        parts += ["<h3></h3>", table_block(name, table, captions.get(name, ""))]
    return write_page(path, title, "\n".join(parts))
