"""Reports on disk: JSON for the words and numbers, PNG and SVG for the figures."""

import json
import math
import pathlib
import re
from typing import Any

from verax._errors import check

from ._claim import Claim, Criterion
from ._figures import StoredFigure, render
from ._report import Report, Table

_FORMAT = 1
_CLAIM_FIELDS = ("statement", "source", "published", "measured", "standard_error", "seeds", "evidence", "verdict")


def save_report(report: Report, folder: pathlib.Path) -> pathlib.Path:
    """Write a report; see ``Report.save``."""
    folder.mkdir(parents=True, exist_ok=True)
    document = {
        "format": _FORMAT,
        "title": report.title,
        "citation": report.citation,
        "claims": [_claim_to_json(claim) for claim in report.claims],
        "tables": {name: {"columns": table.columns, "rows": table.rows} for name, table in report.tables.items()},
        "figures": list(report.figures),
        "captions": report.captions,
        "config": report.config,
        "environment": report.environment,
        "seconds": report.seconds,
        "planned_seconds": report.planned_seconds,
    }
    for stale in (folder / "figures").glob("[0-9][0-9]-*.[ps][nv]g"):  # of an earlier report in the same folder
        stale.unlink()
    for (png, svg), figure in zip(_figure_paths(folder, list(report.figures)), report.figures.values(), strict=True):
        drawn = render(figure)
        png.parent.mkdir(exist_ok=True)
        png.write_bytes(drawn.png)
        svg.write_text(drawn.svg, encoding="utf-8")
    text = json.dumps(_encode(document), indent=1, ensure_ascii=False, allow_nan=False)
    (folder / "report.json").write_text(text + "\n", encoding="utf-8")
    return folder


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
        If the folder holds no report, or one of another format.

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
    document = _decode(json.loads(path.read_text(encoding="utf-8")))
    found = document.get("format") if isinstance(document, dict) else None
    check(found == _FORMAT, "folder", f"a report of format {found!r}", f"format {_FORMAT}")
    names = document["figures"]
    figures = {
        name: StoredFigure(png=png.read_bytes(), svg=svg.read_text(encoding="utf-8"))
        for name, (png, svg) in zip(names, _figure_paths(folder, names), strict=True)
    }
    return Report(
        title=document["title"],
        citation=document["citation"],
        claims=[_claim_from_json(claim) for claim in document["claims"]],
        tables={name: Table(table["columns"], table["rows"]) for name, table in document["tables"].items()},
        figures=figures,
        config=document["config"],
        environment=document["environment"],
        seconds=document["seconds"],
        planned_seconds=document["planned_seconds"],
        captions=document["captions"],
    )


def slug(name: str) -> str:
    """Return a name made of lower-case letters, digits and hyphens, fit for a file or an anchor."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "item"


def _figure_paths(folder: pathlib.Path, names: list[str]) -> list[tuple[pathlib.Path, pathlib.Path]]:
    # The position in the list keeps names apart that differ in punctuation only.
    stems = [f"{index:02d}-{slug(name)}" for index, name in enumerate(names, start=1)]
    return [(folder / "figures" / f"{stem}.png", folder / "figures" / f"{stem}.svg") for stem in stems]


def _claim_to_json(claim: Claim) -> dict[str, Any]:
    criterion = {"text": claim.criterion.text, "when_met": claim.criterion.when_met}
    return {**{name: getattr(claim, name) for name in _CLAIM_FIELDS}, "criterion": criterion}


def _claim_from_json(document: dict[str, Any]) -> Claim:
    criterion = document["criterion"]
    return Claim(
        **{name: document[name] for name in _CLAIM_FIELDS},
        criterion=Criterion(criterion["text"], None, criterion["when_met"]),
    )


def _encode(value: Any) -> Any:
    """JSON has no NaN or infinity; they travel as ``{"float": "nan"}``."""
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    if isinstance(value, dict):
        return {name: _encode(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_encode(entry) for entry in value]
    return value


def _decode(value: Any) -> Any:
    if isinstance(value, dict):
        if list(value) == ["float"] and value["float"] in ("nan", "inf", "-inf"):
            return float(value["float"])
        return {name: _decode(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [_decode(entry) for entry in value]
    return value
