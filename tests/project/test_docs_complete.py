"""Every public name has its place in the documentation, and every paper its page."""

import importlib
import pathlib
import re
import types

import pytest

import verax

API = pathlib.Path(__file__).parents[2] / "docs" / "api"
PAGES = sorted(page.stem for page in API.glob("*.md") if page.stem != "index")


def public(module):
    return {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType) and name != "annotations"
    }


def documented(page):
    """Names by module, as the page's summary tables list them."""
    names, module = {}, None
    for line in (API / f"{page}.md").read_text(encoding="utf-8").splitlines():
        if found := re.match(r"\.\. currentmodule:: (\S+)", line):
            module = found[1]
            names[module] = set()
        elif found := re.match(r"   (\w+)$", line):
            names[module].add(found[1])
    return names


def test_every_package_has_a_page():
    assert set(verax._SUBMODULES) - {"cli", "kernels"} == set(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_every_public_name_is_on_its_page(page):
    for name, listed in documented(page).items():
        module = importlib.import_module(name)
        exported = {attribute for attribute in public(module) if name != "verax.papers" or attribute in listed}
        assert exported - listed == set(), f"not documented on docs/api/{page}.md"
        assert listed - set(dir(module)) == set(), f"documented on docs/api/{page}.md, but not exported"
