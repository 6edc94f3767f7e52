"""Logs of any tool as outcome tables, told apart by their content."""

import json
import pathlib
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple


class ReadOptions(NamedTuple):
    """Options of the readers, as the command line has them."""

    scorer: str | None = None
    metric: str | None = None
    filter: str | None = None
    mapping: Any = None
    cluster: str | None = None


class Log(NamedTuple):
    """A table and the name that its models go by."""

    name: str
    table: Any
    notes: list[str]


def read_logs(paths: Sequence[pathlib.Path], options: ReadOptions) -> list[Log]:
    """One log per path: a file, or a folder of one model's files."""
    logs = []
    for path in paths:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            table = read_log(path, options)
        notes = [str(one.message) for one in caught if issubclass(one.category, UserWarning)]
        logs.append(Log(path.name or str(path), table, notes))
    return logs


def read_log(path: pathlib.Path, options: ReadOptions) -> Any:
    """The outcome table of a file or folder."""
    import verax.evals as ve

    kind = _kind(path)
    if kind == "frame":
        return ve.from_frame(path, mapping=options.mapping)
    if kind == "lm-eval":
        return ve.from_lm_eval(path, metric=options.metric, filter=options.filter, mapping=options.mapping)
    cluster: dict[str, Any] = {} if options.cluster is None else {"cluster": options.cluster}
    return ve.from_inspect(path, scorer=options.scorer, mapping=options.mapping, **cluster)


def _kind(path: pathlib.Path) -> str:
    if path.is_dir():
        if any(path.rglob("samples_*.jsonl")):
            return "lm-eval"
        if any(path.rglob("*.eval")) or any(path.rglob("*.json")):
            return "inspect"
        raise ValueError(f"LOG: got {path}, a folder without logs; need *.eval, *.json or samples_*.jsonl inside")
    if not path.is_file():
        raise ValueError(f"LOG: got {path}, which does not exist; need a log, or a folder of logs")
    if path.suffix.lower() == ".jsonl":
        return _kind_of_lines(path)
    if path.suffix.lower() in (".csv", ".tsv", ".parquet"):
        return "frame"
    if path.suffix.lower() in (".eval", ".json"):
        return "inspect"
    need = ".eval, .json, .jsonl, .csv, .tsv or .parquet"
    raise ValueError(f"LOG: got {path.name}; need a name that ends in {need}")


def _kind_of_lines(path: pathlib.Path) -> str:
    """lm-eval's samples have doc_id; garak's reports, which hold rates of many probes, are none of these."""
    with path.open("rb") as file:
        start = file.read(1 << 20).removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b"["):
        return "lm-eval"
    try:
        entry = json.loads(start.split(b"\n", 1)[0])
    except (ValueError, RecursionError):
        entry = {}
    entry = entry if isinstance(entry, dict) else {}
    if "entry_type" in entry:
        raise ValueError(f"LOG: got {path}, a report of garak; need verax.evals.from_garak, or garak_tables for tables")
    return "lm-eval" if "doc_id" in entry or path.name.startswith("samples_") or not entry else "frame"
