"""Recorded requests, in the forms in which simulators of caches exchange them."""

import os
import pathlib
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, Real, Shaped

from verax._errors import check
from verax._files import read_bytes, read_csv
from verax._results import result

_RECORD = np.dtype([("time", "<u4"), ("page", "<u8"), ("size", "<u4"), ("next", "<i8")])  # 24 bytes, packed
_ZSTANDARD = b"\x28\xb5\x2f\xfd"
_NAMES = {
    "page": ("id", "obj_id", "object_id", "page", "key"),
    "time": ("time", "timestamp"),
    "size": ("size", "obj_size", "object_size"),
}


@result()
class Trace(NamedTuple):
    """Requests of a recorded trace, in their order.

    Attributes
    ----------
    requests : [t]
        Page of each request: integers or strings, as they stand in the file.
    time : [t] or None
        When it was made, in the file's own unit.
    size : [t] or None
        Size of the page, in bytes as a rule.
    next_request : [t] int64, or None
        Number of the page's next request, as a binary file states it, for `blind_oracle`; one more than the largest of
        all where there is none. The numbers count from the trace's own beginning, also where the file is a part of it.
    """

    requests: Shaped[np.ndarray, "t"]
    time: Real[np.ndarray, "t"] | None
    size: Real[np.ndarray, "t"] | None
    next_request: Int[np.ndarray, "t"] | None


def read_trace(path: str | os.PathLike[str]) -> Trace:
    r"""Read a trace of requests from a CSV file or a binary file of the form oracleGeneral.

    Parameters
    ----------
    path
        ``.csv``, ``.tsv`` or ``.txt``: a first line with the names of the columns, one of them ``id`` (or ``obj_id``,
        ``object_id``, ``page``, ``key``); ``time`` (``timestamp``) and ``size`` (``obj_size``, ``object_size``) if
        there are any. Every other file: packed little-endian records of 24 bytes, which are time (uint32), page
        (uint64), size (uint32) and number of the page's next request (int64, -1 for none). Both may be packed by gzip.

    Returns
    -------
    Trace

    Raises
    ------
    ValueError
        For a file that is damaged, empty or of another form; a CSV without a column of pages, or with missing cells in
        one that is read.
    FileNotFoundError
        If there is no such file.

    Notes
    -----
    A binary trace takes about three times its size in memory.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from verax.online.caching import belady, read_trace
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "requests.csv"
    ...     _ = path.write_text("time,id,size\n0,a,10\n1,b,10\n2,a,10\n")
    ...     trace = read_trace(path)
    >>> trace.requests.tolist(), int(belady(trace.requests, 1).num_misses)
    (['a', 'b', 'a'], 3)

    References
    ----------
    The binary form is that of libCacheSim (Yang, "libCacheSim", 2023).
    """
    name = pathlib.Path(path).name.lower().removesuffix(".gz")
    return _text(path) if name.endswith((".csv", ".tsv", ".txt")) else _binary(path)


def _binary(path: str | os.PathLike[str]) -> Trace:
    contents = read_bytes("path", path)
    place = os.fspath(path)
    check(not contents.startswith(_ZSTANDARD), "path", f"{place}, packed by zstd", "an unpacked file: run zstd -d")
    whole = len(contents) > 0 and len(contents) % _RECORD.itemsize == 0
    check(whole, "path", f"{place} of {len(contents)} bytes", "records of 24 bytes (oracleGeneral), or a .csv")
    records = np.frombuffer(contents, _RECORD)
    ahead = records["next"].astype(np.int64)
    check(bool(np.all(ahead >= -1)), "path", f"{place} with a next request of {ahead.min()}", "numbers from -1 on")
    ahead[ahead < 0] = ahead.max() + 1
    return Trace(records["page"].copy(), records["time"].copy(), records["size"].copy(), ahead)


def _text(path: str | os.PathLike[str]) -> Trace:
    columns = read_csv("path", path)
    place, lower = os.fspath(path), {name.strip().lower(): name for name in columns}
    found = {field: next((lower[name] for name in names if name in lower), None) for field, names in _NAMES.items()}
    check(
        found["page"] is not None,
        "path",
        f"{place} with the columns {', '.join(columns)}",
        "a column named id, with names in the first line: time,id,size",
    )
    values = {field: columns[name] for field, name in found.items() if name is not None}
    for field, column in values.items():
        missing = [cell is None for cell in column] if column.dtype.kind == "O" else column != column
        check(not np.any(missing), "path", f"{place} with an empty cell in column {found[field]}", "a value per row")
        real = field == "page" or column.dtype.kind in "iuf"
        check(real, "path", f"{place} with text in column {found[field]}", "numbers")
    page = values["page"]
    check(len(page) > 0, "path", f"{place} without rows", "at least one request")
    return Trace(page.astype(str) if page.dtype.kind == "O" else page, values.get("time"), values.get("size"), None)
