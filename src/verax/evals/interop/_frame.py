"""Long form: one row per verdict, from CSV, Parquet, JSON lines, or columns in memory."""

import csv
import io
import pathlib
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from verax._errors import check, fail, is_traced
from verax._files import read_parquet, read_text
from verax.evals._table import Outcome, OutcomeTable

from ._inspect import judged
from ._records import Record, as_name, as_paths, build_table, read_entries
from ._verdicts import Verdicts, as_number, is_missing

_PROMPT, _VERDICT = ("prompt", "id", "prompt_id", "question_id"), ("outcome", "correct")
_NAMES = tuple(outcome.name for outcome in Outcome)
_EXAMPLE = "for example\n    id,correct\n    question 1,1\n    question 2,0"
_DELIMITERS = ",;\t"


def from_frame(frame: Any, *, mapping: Verdicts | None = None, missing: str = "error") -> OutcomeTable:
    """Read long form.

    Parameters
    ----------
    frame
        Path of a file (CSV, Parquet, JSON lines), a pandas data frame, or a mapping from names to columns.

        - ``prompt`` (or ``id``, ``prompt_id``, ``question_id``): names of the prompts. Needed.
        - ``correct`` (1, true, yes; 0, false, no), or ``outcome`` ("GOOD", "BAD", "UNCLEAR", "MISSING"). Needed; an
          empty cell is MISSING. Bare numbers under ``outcome`` are refused, since 1 might mean right or BAD.
        - ``model``: by default the name of the file. ``attack``: by default "none". ``sample`` (an integer): by default
          rows of one cell are counted.
        - ``score`` (graded harm in [0, 1]), ``cluster`` and ``weight``. Other columns are not read.
    mapping
        From values of the verdict's column to outcomes: a mapping, or a function.
    missing
        ``"error"``, or ``"fill"`` for models that answered different prompts: those left out are NOT_RUN.

    Returns
    -------
    OutcomeTable

    Raises
    ------
    ValueError
        For columns that are missing (all of them at once) or occur twice, a name that is missing, two verdicts for one
        cell, or an outcome that is none, naming the row.

    Examples
    --------
    >>> from verax.evals import from_frame
    >>> from_frame({"id": ["p", "q", "r"], "correct": [True, False, True]}).labels.ravel().tolist()
    [0, 1, 0]
    >>> columns = {"model": ["m"] * 4, "attack": ["none", "none", "a", "a"], "prompt": ["p", "q"] * 2,
    ...            "outcome": ["GOOD", "GOOD", "BAD", "UNCLEAR"]}
    >>> from_frame(columns).labels[0, :, :, 0].tolist()
    [[0, 0], [1, 2]]
    """
    columns, source, name = _columns(frame)
    prompt, verdict = (_one_of(kinds, columns) for kinds in (_PROMPT, _VERDICT))
    absent = [" or ".join(map(repr, k)) for k, found in ((_PROMPT[:2], prompt), (_VERDICT, verdict)) if found is None]
    if prompt is None or verdict is None:
        got = f"{source}: columns {list(map(str, columns))}, without {' and '.join(absent)}"
        fail("frame", got, f"columns for the prompt and for the verdict, {_EXAMPLE}")
    optional = [one for one in ("model", "attack", "sample", "score", "cluster", "weight") if one in columns]
    lengths = {len(columns[one]) for one in (prompt, verdict, *optional)}
    check(len(lengths) == 1, "frame", f"columns of {sorted(lengths)} rows", "as many rows in each")
    if verdict == "outcome" and mapping is None:
        _refuse_bare_numbers(columns[verdict], source)
    seen: Counter[tuple[str, str, str]] = Counter()
    read: list[tuple[Record, Any]] = []
    for number in range(lengths.pop()):
        cell = {one: columns[one][number] for one in (prompt, verdict, *optional)}
        where = f"{source}, row {number + 1}"
        key = (
            _name(cell["model"], where, "model") if "model" in cell else name,
            _name(cell["attack"], where, "attack") if "attack" in cell else "none",
            _name(cell[prompt], where, "prompt"),
        )
        read.append(
            (
                Record(
                    *key,
                    sample=_whole(cell["sample"], where) if "sample" in cell else seen[key],
                    outcome=Outcome.MISSING,
                    where=where,
                    score=_number(cell.get("score"), where, "score"),
                    cluster=None if is_missing(cell.get("cluster")) else as_name(cell["cluster"]),
                    weight=_number(cell.get("weight"), where, "weight"),
                ),
                cell[verdict],
            )
        )
        seen[key] += 1
    return build_table(_judged(read, mapping), argument="frame", provenance=source, missing=missing)


def to_frame(table: OutcomeTable) -> dict[str, np.ndarray]:
    """Long form of a table, as columns: ``pandas.DataFrame(to_frame(table))`` is a data frame.

    Parameters
    ----------
    table
        Concrete verdicts.

    Returns
    -------
    dict
        As :func:`from_frame` reads it, without the samples that were not run; names that the table lacks are numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.evals import OutcomeTable, from_frame, to_frame
    >>> table = OutcomeTable(np.array([0, 1, 2, 3]).reshape(1, 2, 2, 1))
    >>> bool((from_frame(to_frame(table)).labels == table.labels).all())
    True
    """
    labels = np.asarray(table.labels)
    index = np.indices(labels.shape).reshape(4, -1)[:, labels.ravel() != Outcome.NOT_RUN]
    columns: dict[str, np.ndarray] = {}
    axes = (("model", table.model_names), ("attack", table.attack_names), ("prompt", table.prompt_ids))
    for axis, (name, names) in enumerate(axes):
        known = names if names is not None else [str(i) for i in range(labels.shape[axis])]
        columns[name] = np.array(known)[index[axis]]
    columns["sample"] = index[3]
    columns["outcome"] = np.array([outcome.name for outcome in Outcome if outcome >= 0])[labels[tuple(index)]]
    if table.scores is not None:
        columns["score"] = np.asarray(table.scores)[tuple(index)]
    for name, values in (("cluster", table.cluster), ("weight", table.weight)):
        if values is not None:
            columns[name] = np.asarray(values)[index[2]]
    return columns


def _judged(read: list[tuple[Record, Any]], mapping: Verdicts | None) -> list[Record]:
    """Outcomes by value; a column of scores stands beside the verdicts, and grades among the verdicts are scores."""
    with_score = [record.score for record, _ in read]
    records = judged([(record, value) for record, value in read], mapping, "frame")
    if any(score is not None for score in with_score):
        return [record._replace(score=score) for record, score in zip(records, with_score, strict=True)]
    return records


def _one_of(names: tuple[str, ...], columns: Mapping[str, Any]) -> str | None:
    present = [name for name in names if name in columns]
    return present[0] if present else None


def _columns(frame: Any) -> tuple[dict[str, Any], str, str]:
    """Columns by name, where they came from, and what a model is called that has no column."""
    if isinstance(frame, Mapping):
        return {_heading(name): _listed(values, name) for name, values in frame.items()}, "frame", "model"
    if hasattr(frame, "columns") and hasattr(frame, "iloc"):
        headings = _headings([str(name) for name in frame.columns], "frame")
        return {name: frame.iloc[:, i].tolist() for i, name in enumerate(headings)}, "frame", "model"
    need = "a path, a data frame, or columns by name"
    check(isinstance(frame, str | pathlib.Path), "frame", type(frame).__name__, need)
    path = as_paths(frame, "frame")[0]
    readers = {".parquet": _parquet_columns, ".csv": _read_csv, ".tsv": _read_csv, ".jsonl": _read_lines}
    check(path.suffix.lower() in readers, "frame", str(path), f"a file that ends in {', '.join(readers)}")
    columns = readers[path.suffix.lower()](path)
    check(any(map(len, columns.values())), "frame", f"{path}, which has no rows", "at least one verdict")
    return columns, str(path), path.stem


def _heading(name: Any) -> str:
    return str(name).strip().lower()


def _headings(names: list[str], source: str) -> list[str]:
    headings = [_heading(name) for name in names]
    twice = [name for name, number in Counter(headings).items() if number > 1]
    check(not twice, "frame", f"{source}: columns {twice} more than once", "names of columns that differ")
    return headings


def _listed(values: Any, name: Any) -> list[Any]:
    check(not is_traced(values), "frame", f"a traced column {name!r}", "concrete values: tables are read on the host")
    if not hasattr(values, "tolist") and hasattr(values, "__array__"):
        values = np.asarray(values)
    sound = hasattr(values, "__len__") and hasattr(values, "__iter__") and not isinstance(values, str | bytes)
    check(sound, "frame", f"{type(values).__name__} for column {name!r}", "a sequence of values")
    own: Any = values
    return own.tolist() if hasattr(own, "tolist") else list(own)


def _parquet_columns(path: pathlib.Path) -> dict[str, list[Any]]:
    columns = read_parquet("frame", path)
    headings = _headings(list(columns), str(path))
    return {heading: values.tolist() for heading, values in zip(headings, columns.values(), strict=True)}


def _read_lines(path: pathlib.Path) -> dict[str, list[Any]]:
    entries = [entry for _, entry in read_entries(path, "frame")]
    names = list(dict.fromkeys(name for entry in entries for name in entry))
    headings = _headings(names, str(path))
    return {heading: [entry.get(name) for entry in entries] for heading, name in zip(headings, names, strict=True)}


def _read_csv(path: pathlib.Path) -> dict[str, list[Any]]:
    """Columns of text: identifiers such as 007 are no numbers."""
    text = read_text("frame", path)
    first = text.partition("\n")[0]
    try:
        reader = csv.reader(io.StringIO(text), delimiter=max(_DELIMITERS, key=first.count))
        rows = [(number, row) for number, row in enumerate(reader) if any(map(str.strip, row))]
    except csv.Error as error:
        fail("frame", f"{path}, which is no CSV ({error})", "a CSV file")
    check(bool(rows), "frame", f"{path}, which has no rows", "a line of names and a line per verdict")
    headings = _headings(rows[0][1], str(path))
    for number, row in rows:
        if len(row) != len(headings):
            fail("frame", f"{path}, row {number}: {len(row)} fields", f"{len(headings)}, as the header")
    return {name: [row[i] for _, row in rows[1:]] for i, name in enumerate(headings)}


def _refuse_bare_numbers(values: list[Any], source: str) -> None:
    present = [value for value in values if not is_missing(value)]
    if present and all(as_number(value) is not None for value in present):
        meanings = "is 1 a right answer (call the column 'correct') or a BAD outcome (mapping={1: 'BAD', 0: 'GOOD'})?"
        got = f"{source}: numbers such as {present[0]!r} under 'outcome'"
        fail("frame", got, f"{', '.join(_NAMES[1:])}, or to know what the numbers mean: {meanings}")


def _name(value: Any, where: str, column: str) -> str:
    check(not is_missing(value) or value == "none", "frame", f"{where}: no {column}", f"a {column} in each row")
    return as_name(value)


def _whole(value: Any, where: str) -> int:
    number = as_number(value)
    if number is None or not number.is_integer():
        fail("frame", f"{where}: sample {value!r}", "an integer")
    return int(number)


def _number(value: Any, where: str, name: str) -> float | None:
    if is_missing(value):
        return None
    number = as_number(value)
    if number is None:
        fail("frame", f"{where}: {name} {value!r}", "a number")
    return number
