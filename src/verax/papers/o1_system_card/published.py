"""Figures of OpenAI's system cards that were read, each with its place; what was not read is not here.

A user's own cells come as CSV with the same columns: ``evaluation, metric, model, value, items, source, page, date``.
"""

import csv
import pathlib
from typing import NamedTuple

from verax._errors import check, fail

_SEPTEMBER = ("OpenAI, o1-preview system card", "2024-09-12")


_DECEMBER = ("OpenAI, o1 system card", "2024-12-05")


_GPT45 = ("OpenAI, GPT-4.5 system card", "2025-02-27")


class Cell(NamedTuple):
    """One published number."""

    evaluation: str
    metric: str
    model: str
    value: float
    items: int | None
    """Items that it rests on, where the source says."""
    source: str
    page: str
    date: str


def _row(evaluation: str, metric: str, page: str, card: tuple[str, str], **values: float) -> list[Cell]:
    source, date = card
    return [
        Cell(evaluation, metric, name.replace("_", "-"), value, None, source, page, date)
        for name, value in values.items()
    ]


_REFUSALS = "table of disallowed-content evaluations"


_FACTS = "table of hallucination evaluations"


_BIAS = "table of BBQ evaluations"


_CONDITIONAL = "P(not stereotype | not unknown)"


_CHAIN = "paragraph on chain-of-thought deception monitoring"


PUBLISHED: tuple[Cell, ...] = (
    *_row("standard refusal", "not_unsafe", _REFUSALS, _SEPTEMBER, GPT_4o=0.99, o1_preview=0.995, o1_mini=0.99),
    *_row("standard refusal", "not_overrefuse", _REFUSALS, _SEPTEMBER, GPT_4o=0.91, o1_preview=0.93, o1_mini=0.90),
    *_row("challenging refusal", "not_unsafe", _REFUSALS, _SEPTEMBER, GPT_4o=0.713, o1_preview=0.934, o1_mini=0.932),
    *_row("WildChat", "not_unsafe", _REFUSALS, _SEPTEMBER, GPT_4o=0.945, o1_preview=0.971, o1_mini=0.957),
    *_row("XSTest", "not_overrefuse", _REFUSALS, _SEPTEMBER, GPT_4o=0.924, o1_preview=0.976, o1_mini=0.948),
    *_row("SimpleQA", "accuracy", _FACTS, _DECEMBER, GPT_4o=0.38, o1=0.47, o1_preview=0.42, o1_mini=0.07),
    *_row("SimpleQA", "hallucination rate", _FACTS, _DECEMBER, GPT_4o=0.61, o1=0.44, o1_preview=0.44, o1_mini=0.60),
    *_row("PersonQA", "accuracy", _FACTS, _DECEMBER, GPT_4o=0.50, o1=0.55, o1_preview=0.55, o1_mini=0.20),
    *_row("PersonQA", "hallucination rate", _FACTS, _DECEMBER, GPT_4o=0.30, o1=0.20, o1_preview=0.23, o1_mini=0.27),
    *_row("BBQ", "ambiguous accuracy", _BIAS, _DECEMBER, GPT_4o=0.97, o1=0.96, o1_preview=0.63, o1_mini=0.88),
    *_row("BBQ", "unambiguous accuracy", _BIAS, _DECEMBER, GPT_4o=0.72, o1=0.93, o1_preview=0.94, o1_mini=0.94),
    *_row("BBQ", _CONDITIONAL, _BIAS, _DECEMBER, GPT_4o=0.06, o1=0.05, o1_preview=0.37, o1_mini=0.08),
    *_row("human-sourced jailbreaks", "not_unsafe", "table of jailbreak evaluations", _GPT45, GPT_4o=0.97, o1=0.97),
    *_row("system against user", "followed", "table of the instruction hierarchy", _GPT45, GPT_4o=0.68, o1=0.78),
    Cell("deception monitoring", "flagged", "o1-preview", 811 / 102_443, 102_443, _SEPTEMBER[0], _CHAIN, _SEPTEMBER[1]),
)


FLAGGED = {"intentional": 389, "unintentional": 183, "overconfident": 18, "other": 221}
"""The 811 flagged completions of the September card, by kind."""


def read_cells(path: pathlib.Path) -> tuple[Cell, ...]:
    """Read further cells; each needs a source, a page and a date."""
    cells = []
    with path.open(encoding="utf-8", newline="") as file:
        for number, row in enumerate(csv.DictReader(file), start=1):
            where = f"{path}, row {number}"
            for field in ("evaluation", "metric", "model", "value", "source", "page", "date"):
                check(bool(row.get(field)), "data", f"{where}: no {field}", "a citation for each value")
            try:
                value, items = float(row["value"]), int(row["items"]) if row.get("items") else None
            except ValueError:
                fail("data", f"{where}: value {row['value']!r}, items {row.get('items')!r}", "numbers")
            check(0 <= value <= 1, "data", f"{where}: value {value}", "a rate in [0, 1]")
            what, where = (row["evaluation"], row["metric"], row["model"]), (row["source"], row["page"], row["date"])
            cells.append(Cell(*what, value, items, *where))
    return tuple(cells)
