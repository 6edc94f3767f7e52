import html.parser
import re

import pytest

from verax.report import (
    VERDICTS,
    Claim,
    Criterion,
    Report,
    StoredFigure,
    Table,
    render,
    subplots,
    terminal_table,
    write_html,
)

VOID = {"meta", "img", "br", "link"}


class Outline(html.parser.HTMLParser):
    """Checks nesting, and collects what could be fetched or run."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.ids, self.targets = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.ids += [value for name, value in attrs if name == "id"]
        self.targets += [value for name, value in attrs if name in ("href", "src", "action", "data", "srcset")]
        assert not any(name.startswith("on") for name, _ in attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def make(figures, title="A <b>title</b>"):
    rule = Criterion("x > 0 & y < 1", lambda measured, standard_error: measured > 0)
    stand_in = Criterion("x > 0", lambda measured, standard_error: measured > 0, when_met="analogue only")
    claims = [
        Claim("Claim <1>", "abstract", None, 1.0, 0.0123, 3, "real data", rule),
        Claim("Claim 2", "abstract", "19.9 % test error", -1.0, None, 1, "real data", rule),
        Claim("Claim 3", "abstract", None, 1.0, None, 1, "real data", stand_in),
        Claim("Claim 4", "abstract", None, None, None, 0, "real data", rule, "not tested at this scale"),
        Claim("Claim 5", "abstract", None, None, None, 0, "real data", rule, "not testable here"),
    ]
    tables = {"Risks": Table(("ridge", "network"), [(1e-6, "a<b"), (None, "c")])}
    return Report(title, "Authors, 2022", claims, tables, figures, {"n": (1, 2)}, {"jax": "0.10"}, 75.0, 40.0)


@pytest.fixture(scope="module")
def drawing():
    figure, axes = subplots()
    axes.plot([1, 2], [3, 4], color="C1")
    axes.set_title(r"$\lambda$")
    return render(figure)


def outline(page):
    parser = Outline()
    parser.feed(page.split(">", 1)[1])  # past the doctype
    parser.close()
    assert parser.open == []
    return parser


def test_the_page_stands_alone(drawing, tmp_path):
    reports = [make({"One": drawing, "Two": drawing}), make({"One": drawing}, "Another")]
    page = write_html(reports, tmp_path / "a" / "index.html").read_text()
    parsed = outline(page)
    assert {"script", "link", "iframe", "object", "foreignobject"}.isdisjoint(parsed.tags)
    assert all(target.startswith(("#", "data:")) for target in parsed.targets)
    assert "http" not in page
    assert "@import" not in page
    assert parsed.tags.count("svg") == 3
    # Every id is unique, and every reference within the page finds its own.
    assert len(parsed.ids) == len(set(parsed.ids))
    references = [target[1:] for target in parsed.targets if target.startswith("#")]
    references += re.findall(r"url\(#([^)]*)\)", page)
    assert set(references) <= set(parsed.ids)


def test_everything_is_shown_and_escaped(drawing, tmp_path):
    page = write_html([make({"One": drawing})], tmp_path / "index.html").read_text()
    for verdict in VERDICTS:
        assert f"</span> {verdict}</span>" in page
    assert "<b>title" not in page
    assert "A &lt;b&gt;title&lt;/b&gt;" in page
    assert "Claim &lt;1&gt;" in page
    assert "x &gt; 0 &amp; y &lt; 1" in page
    assert "1.000 ± 0.012" in page
    assert "19.9 % test error" in page
    assert "planned 40.0 s, took 1 min 15 s" in page
    assert "a&lt;b" in page
    assert "1e-6" in page


def test_light_and_dark(drawing, tmp_path):
    page = write_html([make({"One": drawing})], tmp_path / "index.html").read_text()
    assert "prefers-color-scheme: dark" in page
    drawn = page[page.index("<svg") : page.index("</svg>")]
    # Ink and paper follow the page; colours of the data stay.
    assert "#000000" not in drawn
    assert "#ffffff" not in drawn
    assert "currentColor" in drawn
    assert "#d9822b" in drawn


@pytest.mark.parametrize(
    "svg",
    [
        '<svg><script>alert("x")</script></svg>',
        '<svg><g onclick="x()"></g></svg>',
        '<svg><image href="//elsewhere/x.png"/></svg>',
        "<svg><image href='//elsewhere/x.png'/></svg>",
        "<svg><foreignObject></foreignObject></svg>",
        '<svg><rect style="fill: url(//elsewhere)"/></svg>',
        "<svg>" + "<g></g>" * 300_000 + "</svg>",
        "no drawing at all",
    ],
    ids=["script", "handler", "fetch", "fetch in single quotes", "foreign", "url", "large", "nothing"],
)
def test_a_strange_or_large_drawing_is_shown_as_its_image(svg, tmp_path):
    page = write_html([make({"One": StoredFigure(png=b"png", svg=svg)})], tmp_path / "index.html").read_text()
    outline(page)
    assert "elsewhere" not in page
    assert "<svg" not in page
    assert 'src="data:image/png;base64,cG5n"' in page


def test_terminal_table_names_every_claim_and_verdict():
    table = terminal_table(make({}))
    verdicts, claims, _, measured = ([str(cell) for cell in column.cells] for column in table.columns)
    assert tuple(verdicts) == VERDICTS
    assert claims[0] == "Claim <1>\nCriterion: x > 0 & y < 1"
    assert measured[0] == "1.000 ± 0.012\n3 seeds, real data"
    assert table.caption == "planned 40.0 s, took 1 min 15 s"
