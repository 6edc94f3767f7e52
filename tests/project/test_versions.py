"""One version everywhere, and the names of the version before."""

import importlib
import pathlib
import re
import sys
import tomllib
import warnings

import pytest

import verax

ROOT = pathlib.Path(__file__).parents[2]


def test_every_file_states_the_same_version():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    cited = re.findall(r"^ *version: (\S+)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    latest = re.search(r"^## \[(\d\S*)\] - \d{4}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    assert cited == [declared, declared]
    assert latest is not None
    assert latest[1] == declared


@pytest.mark.parametrize(
    ("old", "new", "name"),
    [
        ("verax.matching.learning", "verax.matching", "match_ucb"),
        ("verax.evals.interop", "verax.evals", "from_inspect"),
    ],
)
def test_a_moved_name_works_and_says_where_it_went(old, new, name):
    module = importlib.import_module(old)
    with pytest.warns(DeprecationWarning, match=rf"^{old}\.{name} is now {new}\.{name}$"):
        found = getattr(module, name)
    assert found is getattr(importlib.import_module(new), name)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = module.nothing


def test_importing_a_package_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        for package in ("matching", "evals"):
            assert getattr(verax, package) is sys.modules[f"verax.{package}"]
