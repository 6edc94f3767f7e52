"""Guards are positive: ``if not (gap <= limit)``, because NaN passes ``if gap > limit``."""

import ast
import pathlib

import pytest

SOURCE = pathlib.Path(__file__).parents[2] / "src" / "verax"

# Comparisons of whole numbers, which the source does not show to be such.
WHOLE = {
    "_files.py": {"0 < sum(texts) < len(texts) / 2"},
    "_stats.py": {"rank > num_units"},
    "ntk/_features.py": {"m > sum(sizes)"},
    "ntk/_schedule.py": {"peak(1, 1) > memory_budget"},
    "online/_exact.py": {"proven < Fraction(bound)"},
    "federated/_partition.py": {"inside.min() < 0 or inside.max() >= num"},
}

# Where NaN is a value: a standard error that cannot be had.
NAN_PASSES = {"report/_claim.py": {"not self.standard_error < 0"}}

# Waits for its package to turn it around; the set has to be empty in the end.
WAITING = {
    "ntk/_network.py": {"gap > tolerance * scale"},
    "spectral/_power_law.py": {"df1[0] < high"},
}

ORDER = (ast.Gt, ast.GtE, ast.Lt, ast.LtE)


def compares(node):
    return [c for c in ast.walk(node) if isinstance(c, ast.Compare) and any(isinstance(op, ORDER) for op in c.ops)]


def is_whole(node):
    """Whether one side of a comparison is a size, so that the other is a whole number too."""
    sides = [node.left, *node.comparators]
    sizes = {"shape", "ndim", "size", "num_samples", "null_count"}
    return any(
        (isinstance(side, ast.Call) and getattr(side.func, "id", "") == "len")
        or any(isinstance(part, ast.Attribute) and part.attr in sizes for part in ast.walk(side))
        for side in sides
    )


def refuses(node):
    last = node.body[-1]
    called = (
        getattr(last.value.func, "id", "") if isinstance(last, ast.Expr) and isinstance(last.value, ast.Call) else ""
    )
    return isinstance(last, ast.Raise) or called == "fail"


def negative_guards(source):
    """Conditions that refuse what lies beyond a limit, and so let NaN through."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.If) and not node.orelse and refuses(node):
            negated = any(
                isinstance(part, ast.UnaryOp) and isinstance(part.op, ast.Not) for part in ast.walk(node.test)
            )
            if not negated and not all(is_whole(compare) for compare in compares(node.test)):
                yield ast.unparse(node.test)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "check" and node.args:
            for part in ast.walk(node.args[0]):
                if (
                    isinstance(part, ast.UnaryOp)
                    and isinstance(part.op, ast.Not | ast.Invert)
                    and compares(part.operand)
                ):
                    yield ast.unparse(node.args[0])


def test_the_search_finds_them():
    found = negative_guards("if gap > limit:\n    fail('a', gap, 'b')\ncheck(not x < 0, 'x', x, 'y')")
    assert list(found) == ["gap > limit", "not x < 0"]
    sound = ["if not gap <= limit:\n    fail()", "if len(x) < 2:\n    raise ValueError", "if gap > limit:\n    gap = 0"]
    assert list(negative_guards("\n".join(sound))) == []


FILES = [str(path.relative_to(SOURCE)) for path in sorted(SOURCE.rglob("*.py")) if "papers" not in path.parts]


@pytest.mark.parametrize("file", [file for file in FILES if not file.startswith(("kernels/", "_ext/"))])
def test_guards_are_positive(file):
    found = set(negative_guards((SOURCE / file).read_text(encoding="utf-8")))
    known = [table.get(file, set()) for table in (WHOLE, NAN_PASSES, WAITING)]
    assert found - set().union(*known) == set()
