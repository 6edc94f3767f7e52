"""Reading of saved reports."""

import pathlib
from typing import Any

from verax._errors import check, fail
from verax._files import read_json, read_text

from ._document import FORMAT, claim_from_json, decode, figure_paths
from ._figures import StoredFigure
from ._report import Report, Table


def load_report(folder: str | pathlib.Path) -> Report:
    """Read a report that ``Report.save`` wrote.

    Parameters
    ----------
    folder
        The folder that holds ``report.json``.

    Returns
    -------
    Report
        With the same claims, tables, captions, configuration and times; figures are :class:`StoredFigure`, and criteria
        keep their words only.

    Raises
    ------
    ValueError
        If the folder holds no report, one of another format, or one that is damaged.
    FileNotFoundError
        If the drawing of a figure is missing.

    Examples
    --------
    >>> import tempfile
    >>> report = Report("A title", "Authors, 2022", [], {}, {}, {"n": 100}, {}, 1.5)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     load_report(report.save(folder)) == report
    True
    """
    folder = pathlib.Path(folder)
    path = folder / "report.json"
    check(path.is_file(), "folder", f"{str(folder)!r} without report.json", "a folder that Report.save wrote")
    document = decode(read_json("folder", path))
    found = document.get("format") if isinstance(document, dict) else None
    check(found == FORMAT, "folder", f"a report of format {found!r}", f"format {FORMAT}")
    try:
        return _report(document, folder)
    except KeyError as error:
        wrong = f"{path} without {error.args[0]!r}"
    except (TypeError, AttributeError, RecursionError):
        wrong = f"{path}, whose fields are of other kinds"
    return fail("folder", wrong, "a folder that Report.save wrote")


def _report(document: dict[str, Any], folder: pathlib.Path) -> Report:
    names = [str(name) for name in document["figures"]]
    figures = {
        name: StoredFigure(png=png.read_bytes(), svg=read_text("folder", svg))
        for name, (png, svg) in zip(names, figure_paths(folder, names), strict=True)
    }
    return Report(
        title=document["title"],
        citation=document["citation"],
        claims=[claim_from_json(claim) for claim in document["claims"]],
        tables={name: Table(table["columns"], table["rows"]) for name, table in document["tables"].items()},
        figures=figures,
        config=document["config"],
        environment=document["environment"],
        seconds=document["seconds"],
        planned_seconds=document["planned_seconds"],
        captions=document["captions"],
    )
