"""Features and labels from npz, npy, CSV and Parquet."""

import pathlib
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from verax._errors import check, fail
from verax._files import read_archive, read_csv, read_npy, read_parquet

_LABEL_NAMES = ("label", "labels", "y", "target")
_INDEX = re.compile(r"(Unnamed: \d+|__index_level_\d+__)?")  # columns that pandas writes for the numbers of the rows

_EMBED = """features to embed the text first:
    import numpy, pandas, sentence_transformers; data = {reader}
    x = sentence_transformers.SentenceTransformer("all-MiniLM-L6-v2").encode(list(data[{text!r}]))
    numpy.savez("embedded.npz", x=x, y=data[{label!r}])"""

Pair = tuple[np.ndarray, np.ndarray]
Columns = Mapping[str, np.ndarray]

_READERS: dict[str, Callable[[pathlib.Path], Columns]] = {
    ".npz": lambda path: read_archive("data", path),
    ".npy": lambda path: {"": read_npy("data", path, mapped=True)},
    ".csv": lambda path: read_csv("data", path),
    ".parquet": lambda path: read_parquet("data", path),
}


def read_columns(path: pathlib.Path) -> Columns:
    """Read arrays or columns by name. An npy file is memory-mapped, its array nameless; the others are read whole."""
    check(path.is_file(), "data", f"no file {path}", "an npz, npy, CSV or Parquet file")
    kind = path.suffix.lower()
    check(kind in _READERS, "data", f"{path.name}", "a name that ends in " + ", ".join(_READERS))
    return _READERS[kind](path)


def choose_examples(
    path: pathlib.Path,
    columns: Columns,
    *,
    features: str | None,
    labels: str | None,
    task: str,
    apart: Sequence[str] = (),
) -> Pair:
    """Return features [n, p] and labels [n] among the columns of a file; ``features`` and ``labels`` name them.

    Those named in ``apart`` are neither unless they are asked for. Labels of an npy file are another npy file.
    """
    kind = path.suffix.lower()
    if kind == ".npy":
        x, y = _from_npy(columns, features, labels)
    else:
        choose = _from_arrays if kind == ".npz" else _from_columns
        x, y = choose(path, columns, features, labels, apart)
    x = x.reshape(len(x), -1) if x.ndim > 2 else x
    check(x.ndim == 2, "features", f"shape {x.shape}", "one row per example")
    check(len(x) == len(y), "labels", f"{len(y)} labels for {len(x)} rows of features", "one label per row")
    return x, _check_labels(y, task)


def choose_beside(path: pathlib.Path, columns: Columns, argument: str, name: str | None) -> np.ndarray | None:
    """Return groups or weights: an array (npz) or column (CSV, Parquet) of the file; for npy another npy file."""
    if name is None:
        return None
    if path.suffix.lower() == ".npy":
        return read_npy(argument, name)
    return columns[_choose(argument, name, [], columns)]


def _embed_first(path: pathlib.Path, columns: Columns, label: str | None, apart: Sequence[str]) -> None:
    """Raise for a file of text alone, with what to do."""
    texts = [name for name, a in columns.items() if a.dtype.kind in "OUS" and name != label and name not in apart]
    if texts:
        kind = path.suffix.lower()
        module = "numpy.load" if kind == ".npz" else f"pandas.read_{kind[1:]}"
        # The longest entries are the text, where ids or names stand beside it.
        text = max(texts, key=lambda name: sum(len(str(entry)) for entry in columns[name].ravel()[:100]))
        need = _EMBED.format(reader=f"{module}({str(path)!r})", text=text, label=label or "label")
        fail("features", f"no numeric two-dimensional array, but text ({', '.join(texts)})", need)


def _from_arrays(
    path: pathlib.Path, arrays: Columns, features: str | None, labels: str | None, apart: Sequence[str]
) -> Pair:
    if features is None and not any(a.ndim >= 2 and a.dtype.kind not in "OUS" for a in arrays.values()):
        known = [name for name in arrays if name.lower() in _LABEL_NAMES]
        _embed_first(path, arrays, labels or (known[0] if known else None), apart)
    deep = [name for name, a in arrays.items() if a.ndim >= 2 and name not in apart]
    x = arrays[_choose("features", features, deep, arrays)]
    flat = [name for name, a in arrays.items() if a.ndim == 1 and name not in apart]
    y = arrays[_choose("labels", labels, flat, arrays)]
    return x, y


def _from_npy(columns: Columns, features: str | None, labels: str | None) -> Pair:
    check(features is None, "features", repr(features), "none for an npy file, which holds one array")
    if labels is None:
        fail("labels", "none", "--labels FILE.npy for an npy file of features")
    return columns[""], read_npy("labels", labels)


def _from_columns(
    path: pathlib.Path, columns: Columns, features: str | None, labels: str | None, apart: Sequence[str]
) -> Pair:
    label = _choose("labels", labels, [name for name in columns if name.lower() in _LABEL_NAMES], columns)
    if features is None:
        numeric = [name for name, values in columns.items() if name != label and values.dtype.kind in "fiub"]
        names = [name for name in numeric if not _INDEX.fullmatch(name) and name not in apart]
        if not names:
            _embed_first(path, columns, label, apart)
    else:
        names = [_choose("features", name.strip(), [], columns) for name in features.split(",")]
    check(len(names) > 0, "features", "no column of numbers", "at least one besides the labels")
    for name in names:
        values = columns[name]
        check(values.dtype.kind in "fiub", "features", f"text in column {name!r}", "columns of numbers")
        missing = np.flatnonzero(np.isnan(values.reshape(len(values), -1).sum(axis=1)))
        first = int(missing[0]) + 1 if len(missing) else 0
        got = f"{len(missing)} missing values in column {name!r}, the first in row {first}"
        check(not len(missing), "data", got, "a value in every row: leave out those rows or the column")
    # A column of lists, as embeddings are kept, is a block of columns.
    return np.column_stack([columns[name] for name in names]), columns[label]


def _check_labels(labels: np.ndarray, task: str) -> np.ndarray:
    """Return labels none of which is missing, as text unless they are numbers."""
    absent: list[int] = []
    if labels.dtype.kind in "OUS":
        absent = [i for i, label in enumerate(labels.ravel().tolist()) if label is None or label == ""]
        labels = np.array([str(label) for label in labels.ravel().tolist()]).reshape(labels.shape)
    elif labels.dtype.kind == "f":
        absent = np.flatnonzero(np.isnan(labels.reshape(len(labels), -1)).any(axis=1)).tolist()
    got = f"{len(absent)} missing labels, the first in row {absent[0] + 1 if absent else 0}"
    check(not absent, "labels", got, "a label in every row: leave out those rows")
    if task != "regression":
        return labels
    check(labels.dtype.kind in "fiub", "labels", f"dtype {labels.dtype}", "numbers for a regression")
    return labels.astype(np.float64)


def _choose(argument: str, name: str | None, candidates: list[str], present: Columns) -> str:
    if name is not None:
        check(name in present, argument, repr(name), "one of " + ", ".join(present))
        return name
    if len(candidates) != 1:
        found = ", ".join(candidates) or "none"
        fail(argument, f"{found} to choose from", f"--{argument} NAME, one of {', '.join(present)}")
    return candidates[0]
