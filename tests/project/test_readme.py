"""The code on the front page and in the guide runs, in the order in which it stands."""

import pathlib
import re

import jax
import pytest

ROOT = pathlib.Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs" / "guide").glob("*.md"))]


def program(page):
    """The page's Python blocks as one program; other lines stay as blanks, so that errors name lines of the page."""
    lines, inside = [], False
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            inside = line == "```python"
            lines.append("")
        else:
            lines.append(line if inside else "")
    return "\n".join(lines)


@pytest.mark.parametrize("page", [page for page in PAGES if program(page).strip()], ids=lambda page: page.name)
def test_code_runs(page, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with jax.numpy_dtype_promotion("standard"):  # as readers have it
        exec(compile(program(page), str(page), "exec"), {"__name__": "__main__"})


def test_the_front_page_has_an_example():
    assert "RidgeProbe" in program(ROOT / "README.md")


def test_links_of_the_front_page_lead_somewhere():
    links = re.findall(r"\]\(([^)#]+)\)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert links
    assert [link for link in links if not link.startswith("http") and not (ROOT / link).exists()] == []
