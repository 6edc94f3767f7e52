"""Features and labels from npz, npy, CSV and Parquet."""

import pathlib
from collections.abc import Callable

import numpy as np

from verax._errors import check, fail

_LABEL_NAMES = ("label", "labels", "y", "target")

Pair = tuple[np.ndarray, np.ndarray]


def read_examples(path: pathlib.Path, *, features: str | None, labels: str | None, task: str) -> Pair:
    """Read features [n, p] and labels [n] of one file; ``features`` and ``labels`` name arrays or columns.

    An npy file is memory-mapped; the others are read whole.
    """
    check(path.is_file(), "data", f"no file {path}", "an npz, npy, CSV or Parquet file")
    readers: dict[str, Callable[[pathlib.Path, str | None, str | None], Pair]] = {
        ".npz": _read_npz,
        ".npy": _read_npy,
        ".csv": _read_csv,
        ".parquet": _read_parquet,
    }
    check(path.suffix in readers, "data", f"{path.name}", "a name that ends in " + ", ".join(readers))
    x, y = readers[path.suffix](path, features, labels)
    x = x.reshape(len(x), -1) if x.ndim > 2 else x
    check(x.ndim == 2, "features", f"shape {x.shape}", "one row an example")
    check(len(x) == len(y), "labels", f"{len(y)} labels for {len(x)} rows of features", "one label a row")
    return x, np.asarray(y, np.float64) if task == "regression" else y


def _read_npz(path: pathlib.Path, features: str | None, labels: str | None) -> Pair:
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    x = arrays[_choose("features", features, [name for name, a in arrays.items() if a.ndim >= 2], arrays)]
    y = arrays[_choose("labels", labels, [name for name, a in arrays.items() if a.ndim == 1], arrays)]
    return x, y


def _read_npy(path: pathlib.Path, features: str | None, labels: str | None) -> Pair:
    check(features is None, "features", repr(features), "none for an npy file, which holds one array")
    if labels is None:
        fail("labels", "none", "--labels FILE.npy for an npy file of features")
    return np.load(path, mmap_mode="r", allow_pickle=False), np.load(labels, allow_pickle=False)


def _read_csv(path: pathlib.Path, features: str | None, labels: str | None) -> Pair:
    import csv

    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    check(len(rows) > 1, "data", f"{len(rows)} lines in {path.name}", "a line of names, then a line an example")
    names, body = rows[0], rows[1:]
    ragged = [number for number, row in enumerate(body, start=2) if len(row) != len(names)]
    check(not ragged, "data", f"another number of entries in line {(ragged or [0])[0]}", f"{len(names)}, as in line 1")
    columns = dict(zip(names, (_column(list(values)) for values in zip(*body, strict=True)), strict=True))
    return _from_columns(columns, features, labels)


def _column(texts: list[str]) -> np.ndarray:
    """Numbers where every entry is one (whole numbers as integers), text otherwise."""
    for kind in (int, float):
        try:
            return np.array([kind(text) for text in texts])
        except ValueError:
            continue
    return np.array(texts)


def _read_parquet(path: pathlib.Path, features: str | None, labels: str | None) -> Pair:
    try:
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise ImportError("reading Parquet needs pyarrow: pip install 'verax[frames]'") from error
    table = parquet.read_table(path)
    columns = {}
    for name in table.column_names:
        values = table.column(name).to_pylist()
        check(None not in values, "data", f"missing values in column {name!r}", "a value in every row")
        columns[name] = np.array(values)
    return _from_columns(columns, features, labels)


def _from_columns(columns: dict[str, np.ndarray], features: str | None, labels: str | None) -> Pair:
    label = _choose("labels", labels, [name for name in columns if name.lower() in _LABEL_NAMES], columns)
    if features is None:
        names = [name for name, values in columns.items() if name != label and values.dtype.kind in "fiub"]
    else:
        names = [_choose("features", name.strip(), [], columns) for name in features.split(",")]
    check(len(names) > 0, "features", "no column of numbers", "at least one besides the labels")
    bad = [name for name in names if columns[name].dtype.kind not in "fiub"]
    check(not bad, "features", f"text in column {(bad or [''])[0]!r}", "columns of numbers")
    # A column of lists, as embeddings are kept, is a block of columns.
    return np.column_stack([columns[name] for name in names]), columns[label]


def _choose(argument: str, name: str | None, candidates: list[str], present: dict[str, np.ndarray]) -> str:
    if name is not None:
        check(name in present, argument, repr(name), "one of " + ", ".join(present))
        return name
    if len(candidates) != 1:
        found = ", ".join(candidates) or "none"
        fail(argument, f"{found} to choose from", f"--{argument} NAME, one of {', '.join(present)}")
    return candidates[0]
