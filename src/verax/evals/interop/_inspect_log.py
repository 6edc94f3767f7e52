"""Files that Inspect writes, as headers and summaries of samples; whole samples only where text is asked for.

An ``.eval`` file is a zip archive whose members are compressed by Zstandard: ``header.json``, ``summaries.json`` (for a
run that was killed, ``_journal/start.json`` and ``_journal/summaries/*.json``) and ``samples/*.json``.
"""

import pathlib
import zipfile
from collections.abc import Iterator
from typing import Any, NamedTuple

from verax._errors import check, fail
from verax._extras import extra
from verax._files import parse_json, read_json

_ZSTANDARD = 93
_LARGEST_RATIO, _SMALLEST_LIMIT = 200, 1 << 26  # a member that claims more than this for its file is a bomb


class InspectLog(NamedTuple):
    """The parts of a log that a table needs."""

    path: pathlib.Path
    status: str
    model: str
    task: str
    num_cells: int
    """Samples times epochs that were planned; 0 if the log does not say."""
    samples: list[dict[str, Any]]


def read_inspect_log(path: pathlib.Path, *, whole: bool, argument: str) -> InspectLog:
    """Header and samples of a log in either format; ``whole`` samples hold their text."""
    head, samples = _read_eval(path, whole, argument) if path.suffix == ".eval" else _read_json(path, argument)
    for sample in samples:
        check(isinstance(sample, dict) and "id" in sample, argument, f"{path}: a sample without id", "a complete log")
        sound = all(isinstance(sample.get(name) or {}, dict) for name in ("scores", "metadata"))
        check(sound, argument, f"{path}, sample {sample['id']}: scores or metadata of another kind", "objects")
    run = head.get("eval") if isinstance(head, dict) else None
    if not isinstance(run, dict) or "model" not in run:
        fail(argument, f"{path}, which Inspect did not write (no eval.model)", "a log of Inspect")
    parts: list[dict[str, Any]] = [
        run[name] if isinstance(run.get(name), dict) else {} for name in ("dataset", "config")
    ]
    dataset, config = parts
    status = str(head.get("status", "unknown"))
    check(len(samples) > 0, argument, f"{path}, a log with status {status!r} and no samples", "a log with samples")
    ids = dataset.get("sample_ids")
    planned = len(ids) if isinstance(ids, list) else dataset.get("samples") or 0
    epochs = config.get("epochs") or 1
    sound = all(isinstance(number, int) and number >= 0 for number in (planned, epochs))
    return InspectLog(
        path, status, str(run["model"]), str(run.get("task", "task")), planned * epochs if sound else 0, samples
    )


def _read_json(path: pathlib.Path, argument: str) -> tuple[Any, list[dict[str, Any]]]:
    log = read_json(argument, path)
    samples = log.get("samples") if isinstance(log, dict) else None
    return log, samples if isinstance(samples, list) else []


def _read_eval(path: pathlib.Path, whole: bool, argument: str) -> tuple[Any, list[dict[str, Any]]]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            header = "header.json" if "header.json" in names else "_journal/start.json"
            head = _member(archive, header, path, argument)
            if "status" not in head:
                head["status"] = "started"  # the journal of a run that was killed
            if whole:
                return head, list(_members(archive, [n for n in names if n.startswith("samples/")], path, argument))
            if "summaries.json" in names:
                return head, _list(_member(archive, "summaries.json", path, argument), path, argument)
            journal = sorted((n for n in names if n.startswith("_journal/summaries/")), key=lambda n: (len(n), n))
            parts = [_list(part, path, argument) for part in _members(archive, journal, path, argument)]
            return head, [sample for part in parts for sample in part]
    except (zipfile.BadZipFile, EOFError, OSError, RuntimeError, NotImplementedError, KeyError) as error:
        fail(argument, f"{path}, which is no log of Inspect ({type(error).__name__}: {error})", "a complete log")


def _list(content: Any, path: pathlib.Path, argument: str) -> list[dict[str, Any]]:
    check(isinstance(content, list), argument, f"{path}: summaries of another kind", "a list of samples")
    return content


def _members(archive: zipfile.ZipFile, names: list[str], path: pathlib.Path, argument: str) -> Iterator[Any]:
    for name in names:
        yield _member(archive, name, path, argument)


def _member(archive: zipfile.ZipFile, name: str, path: pathlib.Path, argument: str) -> Any:
    entry = archive.getinfo(name)
    most = max(_SMALLEST_LIMIT, _LARGEST_RATIO * path.stat().st_size)
    check(entry.file_size <= most, argument, f"{path}, whose {name} claims {entry.file_size} bytes", f"at most {most}")
    packed = entry.compress_type == _ZSTANDARD
    content = _decompress(entry, path, argument) if packed else archive.read(name)
    check(len(content) == entry.file_size, argument, f"{path}, whose {name} is cut short", "a complete log")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        fail(argument, f"{path}, whose {name} is no UTF-8 ({error})", "a complete log")
    return parse_json(argument, f"{path}, {name}", text)


def _decompress(entry: zipfile.ZipInfo, path: pathlib.Path, argument: str) -> bytes:
    """A member compressed by Zstandard, which the standard library reads from Python 3.14 on alone."""
    with extra("inspect"):
        import zstandard  # pyright: ignore[reportMissingImports] (an optional package)
    with path.open("rb") as file:
        file.seek(entry.header_offset + 26)  # the lengths of the name and of the extra field in the local header
        lengths = file.read(4)
        file.seek(int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little"), 1)
        packed = file.read(entry.compress_size)
    try:
        with zstandard.ZstdDecompressor().stream_reader(packed) as stream:
            return stream.read(entry.file_size + 1)
    except zstandard.ZstdError as error:
        fail(argument, f"{path}, whose {entry.filename} is damaged ({error})", "a complete log")
