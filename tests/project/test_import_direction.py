"""The direction of imports: the command line over the papers over the rooms over the shared helpers, never back.

Every import statement counts, those inside functions too, and so does ``importlib.import_module("...")``.
"""

import ast
import dataclasses
import functools
import graphlib
import pathlib
import re
from collections.abc import Iterator

import pytest

ROOT = pathlib.Path(__file__).parents[2]

# A module directly under verax whose name begins with an underscore is a helper, and stands here as "helpers".
ROOMS = {
    "evals",
    "ntk",
    "spectral",
    "federated",
    "matching",
    "online",
    "probe",
    "organisms",
    "audit",
    "shift",
    "influence",
}
BELOW = {"helpers", "parallel", "kernels"}

# Package -> the packages of verax that it may import, itself apart.
MAY_IMPORT = {
    "cli": {"commands", "papers", "report", "models", "data", *ROOMS, *BELOW},
    "commands": {"report", *ROOMS, *BELOW},
    "papers": {"report", "models", "data", *ROOMS, *BELOW},
    "report": BELOW,
    "models": BELOW,
    "data": BELOW,
    "ntk": BELOW,
    "spectral": BELOW,
    "federated": {"ntk", "spectral", *BELOW},
    "gradients": {"ntk", *BELOW},
    "influence": {"gradients", "ntk", "spectral", *BELOW},
    "probe": {"spectral", *BELOW},
    "evals": BELOW,
    "matching": BELOW,
    "online": BELOW,
    "organisms": {"evals", *BELOW},
    "audit": {"matching", "ntk", *BELOW},
    "shift": {"ntk", "matching", *BELOW},
    "parallel": {"helpers", "kernels"},
    "helpers": {"helpers"},
    "kernels": set(),
}

# Other people's packages that only some may import: package -> {importer: whether at the top of the module too}.
FOREIGN = {
    "flax": {"models": True, "ntk": False, "federated": False},
    "tyro": {"cli": True},
    "rich": {"cli": False, "commands": False, "papers": False, "report": False, "helpers": False},
    "matplotlib": {"papers": False, "report": False, "shift": False},
    "beartype": {},
    "pytest": {},
}


@dataclasses.dataclass(frozen=True)
class Import:
    target: str
    line: int
    runs_at_import: bool


@functools.cache
def imports(source: str, package: str) -> tuple[Import, ...]:
    """Every import in a source file, by absolute name; ``package`` is the package that relative imports start from."""

    def visit(node: ast.AST, at_import: bool) -> Iterator[Import]:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            at_import = False
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            at_import = False
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno, at_import)
        if isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, *([base] if base else [])])
            for alias in node.names:
                yield Import(f"{base}.{alias.name}", node.lineno, at_import)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("importlib.import_module", "import_module"):
            match node.args[:1]:
                case [ast.Constant(value=str(name))]:
                    yield Import(name, node.lineno, at_import)
        for child in ast.iter_child_nodes(node):
            yield from visit(child, at_import)

    return tuple(visit(ast.parse(source), True))


def part(module: str) -> str:
    """The package of verax that a module belongs to: ``verax.ntk._plan`` -> ``ntk``, ``verax._tree`` -> ``helpers``."""
    name = [*module.split("."), ""][1]
    if name.startswith("_") and not name.startswith("__"):
        return "helpers"
    return name


def violations(module: str, source: str, *, is_package: bool = False) -> list[str]:
    """What a module imports and may not."""
    here = part(module)
    package = module if is_package else module.rpartition(".")[0]
    found = []
    for item in imports(source, package):
        top, _, rest = item.target.partition(".")
        where = f"{module}:{item.line} imports {item.target}"
        if top == "verax" and rest and rest != "__version__":
            there = part(item.target)
            if there != here and there not in MAY_IMPORT[here]:
                found.append(f"{where}: {here} may import only {sorted(MAY_IMPORT[here])}")
        elif top == "verax" and here == "kernels":
            found.append(f"{where}: kernels may import nothing of verax")
        if top in FOREIGN:
            if here not in FOREIGN[top]:
                found.append(f"{where}: only {sorted(FOREIGN[top])} may import {top}")
            elif item.runs_at_import and not FOREIGN[top][here]:
                found.append(f"{where}: {here} may import {top} inside functions only")
    return found


def modules() -> Iterator[tuple[str, pathlib.Path, bool]]:
    # kernels is a link inside the package; the files are read where they lie.
    for folder, prefix in ((ROOT / "src" / "verax", ("verax",)), (ROOT / "kernels", ("verax", "kernels"))):
        for path in sorted(folder.rglob("*.py")):
            inside = path.relative_to(folder)
            if folder.name == "verax" and inside.parts[0] == "kernels":
                continue
            is_package = path.name == "__init__.py"
            names = inside.parts[:-1] if is_package else (*inside.parts[:-1], path.stem)
            yield ".".join((*prefix, *names)), path, is_package


def test_imports_go_in_one_direction():
    found = []
    checked = 0
    for module, path, is_package in modules():
        if module == "verax":
            continue
        checked += 1
        found += violations(module, path.read_text(encoding="utf-8"), is_package=is_package)
    assert checked > 20
    assert not found, "\n".join(found)


def arrows(sources: dict[str, tuple[str, bool]]) -> dict[str, set[str]]:
    """Modules that each module imports, inside functions too; imports for annotations alone are no dependency.

    A module that looks up a public name of its own package depends on nothing more than it has.
    """
    found = {}
    for module, (source, is_package) in sources.items():
        source = re.sub(r"^if TYPE_CHECKING:\n(?:[ ]+.*\n|\n)+", "", source, flags=re.MULTILINE)
        package = module if is_package else module.rpartition(".")[0]
        found[module] = set()
        for item in imports(source, package):
            target = item.target
            while target and target not in sources:
                target = target.rpartition(".")[0]
            if target and not f"{module}.".startswith(f"{target}."):
                found[module].add(target)
    return found


def test_no_modules_import_each_other_in_a_circle():
    found = arrows({module: (path.read_text(encoding="utf-8"), package) for module, path, package in modules()})
    assert len(found) > 300
    graphlib.TopologicalSorter(found).prepare()


def test_a_circle_is_found_inside_functions_too():
    sources = {"verax.a": ("def f():\n    from verax.b import x", False), "verax.b": ("import verax.a", False)}
    with pytest.raises(graphlib.CycleError):
        graphlib.TopologicalSorter(arrows(sources)).prepare()


def test_no_paper_imports_a_private_name_of_another():
    for module, path, is_package in modules():
        if not module.startswith("verax.papers."):
            continue
        for item in imports(path.read_text(encoding="utf-8"), module if is_package else module.rpartition(".")[0]):
            names = item.target.split(".")
            if names[:2] == ["verax", "papers"] and names[2:3] != module.split(".")[2:3]:
                assert not any(name.startswith("_") for name in names[3:]), f"{module} imports {item.target}"


def test_every_package_has_its_line_in_the_table():
    assert {part(module) for module, _, _ in modules()} - {""} <= set(MAY_IMPORT)


def test_the_package_itself_imports_none_of_its_parts_at_import():
    source = (ROOT / "src" / "verax" / "__init__.py").read_text(encoding="utf-8")
    targets = {item.target.split(".")[0] for item in imports(source, "verax") if item.runs_at_import}
    assert targets == {"importlib"}


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("verax.ntk._plan", "import verax.papers"),
        ("verax.ntk._plan", "from verax import report"),
        ("verax.ntk._plan", "from verax.spectral import gcv"),
        ("verax.ntk._plan", "from ..spectral import gcv"),
        ("verax.ntk._plan", "from .. import models"),
        ("verax.ntk._plan", "def f():\n    from verax.data import load_digits"),
        ("verax.ntk._plan", "class C:\n    def f(self):\n        import verax.models as models"),
        ("verax.ntk._plan", "import importlib\nimportlib.import_module('verax.papers.gcv')"),
        ("verax.ntk._plan", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from verax.report import Report"),
        ("verax.ntk._plan", "try:\n    import verax.cli\nexcept ImportError:\n    pass"),
        ("verax.ntk._from_flax", "import flax"),
        ("verax.spectral._gcv", "def f():\n    import flax.linen"),
        ("verax.spectral._gcv", "import matplotlib.pyplot"),
        ("verax.report._figures", "from matplotlib.figure import Figure"),
        ("verax.papers.gcv", "def f():\n    import tyro"),
        ("verax.papers.gcv", "import verax.cli"),
        ("verax.report._html", "from verax.papers import names"),
        ("verax.parallel._mesh", "from verax.ntk import empirical_ntk"),
        ("verax._tree", "from verax.parallel import mesh"),
        ("verax._tree", "def f():\n    import verax.ntk"),
        ("verax.kernels.top2.api", "from verax._errors import check"),
        ("verax.kernels.top2.api", "import verax"),
        ("verax.matching._assignment", "import beartype"),
    ],
)
def test_the_rule_can_fail(module, source):
    assert len(violations(module, source)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        (
            "verax.ntk._plan",
            "import jax\nfrom verax._errors import check\nfrom . import _tiles",
        ),
        ("verax.ntk._plan", "from .._tree import leaf_paths\nimport verax.kernels"),
        ("verax.ntk._from_flax", "def from_nnx(model):\n    from flax import nnx"),
        ("verax.papers.gcv", "from verax import models, ntk, spectral\nfrom verax.report import Claim"),
        ("verax.models._mlp", "import flax.linen as nn"),
        ("verax._tree", "from verax._types import PyTree\nfrom ._errors import check"),
        ("verax.kernels.top2.api", "import jax\nfrom .xla import top2\nfrom .._dispatch import choose"),
        ("verax.kernels.top2.api", "from verax.kernels._dispatch import choose"),
    ],
)
def test_the_rule_lets_the_rest_pass(module, source):
    assert violations(module, source) == []
