"""Writes docs/guide/inputs.md, the table of inputs and outcomes: ``python tests/border/table.py``."""

import pathlib
import sys
import warnings

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

import numpy as np

from support.border import FORMS, SPOILS, attempt, difference, misnamed, unsound

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "guide" / "inputs.md"

COLUMNS = {
    "list": ["list"],
    "pandas": ["pandas"],
    "torch": ["torch with gradient", "torch"],
    "bfloat16": ["bfloat16", "JAX bfloat16", "torch bfloat16"],
    "integers": ["int64"],
    "booleans": ["bool"],
    "one NaN": ["NaN"],
    "1e300": ["1e300"],
    "2**40": ["2**40"],
    "text": ["text"],
}

HEAD = """# What goes in

Every public function takes arrays through one gate. In go NumPy and JAX arrays, numbers and nested lists, pandas
objects, PyTorch tensors (detached, from any device), and whatever has `__array__` or `__dlpack__`; booleans, integers
and narrow floats where numbers are meant. Labels may be strings, booleans or integers with gaps.

What cannot be used ends in a `ValueError` that names the argument, what came and what is needed:

```
features: got 2 non-finite entries of 600 (the first at [17, 3]); need finite values
```

- **Precision.** With 64-bit types disabled, as JAX starts, double precision is rounded to single only where the data
  survive it. Values beyond its range, whole numbers that it would round, and columns whose variation it would round
  away are refused, with the advice to enable 64-bit types. Functions that compute on the host keep double precision.
- **Missing.** NaN is refused unless the function says what it makes of it; None and NaN among labels stay missing.
- **Failure.** A result that depends on the data and cannot be had has a `.status`; `.raise_if_failed()` turns it into
  an exception with a sentence on what to do.

The table is what the functions did, one valid call each, with one argument changed: **=** the same result as for the
NumPy array, **ok** a result that is finite or has a status, **!** a `ValueError` that names the argument, **\\***
another answer, which the function documents, **?** an answer that it should not give and that is to be mended. A
dot stands where the change does not apply.
`python tests/border/table.py` measures the table anew.
"""


def cell(call, argument, clean, names):
    """What came of the first of these trials that applies."""
    original = np.asarray(call.arguments[argument])
    if names[0] in ("int64", "bool") and original.dtype.kind == "f":
        original = np.rint(original) if names[0] == "int64" else (original > 0).astype(original.dtype)
        rounded = attempt(call, {argument: original})
        if rounded.error is not None:
            return "."
        clean = rounded.value
    for name in names:
        if name in call.exempt.get(argument, {}):
            return "\\*"
        changed = (FORMS.get(name) or SPOILS[name])(original)
        if changed is None:
            continue
        outcome = attempt(call, {argument: changed})
        if outcome.error is not None:
            return "?" if misnamed(call, outcome.error) else "!"
        if name in FORMS:
            return "?" if difference(outcome.value, clean) else "="
        return "?" if unsound(outcome.value, clean) else "ok"
    return "."


def main():
    """Measure and write."""
    from test_border import CALLS

    warnings.simplefilter("error")
    lines = [HEAD]
    for package, calls in CALLS.items():
        rows = []
        for name, call in sorted((calls or {}).items()):
            outcome = attempt(call, {})
            for argument in call.arrays if outcome.error is None else []:
                cells = [cell(call, argument, outcome.value, names) for names in COLUMNS.values()]
                rows.append(f"| `{name.removeprefix('verax.')}` | `{argument}` | " + " | ".join(cells) + " |")
        if rows:
            head = f"| function | argument | {' | '.join(COLUMNS)} |\n|---|---|{':-:|' * len(COLUMNS)}"
            lines.append(f"\n## {package}\n\n{head}\n" + "\n".join(rows) + "\n")
            PAGE.write_text("".join(lines), encoding="utf-8")  # after each package, since the whole takes minutes


if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).parent))
    main()
