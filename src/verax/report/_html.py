"""Reports as one self-contained HTML page: inline styles and images, no scripts, nothing fetched."""

import base64
import collections
import html
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from verax._errors import check
from verax._files import write_file

from ._claim import EVIDENCE, EVIDENCE_MEANINGS, VERDICT_MEANINGS, VERDICTS, Claim
from ._figures import StoredFigure, render
from ._report import Report, Table
from ._text import duration, measured_text, number, slug, to_plain

# Shape and word carry the verdict as well as colour does.
_BADGES = {
    "reproduced": ("good", "✓"),
    "not reproduced": ("bad", "✕"),
    "analogue only": ("partial", "≈"),
    "not tested at this scale": ("open", "○"),
    "not testable here": ("open", "\N{EN DASH}"),
}

# A drawing larger than this (a scatter of many thousands of points) is shown as its image instead.
_MAX_SVG_BYTES = 1_500_000

# What matplotlib draws with. A drawing from a file that holds anything else, or any handler, is shown as its image.
_SVG_TAGS = frozenset(
    [
        "svg",
        "g",
        "defs",
        "path",
        "use",
        "clipPath",
        "rect",
        "image",
        "text",
        "tspan",
        "circle",
        "line",
        "polygon",
        "polyline",
    ]
)


def write_html(reports: Sequence[Report], path: str | pathlib.Path, *, title: str = "Verax report") -> pathlib.Path:
    """Write reports as one self-contained page, light or dark as the reader's system asks.

    Parameters
    ----------
    reports
        The reports, in the order in which they appear.
    path
        The file to write; its folder is made if need be.
    title
        Title of the page.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    ValueError
        If there is no report.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> report = Report("A title", "Authors, 2022", [], {}, {}, {"n": 100}, {}, 1.5)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     page = write_html([report], pathlib.Path(folder) / "index.html").read_text()
    >>> "A title" in page and "http" not in page
    True
    """
    check(len(reports) > 0, "reports", "none", "at least one Report")
    anchors = [f"{index}-{slug(report.title)}" for index, report in enumerate(reports, start=1)]
    body = "\n".join(_section(report, anchor) for report, anchor in zip(reports, anchors, strict=True))
    return write_page(path, title, f"{_masthead(reports, anchors, title)}\n{body}")


def write_page(path: str | pathlib.Path, title: str, body: str) -> pathlib.Path:
    """Write a body into the page that all results share."""
    path = pathlib.Path(path)
    style = pathlib.Path(__file__).with_name("style.css").read_text(encoding="utf-8")
    page = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(title)}</title>
<style>
{style}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""
    write_file(path, lambda file: file.write(page.encode("utf-8", "replace")))
    return path


def escape(text: Any) -> str:
    """Text as HTML."""
    return html.escape(str(text), quote=True)


def _masthead(reports: Sequence[Report], anchors: Sequence[str], title: str) -> str:
    counts = collections.Counter(claim.verdict for report in reports for claim in report.claims)
    tally = "".join(
        f'<li>{_badge(verdict)} <span class="count">{counts[verdict]}</span></li>'
        for verdict in VERDICTS
        if counts[verdict]
    )
    contents = ""
    if len(reports) > 1:
        items = "".join(
            f'<li><a href="#{anchor}">{escape(report.title)}</a></li>'
            for report, anchor in zip(reports, anchors, strict=True)
        )
        contents = f'<nav aria-label="Papers"><ol>{items}</ol></nav>'
    papers = "1 paper" if len(reports) == 1 else f"{len(reports)} papers"
    claims = sum(counts.values())
    took = duration(sum(report.seconds for report in reports))
    return f"""<header class="masthead">
<h1>{escape(title)}</h1>
<p class="lead">{papers}, {claims} {"claim" if claims == 1 else "claims"}, {took}.
Every criterion was fixed before the run.</p>
<ul class="tally">{tally}</ul>
{_legend(reports)}
{contents}
</header>"""


def _legend(reports: Sequence[Report]) -> str:
    """The meaning of each verdict and each kind of evidence on the page."""
    claims = [claim for report in reports for claim in report.claims]
    if not claims:
        return ""
    verdicts = [
        f"<div><dt>{_badge(verdict)}</dt><dd>{escape(VERDICT_MEANINGS[verdict])}</dd></div>"
        for verdict in VERDICTS
        if any(claim.verdict == verdict for claim in claims)
    ]
    evidence = [
        f'<div><dt class="evidence">{escape(kind)}</dt><dd>{escape(EVIDENCE_MEANINGS[kind])}</dd></div>'
        for kind in EVIDENCE
        if any(claim.evidence == kind for claim in claims)
    ]
    return f"""<div class="legend">
<dl aria-label="Verdicts">{"".join(verdicts)}</dl>
<dl aria-label="Evidence">{"".join(evidence)}</dl>
</div>"""


def _section(report: Report, anchor: str) -> str:
    prefix = "p" + anchor.split("-", 1)[0]
    planned = "" if report.planned_seconds is None else f"planned {duration(report.planned_seconds)}, "
    parts = [
        f'<section class="paper" id="{anchor}">',
        f"<h2>{escape(report.title)}</h2>",
        f'<p class="citation">{escape(report.citation)}</p>',
        f'<p class="time">{planned}took {duration(report.seconds)}</p>',
    ]
    if report.claims:
        parts.append(_claims(report.claims))
    if report.figures:
        parts += ["<h3>Figures</h3>", '<div class="figures">']
        for index, (name, figure) in enumerate(report.figures.items(), start=1):
            parts.append(figure_block(name, figure, report.captions.get(name, ""), f"{prefix}f{index}-"))
        parts.append("</div>")
    if report.tables:
        parts.append("<h3>Tables</h3>")
        parts += [table_block(name, table, report.captions.get(name, "")) for name, table in report.tables.items()]
    parts += ['<div class="settings">', _settings("Configuration", to_plain(report.config))]
    parts += [_settings("Environment", report.environment), "</div>", "</section>"]
    return "\n".join(parts)


def _badge(verdict: str) -> str:
    kind, sign = _BADGES[verdict]
    return f'<span class="badge {kind}"><span aria-hidden="true">{sign}</span> {escape(verdict)}</span>'


_UNTESTED = ("not tested at this scale", "not testable here")


def _claims(claims: Sequence[Claim]) -> str:
    """The claims that were judged, and, folded, those that were not."""
    judged = [claim for claim in claims if claim.verdict not in _UNTESTED]
    others = [claim for claim in claims if claim.verdict in _UNTESTED]
    parts = ["<h3>Claims</h3>"]
    if judged:
        parts.append(_claims_table(judged))
    if others:
        number_of = f"{len(others)} {'claim' if len(others) == 1 else 'claims'}"
        parts.append(
            f'<details class="untested"><summary>{number_of} not tested in this run</summary>'
            f"{_claims_table(others)}</details>"
        )
    return "\n".join(parts)


def _claims_table(claims: Sequence[Claim]) -> str:
    rows = []
    for claim in claims:
        seeds = "" if not claim.seeds else f"{claim.seeds} {'seed' if claim.seeds == 1 else 'seeds'}"
        details = ", ".join(part for part in (seeds, claim.evidence) if part)
        quantity = f'<span class="note">{escape(claim.quantity)}</span>' if claim.quantity else ""
        missed = "The measured value does not meet the criterion."
        why = (claim.reason or missed) if claim.verdict == "not reproduced" else ""
        reason = f'<p class="reason">{escape(why)}</p>' if why else ""
        rows.append(f"""<tr>
<td class="statement"><p>{escape(claim.statement)}</p>
{reason}<p class="note"><span>{escape(claim.source)}</span>
<span>Criterion: {escape(claim.criterion.text)}</span></p></td>
<td class="figure" data-label="Published">{escape(number(claim.published))}</td>
<td class="figure" data-label="Measured">{escape(measured_text(claim))}
{quantity}<span class="note">{escape(details)}</span></td>
<td class="verdict">{_badge(claim.verdict)}</td>
</tr>""")
    return f"""<div class="scroll"><table class="claims">
<thead><tr><th scope="col">Claim</th><th scope="col" class="figure">Published</th>
<th scope="col" class="figure">Measured</th><th scope="col">Verdict</th></tr></thead>
<tbody>
{"".join(rows)}
</tbody></table></div>"""


def table_block(name: str, table: Table, caption: str) -> str:
    """A table under its name and caption."""
    numeric = [
        all(isinstance(row[index], int | float | None) for row in table.rows) for index in range(len(table.columns))
    ]
    kinds = [' class="figure"' if is_numeric else "" for is_numeric in numeric]
    head = "".join(
        f'<th scope="col"{kind}>{escape(column)}</th>' for column, kind in zip(table.columns, kinds, strict=True)
    )
    rows = "\n".join(
        "<tr>"
        + "".join(f"<td{kind}>{escape(number(entry))}</td>" for entry, kind in zip(row, kinds, strict=True))
        + "</tr>"
        for row in table.rows
    )
    note = f'<span class="note">{escape(caption)}</span>' if caption else ""
    return f"""<div class="scroll tall"><table class="data">
<caption>{escape(name)}{note}</caption>
<thead><tr>{head}</tr></thead>
<tbody>
{rows}
</tbody></table></div>"""


def figure_block(name: str, figure: Any, caption: str, prefix: str) -> str:
    """A figure above its name and caption; ``prefix`` keeps the names of its parts apart from other figures'."""
    drawn = render(figure)
    note = f'<span class="note">{escape(caption)}</span>' if caption else ""
    wide = " wide" if _aspect(drawn.svg) > 2.2 else ""
    drawing = _drawing(drawn, name, prefix)
    return f'<figure class="plot{wide}">{drawing}<figcaption>{escape(name)}{note}</figcaption></figure>'


def _drawing(drawn: StoredFigure, name: str, prefix: str) -> str:
    svg = _inline_svg(drawn.svg, name, prefix)
    if svg is not None:
        return svg
    data = base64.b64encode(drawn.png).decode("ascii")
    return f'<img class="bitmap" alt="{escape(name)}" src="data:image/png;base64,{data}">'


def _aspect(svg: str) -> float:
    found = re.search(r'viewBox="0 0 ([0-9.]+) ([0-9.]+)"', svg)
    return float(found[1]) / float(found[2]) if found else 1.0


def _inline_svg(svg: str, name: str, prefix: str) -> str | None:
    """Make a drawing part of the page: names of its own for its parts; ink and paper that follow the page's colours."""
    start = svg.find("<svg")
    if start < 0 or len(svg) > _MAX_SVG_BYTES:
        return None
    svg = svg[start:]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<style[^>]*>.*?</style>", "", svg, flags=re.DOTALL)  # its rules would reach the whole page
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", svg)
    svg = svg.replace("xlink:href=", "href=")
    if not _is_plain(svg):
        return None
    svg = re.sub(r'\bid="([^"]*)"', rf'id="{prefix}\1"', svg)
    svg = re.sub(r'href="#([^"]*)"', rf'href="#{prefix}\1"', svg)
    svg = re.sub(r"url\(#([^)]*)\)", rf"url(#{prefix}\1)", svg)
    svg = re.sub(r"#000000\b", "currentColor", svg)
    svg = re.sub(r"#ffffff\b", "var(--surface)", svg)
    # Glyph outlines carry no colour of their own; without one they would be black on any page.
    opening, rest = svg.split(">", 1)
    opening = re.sub(r'\s(width|height)="[^"]*"', "", opening)
    return f'{opening} fill="currentColor" role="img" aria-label="{escape(name)}">{rest.strip()}'


def _is_plain(svg: str) -> bool:
    tags = set(re.findall(r"<\s*([A-Za-z][\w:.-]*)", svg))
    targets = re.findall(r"""\bhref\s*=\s*["']([^"']*)""", svg)
    local = all(target.startswith(("#", "data:image/png;base64,")) for target in targets)
    urls = re.findall(r"url\(\s*([^)]*)\)", svg)
    return (
        tags <= _SVG_TAGS
        and local
        and all(url.startswith("#") for url in urls)
        and re.search(r"\son\w+\s*=", svg, flags=re.IGNORECASE) is None
    )


def _settings(heading: str, values: Mapping[str, Any]) -> str:
    if not values:
        return ""
    rows = "".join(
        f"<tr><th scope='row'>{escape(name)}</th><td>{escape(_setting(value))}</td></tr>"
        for name, value in values.items()
    )
    return f"<details><summary>{heading}</summary><table>{rows}</table></details>"


def _setting(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_setting(entry) for entry in value)
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_setting(entry)}" for name, entry in value.items())
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else number(value)
