"""Guarded reading and writing of files: one reader for each format, and what all of them refuse.

=======================  ====================================================================================
:func:`read_archive`     arrays of an ``.npz``
:func:`read_npy`         array of an ``.npy``, in memory or mapped
:func:`read_json`        value of a JSON file
:func:`read_json_lines`  values of a file with one JSON value per line
:func:`read_csv`         columns of a CSV file
:func:`read_parquet`     columns of a Parquet file
:func:`read_bytes`       contents of a file, unpacked if it is gzip
:func:`read_text`        text of a file, in UTF-8 or UTF-16 with its mark
:func:`write_file`       a file that is there whole or not at all
=======================  ====================================================================================

A damaged or hostile file ends in a ``ValueError`` that names the argument, the file and the place. The size that a file
declares is compared with the file's own before anything is allocated: contents may unpack to 100 times the file, or to
64 MiB, and have to fit into memory. Nothing is unpickled. Missing cells of tables stay missing: NaN among numbers, None
among text.
"""

import codecs
import contextlib
import csv
import gzip
import io
import json
import math
import os
import pathlib
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ._errors import check, fail
from ._extras import extra
from ._memory import available_memory

_RATIO, _SMALL = 100, 64 << 20
_MISSING = {"", "na", "n/a", "nan", "null", "none", "<na>"}  # cells of a CSV file without a value, in lower case

_UMASK = os.umask(0)  # can only be read by setting it
os.umask(_UMASK)

Columns = dict[str, np.ndarray]


def read_archive(argument: str, path: str | os.PathLike[str]) -> Columns:
    """Return the arrays of an ``.npz`` by name, each read only after its header agrees with the archive's directory."""
    path = _file(argument, path)
    arrays: Columns = {}
    with _guarded(argument, path, "an npz archive of plain arrays"), zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        _fits(argument, path, sum(member.file_size for member in members))
        packed = sum(member.compress_size for member in members)
        check(packed <= path.stat().st_size, argument, f"{path}, whose parts overlap", "a sound archive")
        for member in members:
            name = member.filename.removesuffix(".npy")
            check(name not in arrays, argument, f"{path} with two arrays {name!r}", "one array per name")
            with archive.open(member) as file:
                arrays[name] = _read_array(argument, f"{path}, array {name!r}", file, member.file_size)
    return arrays


def read_npy(argument: str, path: str | os.PathLike[str], *, mapped: bool = False) -> np.ndarray:
    """Return the array of an ``.npy``; ``mapped`` leaves it on disk until it is used."""
    path = _file(argument, path)
    size = path.stat().st_size
    array = np.empty(0)
    with _guarded(argument, path, "an npy file of a plain array"), path.open("rb") as file:
        shape, fortran, dtype = _header(argument, str(path), file, size)
        if mapped and math.prod(shape) > 0:
            array = np.memmap(path, dtype, "r", file.tell(), shape, "F" if fortran else "C")
        else:
            _fits(argument, path, size)
            file.seek(0)
            array = np.lib.format.read_array(file, allow_pickle=False)
    return array


def read_json(argument: str, path: str | os.PathLike[str]) -> Any:
    """Return the value of a JSON file."""
    path = _file(argument, path)
    return parse_json(argument, str(path), read_text(argument, path))


def read_json_lines(argument: str, path: str | os.PathLike[str]) -> Iterator[tuple[int, Any]]:
    """Yield line number and value of each line that is not blank."""
    path = _file(argument, path)
    for number, line in enumerate(io.StringIO(read_text(argument, path)), start=1):
        if line.strip():
            yield number, parse_json(argument, f"{path}, line {number}", line)


def parse_json(argument: str, place: str, text: str) -> Any:
    """Return the value of a JSON text that was read at ``place``."""
    value = reason = None
    try:
        value = json.loads(text)
    except RecursionError:
        reason = "which is nested too deeply"
    except json.JSONDecodeError as error:
        reason = f"which is no JSON ({error.msg} at line {error.lineno}, column {error.colno})"
    except ValueError:
        reason = "with a number of too many digits"
    check(reason is None, argument, f"{place}, {reason}", "sound JSON")
    return value


def read_bytes(argument: str, path: str | os.PathLike[str]) -> bytes:
    """Return the contents of a file, unpacked if it is gzip."""
    path = _file(argument, path)
    size = path.stat().st_size
    _fits(argument, path, size)
    contents = path.read_bytes()
    if contents[:2] == b"\x1f\x8b":
        most = max(_SMALL, _RATIO * size)
        with _guarded(argument, path, "a sound gzip file"), gzip.open(path) as file:
            parts, total = [], 0
            while total <= most and (part := file.read(1 << 20)):
                parts.append(part)
                total += len(part)
            contents = b"".join(parts)
        got = f"{path} of {_bytes(size)}, which unpacks to more than {_bytes(most)}"
        check(len(contents) <= most, argument, got, "data of a usual ratio: unpack it first")
    return contents


def read_text(argument: str, path: str | os.PathLike[str]) -> str:
    """Return the text of a file, unpacked if it is gzip, without a byte-order mark, lines ending in a line feed."""
    path = _file(argument, path)
    size = path.stat().st_size
    check(20 * size <= available_memory(), argument, f"{path} of {_bytes(size)}", "a text that fits into memory")
    contents = read_bytes(argument, path)
    unpacked = f"{path} of {_bytes(len(contents))} unpacked"
    check(20 * len(contents) <= available_memory(), argument, unpacked, "a text that fits into memory")
    wide = contents.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text, wrong = "", None
    try:
        text = contents.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        wrong = error.start
    check(wrong is None, argument, f"{path}, which is no {'UTF-16' if wide else 'UTF-8'} at byte {wrong}", "UTF-8 text")
    return text.replace("\r\n", "\n")


def read_csv(argument: str, path: str | os.PathLike[str]) -> Columns:
    """Return the columns of a CSV file: integers, floats with NaN for missing cells, or text with None for them.

    Cells are separated by commas, or by semicolons or tabs where the first line has no comma. A column of numbers in
    which a few cells are text is refused with the place of the first one.
    """
    path = _file(argument, path)
    text = read_text(argument, path)
    first = text.partition("\n")[0]
    separator = next((mark for mark in ",;\t" if mark in first), ",")
    numbered = []
    limit = csv.field_size_limit(max(1, len(text)))
    try:
        reader = csv.reader(io.StringIO(text), delimiter=separator, strict=True)
        with _guarded(argument, path, "a CSV file"):
            numbered = [(reader.line_num, row) for row in reader if row]
    finally:
        csv.field_size_limit(limit)
    check(len(numbered) > 1, argument, f"{path} of {len(numbered)} lines", "a line of names, then a line per example")
    names = [name.strip() for name in numbered[0][1]]
    _check_names(argument, path, names)
    for line, row in numbered[1:]:
        got = f"{path}, line {line}, with {len(row)} cells"
        check(len(row) == len(names), argument, got, f"{len(names)}, as in the first line")
    lines = [line for line, _ in numbered[1:]]
    cells = zip(*(row for _, row in numbered[1:]), strict=True)
    return {
        name: _column(argument, f"{path}, column {name!r}", lines, column)
        for name, column in zip(names, cells, strict=True)
    }


def read_parquet(argument: str, path: str | os.PathLike[str]) -> Columns:
    """Return the columns of a Parquet file; a column of lists of numbers of one length is a matrix."""
    with extra("frames"):
        import pyarrow.parquet as parquet
    path = _file(argument, path)
    columns: Columns = {}
    with _guarded(argument, path, "a Parquet file"), parquet.ParquetFile(path) as file:
        schema = file.schema_arrow
        _check_names(argument, path, schema.names)
        groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
        decoded = 8 * file.metadata.num_rows * len(schema.names)
        _fits(argument, path, max(decoded, sum(group.total_byte_size for group in groups)))
        table = file.read()
        columns.update({name: _arrow_column(argument, path, name, table.column(name)) for name in schema.names})
    return columns


def write_file(path: str | os.PathLike[str], write: Callable[[Any], object]) -> None:
    """Write a file through ``write(binary file)`` so that a reader sees the old contents or the new, never a part.

    Another process that writes the same file at once does no harm: the last one to end wins. The folder is made.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.", suffix=".partial")
    try:
        with os.fdopen(descriptor, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_UMASK)
        os.replace(temporary, path)
    except BaseException as error:
        pathlib.Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename in (None, temporary):
            raise OSError(error.errno, f"{os.strerror(error.errno or 0)}: {path}") from error
        raise


# What readers share.


def _file(argument: str, path: str | os.PathLike[str]) -> pathlib.Path:
    path = pathlib.Path(path)
    check(not path.is_dir(), argument, f"{path}, a folder", "a file")
    if not path.exists():
        raise FileNotFoundError(f"{argument}: got {path}, which does not exist; need a file")
    check(path.is_file(), argument, f"{path}, which is no regular file", "a file")
    return path


@contextlib.contextmanager
def _guarded(argument: str, path: pathlib.Path, need: str) -> Iterator[None]:
    """Turn whatever another library raises about damaged contents into a ``ValueError`` that names the file."""
    try:
        yield
        return
    except ValueError as error:
        if type(error) is ValueError and str(error).startswith(f"{argument}: got "):
            raise
        reason = error
    except MemoryError as error:
        reason = error
    except Exception as error:  # whatever a parser makes of hostile bytes
        reason = error
    fail(argument, f"{path}, which is damaged or of another kind ({type(reason).__name__})", need)


def _fits(argument: str, path: pathlib.Path, declared: int) -> None:
    """Refuse contents that are out of proportion to the file or to the memory."""
    size = path.stat().st_size
    most = max(_SMALL, _RATIO * size)
    got = f"{path} of {_bytes(size)}, which declares {_bytes(declared)}"
    check(0 <= declared <= most, argument, got, f"at most {_bytes(most)}: larger data uncompressed")
    check(declared <= available_memory(), argument, got, f"{_bytes(available_memory())}, the memory available")


def _header(argument: str, place: str, file: Any, size: int) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Return shape, order and dtype that an array's header declares, if as many bytes follow it."""
    version = np.lib.format.read_magic(file)
    check(version in ((1, 0), (2, 0), (3, 0)), argument, f"{place} of format {version}", "format 1.0 to 3.0")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(file)
    check(not dtype.hasobject, argument, f"{place} of Python objects", "plain numbers or text")
    negative = any(length < 0 for length in shape)
    declared = math.prod(shape) * dtype.itemsize
    got = f"{place}, whose header declares {_bytes(declared)} of shape {shape} for {_bytes(size)}"
    check(not negative and file.tell() + declared == size, argument, got, "as many bytes as declared")
    return shape, fortran, dtype


def _read_array(argument: str, place: str, file: Any, size: int) -> np.ndarray:
    _header(argument, place, file, size)
    file.seek(0)
    return np.lib.format.read_array(file, allow_pickle=False)


def _check_names(argument: str, path: pathlib.Path, names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    check(not twice, argument, f"{path} with two columns {(twice or [''])[0]!r}", "names that differ")


def _column(argument: str, place: str, lines: list[int], cells: tuple[str, ...]) -> np.ndarray:
    """Return integers, floats or text, by what the cells that have a value are."""
    missing = [cell.strip().lower() in _MISSING for cell in cells]
    present = [cell for cell, absent in zip(cells, missing, strict=True) if not absent]
    integers = _parsed(int, present)
    if integers is not None and not any(missing):
        column = np.array(integers)
        return column if column.dtype.kind in "iu" else np.array(cells, object)
    numbers = [_parsed(float, [cell]) or [None] for cell in present]
    texts = [number == [None] for number in numbers]
    if present and not any(texts):
        column = np.full(len(cells), np.nan)
        column[~np.array(missing)] = [number for (number,) in numbers]
        return column
    if 0 < sum(texts) < len(texts) / 2:
        line = [line for line, absent in zip(lines, missing, strict=True) if not absent][texts.index(True)]
        fail(argument, f"{present[texts.index(True)]!r} in {place}, line {line}", "a number, as most cells there")
    return np.array([None if absent else cell for cell, absent in zip(cells, missing, strict=True)], object)


def _parsed(kind: type, cells: list[str]) -> list[Any] | None:
    """Return the cells as numbers, None if one is none."""
    try:
        return None if any("_" in cell for cell in cells) else [kind(cell) for cell in cells]
    except ValueError:
        return None


def _arrow_column(argument: str, path: pathlib.Path, name: str, column: Any) -> np.ndarray:
    import pyarrow.types as kinds

    kind, place = column.type, f"{path}, column {name!r}"
    if kinds.is_list(kind) or kinds.is_large_list(kind) or kinds.is_fixed_size_list(kind):
        rows = [np.asarray(row.as_py()) if row.is_valid else np.zeros(0) for row in column]
        widths = {row.shape for row in rows}
        check(len(widths) == 1, argument, f"{place} with lists of lengths {sorted(widths)[:3]}", "lists of one length")
        return np.stack(rows)
    if kinds.is_integer(kind) or kinds.is_floating(kind) or kinds.is_boolean(kind):
        if column.null_count == 0:
            return column.to_numpy()
        return np.array([np.nan if entry is None else float(entry) for entry in column.to_pylist()])
    if kinds.is_dictionary(kind):
        column = column.cast(kind.value_type)
    return np.array(column.to_pylist(), object)


def _bytes(count: int) -> str:
    size = float(count)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.4g} {unit}"
        size /= 1024
    return f"{size:.4g} TiB"
