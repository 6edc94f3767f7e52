"""A report: what a run of a paper claims, measured and drew."""

import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol, runtime_checkable

from verax._errors import check, fail
from verax._files import write_file
from verax._results import result

from ._claim import Claim
from ._document import FORMAT, claim_to_json, encode, figure_paths
from ._figures import render
from ._text import claim_lines, duration, to_plain


@result()
@dataclasses.dataclass(frozen=True)
class Table:
    """A table of numbers and words.

    Parameters
    ----------
    columns
        One heading per column.
    rows
        Rows of strings, numbers, booleans or ``None``; NumPy scalars become Python's.

    Raises
    ------
    ValueError
        If a row has another length than ``columns``, or an entry is of another kind.

    Examples
    --------
    >>> table = Table(("ridge", "risk"), [(1e-3, 0.25), (1e-2, 0.21)])
    >>> table.column("risk")
    (0.25, 0.21)
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]

    def __post_init__(self):
        object.__setattr__(self, "columns", tuple(str(column) for column in self.columns))
        rows = tuple(tuple(to_plain(entry) for entry in row) for row in self.rows)
        for index, row in enumerate(rows):
            check(
                len(row) == len(self.columns),
                f"rows[{index}]",
                f"{len(row)} entries",
                f"{len(self.columns)}, one a column",
            )
            for entry in row:
                if not isinstance(entry, str | int | float | None):
                    fail(f"rows[{index}]", type(entry).__name__, "strings, numbers, booleans or None")
        object.__setattr__(self, "rows", rows)

    def column(self, name: str) -> tuple[Any, ...]:
        """Return the entries of one column."""
        check(name in self.columns, "name", repr(name), f"one of {list(self.columns)}")
        index = self.columns.index(name)
        return tuple(row[index] for row in self.rows)


@runtime_checkable
class DataclassLike(Protocol):
    """An instance of any dataclass."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]


@result()
@dataclasses.dataclass(frozen=True)
class Report:
    """The outcome of one run of a paper.

    Parameters
    ----------
    title, citation
        Title and citation of the paper.
    claims
        The claims and their verdicts.
    tables
        Tables by name.
    figures
        matplotlib figures by name; in a report read back from a folder, :class:`StoredFigure`.
    config
        The run's configuration, a dataclass or a mapping; kept as a dictionary of plain values.
    environment
        Versions, devices and precision, from :func:`environment`.
    seconds
        What the run took.
    planned_seconds
        What the configuration had planned.
    captions
        One sentence for each table or figure that needs one, by name.

    Raises
    ------
    ValueError
        If ``seconds`` is negative, or a caption names no table or figure.

    Examples
    --------
    >>> report = Report("A title", "Authors, 2022", [], {}, {}, {"n": 100}, {}, 1.5, planned_seconds=2.0)
    >>> print(report)
    A title
    Authors, 2022
    planned 2.0 s, took 1.5 s
    """

    title: str
    citation: str
    claims: Sequence[Claim]
    tables: Mapping[str, Table]
    figures: Mapping[str, Any]
    config: "DataclassLike | Mapping[str, object]"
    environment: Mapping[str, Any]
    seconds: float | int
    planned_seconds: float | int | None = None
    captions: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        check(self.seconds >= 0, "seconds", self.seconds, "a number >= 0")
        unknown = sorted(set(self.captions) - set(self.tables) - set(self.figures))
        check(not unknown, "captions", f"{unknown}", "names of tables or figures of this report")
        for name in ("tables", "figures", "captions"):
            object.__setattr__(self, name, dict(getattr(self, name)))
        object.__setattr__(self, "claims", tuple(self.claims))
        for name in ("config", "environment"):
            plain = to_plain(getattr(self, name))
            check(isinstance(plain, dict), name, type(getattr(self, name)).__name__, "a dataclass or a mapping")
            object.__setattr__(self, name, plain)

    def __str__(self) -> str:
        planned = "" if self.planned_seconds is None else f"planned {duration(self.planned_seconds)}, "
        lines = [self.title, self.citation, f"{planned}took {duration(self.seconds)}"]
        return "\n".join(lines + [line for claim in self.claims for line in claim_lines(claim)])

    def save(self, folder: str | pathlib.Path) -> pathlib.Path:
        """Write ``report.json`` and each figure as PNG and SVG into a folder, and return the folder.

        :func:`load_report` reads it back. Criteria keep their words and verdicts, not their code.
        """
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        names = list(self.figures)
        document = {
            "format": FORMAT,
            "title": self.title,
            "citation": self.citation,
            "claims": [claim_to_json(claim) for claim in self.claims],
            "tables": {name: {"columns": table.columns, "rows": table.rows} for name, table in self.tables.items()},
            "figures": names,
            "captions": self.captions,
            "config": self.config,
            "environment": self.environment,
            "seconds": self.seconds,
            "planned_seconds": self.planned_seconds,
        }
        for stale in (folder / "figures").glob("[0-9][0-9]-*.[ps][nv]g"):  # of an earlier report in the same folder
            stale.unlink()
        for (png, svg), figure in zip(figure_paths(folder, names), self.figures.values(), strict=True):
            drawn = render(figure)
            write_file(png, lambda file, drawn=drawn: file.write(drawn.png))
            write_file(svg, lambda file, drawn=drawn: file.write(drawn.svg.encode()))
        text = json.dumps(encode(document), indent=1, ensure_ascii=False, allow_nan=False)
        write_file(folder / "report.json", lambda file: file.write(f"{text}\n".encode()))
        return folder
