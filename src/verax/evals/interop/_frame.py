"""Long form: one row a verdict, from CSV, Parquet, or columns in memory."""

import csv
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from verax._errors import check, fail
from verax.evals._table import Outcome, OutcomeTable

from ._records import Record, as_paths, build_table

_NEEDED, _OPTIONAL = ("model", "attack", "prompt", "sample", "outcome"), ("score", "cluster", "weight")
_NAMES = {outcome.name: int(outcome) for outcome in Outcome}


def from_frame(frame: Any) -> OutcomeTable:
    """Read long form.

    Parameters
    ----------
    frame
        Path of a CSV or Parquet file (the latter needs pyarrow), a pandas data frame, or a mapping from names to
        columns. Columns ``model``, ``attack``, ``prompt``, ``sample`` (an integer) and ``outcome`` ("GOOD", "BAD",
        "UNCLEAR", "MISSING", or 0 to 3); ``score``, ``cluster`` and ``weight`` where they exist. Others are not read.

    Returns
    -------
    OutcomeTable

    Raises
    ------
    ValueError
        For a column or a cell that is missing, two verdicts for one cell, or an outcome that is none, naming the row.

    Examples
    --------
    >>> from verax.evals import from_frame
    >>> columns = {"model": ["m"] * 4, "attack": ["none", "none", "a", "a"], "prompt": ["p", "q"] * 2,
    ...            "sample": [0] * 4, "outcome": ["GOOD", "GOOD", "BAD", "UNCLEAR"]}
    >>> from_frame(columns).labels[0, :, :, 0].tolist()
    [[0, 0], [1, 2]]
    """
    columns, source = _columns(frame)
    for name in _NEEDED:
        check(name in columns, "frame", f"columns {sorted(map(str, columns))}", f"a column {name!r}")
    present = [name for name in (*_NEEDED, *_OPTIONAL) if name in columns]
    values = {name: list(columns[name]) for name in present}
    lengths = {len(column) for column in values.values()}
    check(len(lengths) == 1, "frame", f"columns of {sorted(lengths)} rows", "as many rows in each")
    records = []
    for number, row in enumerate(zip(*values.values(), strict=True), start=1):
        cell = dict(zip(present, row, strict=True))
        where = f"{source}, row {number}"
        records.append(
            Record(
                model=str(cell["model"]),
                attack=str(cell["attack"]),
                prompt=str(cell["prompt"]),
                sample=_whole(cell["sample"], where),
                outcome=_outcome(cell["outcome"], where),
                where=where,
                score=_number(cell.get("score"), where, "score"),
                cluster=None if cell.get("cluster") in (None, "") else str(cell["cluster"]),
                weight=_number(cell.get("weight"), where, "weight"),
            )
        )
    return build_table(records, argument="frame", provenance=source)


def to_frame(table: OutcomeTable) -> dict[str, np.ndarray]:
    """Long form of a table, as columns: ``pandas.DataFrame(to_frame(table))`` is a data frame.

    Parameters
    ----------
    table
        Concrete verdicts.

    Returns
    -------
    dict
        As :func:`from_frame` reads it; names that the table lacks are numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.evals import OutcomeTable, from_frame, to_frame
    >>> table = OutcomeTable(np.array([0, 1, 2, 3]).reshape(1, 2, 2, 1))
    >>> bool((from_frame(to_frame(table)).labels == table.labels).all())
    True
    """
    labels = np.asarray(table.labels)
    index = np.indices(labels.shape).reshape(4, -1)
    columns: dict[str, np.ndarray] = {}
    for axis, (name, names) in enumerate(
        (("model", table.model_names), ("attack", table.attack_names), ("prompt", table.prompt_ids))
    ):
        columns[name] = np.array(names if names is not None else [str(i) for i in range(labels.shape[axis])])[
            index[axis]
        ]
    columns["sample"] = index[3]
    columns["outcome"] = np.array([outcome.name for outcome in Outcome])[labels.ravel()]
    if table.scores is not None:
        columns["score"] = np.asarray(table.scores).ravel()
    for name, values in (("cluster", table.cluster), ("weight", table.weight)):
        if values is not None:
            columns[name] = np.asarray(values)[index[2]]
    return columns


def _columns(frame: Any) -> tuple[Mapping[str, Any], str]:
    if isinstance(frame, Mapping):
        return frame, "frame"
    if hasattr(frame, "columns") and hasattr(frame, "__getitem__"):
        return {str(name): frame[name].tolist() for name in frame.columns}, "frame"
    check(isinstance(frame, str | pathlib.Path), "frame", type(frame).__name__, "a path, a data frame or columns")
    path = as_paths(frame, "frame")[0]
    if path.suffix == ".parquet":
        import pyarrow.parquet

        return pyarrow.parquet.read_table(path).to_pydict(), str(path)
    check(path.suffix == ".csv", "frame", str(path), "a file that ends in .csv or .parquet")
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        header = next(reader)
        rows = []
        for number, row in enumerate(reader, start=1):
            if len(row) != len(header):
                fail("frame", f"{path}, row {number}: {len(row)} fields", f"{len(header)}, as the header")
            rows.append(row)
    check(len(rows) > 0, "frame", f"{path}, which has no rows", "at least one verdict")
    return dict(zip(header, zip(*rows, strict=True), strict=True)), str(path)


def _whole(value: Any, where: str) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError):
        fail("frame", f"{where}: sample {value!r}", "an integer")
    check(number == float(value), "frame", f"{where}: sample {value!r}", "an integer")
    return number


def _number(value: Any, where: str, name: str) -> float | None:
    if value is None or value == "":
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        fail("frame", f"{where}: {name} {value!r}", "a number")
    check(number == number, "frame", f"{where}: {name} NaN", "a number")
    return number


def _outcome(value: Any, where: str) -> int:
    if isinstance(value, str) and value.upper() in _NAMES:
        return _NAMES[value.upper()]
    if isinstance(value, str) and value in ("0", "1", "2", "3"):
        return int(value)
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool) and 0 <= value <= 3
    check(whole, "frame", f"{where}: outcome {value!r}", f"one of {list(_NAMES)}")
    return int(value)
