"""Files from elsewhere: what is read, what is refused, and what hostile ones may cost."""

import io
import json
import os
import struct
import zipfile
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from verax import _files, _memory, _save
from verax._files import (
    read_archive,
    read_csv,
    read_json,
    read_json_lines,
    read_npy,
    read_parquet,
    read_text,
    write_file,
)


def npz(**arrays):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def npy_header(shape, dtype="<f8"):
    return _raw_header(f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}")


def _raw_header(text):
    text = text.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


def parquet(path, **columns):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow.parquet import write_table

    write_table(pyarrow.table(columns), path)


ARRAYS = {"x": np.arange(12.0).reshape(4, 3), "y": np.array([0, 1, 1, 0]), "names": np.array(["a", "b"])}


def test_arrays_come_back(tmp_path):
    (tmp_path / "a.npz").write_bytes(npz(**ARRAYS))
    found = read_archive("data", tmp_path / "a.npz")
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)
    for array in (ARRAYS["x"], np.asfortranarray(ARRAYS["x"]), np.zeros((0, 3)), np.array(3.0)):
        (tmp_path / "a.npy").write_bytes(npy(array))
        for mapped in (False, True):
            np.testing.assert_array_equal(read_npy("data", tmp_path / "a.npy", mapped=mapped), array)
    assert isinstance(read_npy("data", tmp_path / "a.npy"), np.ndarray)


def overlapping():
    """Two names for the same bytes, as in bombs that need no nesting."""
    contents = bytearray(npz(a=np.zeros(1 << 16), b=np.zeros(1 << 16)))
    places = [i for i in range(len(contents)) if contents[i : i + 4] == b"PK\x01\x02"]
    contents[places[1] + 42 : places[1] + 46] = contents[places[0] + 42 : places[0] + 46]
    return bytes(contents)


def encrypted():
    contents = bytearray(npz(a=np.zeros(3)))
    contents[6] |= 1
    contents[contents.index(b"PK\x01\x02") + 8] |= 1
    return bytes(contents)


def archive_of(contents, name="x.npy", method=zipfile.ZIP_DEFLATED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr(name, contents)
    return buffer.getvalue()


HOSTILE_ARRAYS = {
    "empty": b"",
    "text": b"hello",
    "truncated": npz(**ARRAYS)[:-30],
    "pickled": archive_of(npy_header((1,), "|O")),
    "a header that claims 36 TiB": archive_of(npy_header((2**42,)) + bytes(64)),
    "a negative shape": archive_of(npy_header((-1, -8)) + bytes(64)),
    "a header that is a program": archive_of(_raw_header("__import__('os').abort()")),
    "a header nested deeply": archive_of(_raw_header("(" * 100)),
    "zeros that unpack to 256 MiB": archive_of(npy(np.zeros(1 << 25))),
    "no array": archive_of(b"hello", "readme.txt"),
    "overlapping parts": overlapping(),
    "encrypted": encrypted(),
    "an unknown method": bytes(npz(x=np.zeros(3))).replace(b"\x08\x00", b"\x63\x00"),
}


@pytest.mark.parametrize("name", HOSTILE_ARRAYS)
def test_hostile_archives_are_refused_by_name(tmp_path, name):
    path = tmp_path / "bad.npz"
    path.write_bytes(HOSTILE_ARRAYS[name])
    with pytest.raises(ValueError, match=r"^data: got .*bad\.npz.*; need ") as caught:
        read_archive("data", path)
    assert "pickle" not in str(caught.value)


@pytest.mark.parametrize(
    "contents", [b"", b"\x93NUMPY", npy_header((2**42,)), npy_header((3,), "|O"), npy(ARRAYS["x"])[:-1]]
)
def test_hostile_single_arrays_are_refused_by_name(tmp_path, contents):
    (tmp_path / "bad.npy").write_bytes(contents)
    for mapped in (False, True):
        with pytest.raises(ValueError, match=r"^data: got .*bad\.npy.*; need "):
            read_npy("data", tmp_path / "bad.npy", mapped=mapped)


def test_json_in_every_dress(tmp_path):
    path = tmp_path / "a.json"
    value = {"a": [1, 2.5, None, "é"]}
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        path.write_text(json.dumps(value, ensure_ascii=False), encoding=encoding)
        assert read_json("data", path) == value
    path.write_text('{"a": 1}\r\n\r\n{"a": 2}\r\n')
    assert list(read_json_lines("data", path)) == [(1, {"a": 1}), (3, {"a": 2})]


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"", "no JSON"),
        (b"[1,", "no JSON .* line 1, column 4"),
        (b"[" * 200_000, "nested too deeply"),
        (b"9" * 5000, "too many digits"),
        (b"\xff\x00\x01", "no UTF-8 at byte 0"),
        (b'"\xc3', "no UTF-8"),
    ],
)
def test_bad_json_is_refused_by_place(tmp_path, contents, message):
    (tmp_path / "bad.json").write_bytes(contents)
    with pytest.raises(ValueError, match=rf"^data: got .*bad\.json.*{message}.*; need"):
        read_json("data", tmp_path / "bad.json")


def test_bad_lines_are_refused_by_number(tmp_path):
    (tmp_path / "bad.jsonl").write_text('{"a": 1}\n\n{"a": \n')
    with pytest.raises(ValueError, match=r"bad\.jsonl, line 3, which is no JSON"):
        list(read_json_lines("data", tmp_path / "bad.jsonl"))


def test_columns_keep_what_is_missing(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("﻿id,a,b,name,flag\n1,0.5,3,x,1\n2,,4,,0\n3,nan,5,007,1\n\n", encoding="utf-8")
    found = read_csv("data", path)
    assert list(found) == ["id", "a", "b", "name", "flag"]
    np.testing.assert_array_equal(found["id"], [1, 2, 3])
    np.testing.assert_array_equal(found["a"], [0.5, np.nan, np.nan])
    assert found["b"].dtype.kind == "i"
    assert found["name"].tolist() == ["x", None, "007"]
    path.write_text("a;b\n1;2,5\n")
    assert read_csv("data", path)["b"].tolist() == ["2,5"]
    path.write_text("a\n99999999999999999999999\n1\n")
    assert read_csv("data", path)["a"].tolist() == ["99999999999999999999999", "1"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n", "of 1 lines"),
        ("a,a\n1,2\n", "two columns 'a'"),
        ("a,b\n1,2\n3\n", "line 3, with 1 cells; need 2"),
        ("a,b\n1,2\n3,4\nx,5\n", "'x' in .*column 'a', line 4"),
        ('a,b\n"1,2\n', "damaged"),
    ],
)
def test_bad_tables_are_refused_by_place(tmp_path, text, message):
    (tmp_path / "bad.csv").write_text(text)
    with pytest.raises(ValueError, match=rf"^data: got .*{message}"):
        read_csv("data", tmp_path / "bad.csv")


def test_parquet_columns(tmp_path):
    path = tmp_path / "a.parquet"
    parquet(path, a=[1, 2, 3], b=[1.0, None, 2.0], c=["x", None, "y"], e=[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    found = read_parquet("data", path)
    assert found["a"].tolist() == [1, 2, 3]
    np.testing.assert_array_equal(found["b"], [1.0, np.nan, 2.0])
    assert found["c"].tolist() == ["x", None, "y"]
    np.testing.assert_array_equal(found["e"], [[1, 2], [3, 4], [5, 6]])
    parquet(path, e=[[1.0], [1.0, 2.0]])
    with pytest.raises(ValueError, match=r"a\.parquet, column 'e' with lists of lengths"):
        read_parquet("data", path)
    parquet(path, zeros=np.zeros(30_000_000, np.int8))
    with pytest.raises(ValueError, match=r"a\.parquet of .* KiB, which declares .* MiB"):
        read_parquet("data", path)


def test_a_folder_and_a_missing_file(tmp_path):
    with pytest.raises(ValueError, match=r"^data: got .*, a folder; need a file"):
        read_text("data", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"^data: got .*none\.json, which does not exist"):
        read_json("data", tmp_path / "none.json")


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "a.txt"
    write_file(path, lambda file: file.write(b"old"))
    assert path.read_bytes() == b"old"
    assert path.stat().st_mode & 0o777 == 0o666 & ~_files._UMASK

    def fails(file):
        file.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_file(path, fails)
    assert path.read_bytes() == b"old"
    assert os.listdir(path.parent) == ["a.txt"]
    with pytest.raises(OSError, match=r"a\.txt") as caught:
        write_file(tmp_path / "new" / "a.txt" / "b.txt", lambda file: None)
    assert "partial" not in str(caught.value)


class Kept(NamedTuple):
    leaves: Any


def test_narrow_floats_and_keys_are_saved(tmp_path):
    _save._REGISTRY.setdefault("Kept", Kept)
    keys = jax.random.split(jax.random.key(3))
    _save.save(Kept([jnp.ones(3, jnp.bfloat16), keys, {"a": 1.5}]), tmp_path / "a.npz")
    (narrow, again, rest) = _save.load(tmp_path / "a.npz").leaves
    assert narrow.dtype == jnp.bfloat16
    assert narrow.tolist() == [1, 1, 1]
    np.testing.assert_array_equal(jax.random.key_data(again), jax.random.key_data(keys))
    assert rest == {"a": 1.5}


def test_memory_is_the_least_of_all_limits(tmp_path, monkeypatch):
    assert 0 < _memory.planned_memory() <= _memory.available_memory()
    assert _memory.planned_memory().bit_count() == 1
    (tmp_path / "self").mkdir()
    (tmp_path / "meminfo").write_text("MemTotal: 100 kB\nMemAvailable: 64 kB\n")
    (tmp_path / "self" / "cgroup").write_text("5:cpu,memory:/job\n0::/\n")
    version1, root = tmp_path / "groups" / "memory" / "job", tmp_path / "groups"
    version1.mkdir(parents=True)
    monkeypatch.setattr(_memory, "_PROC", tmp_path)
    monkeypatch.setattr(_memory, "_CGROUPS", root)
    assert _memory.available_memory() == 64 * 1024
    (version1 / "memory.limit_in_bytes").write_text("50000\n")
    (version1 / "memory.usage_in_bytes").write_text("30000\n")
    (version1 / "memory.stat").write_text("cache 1\ntotal_inactive_file 5000\n")
    assert _memory.available_memory() == 25_000
    (root / "memory.max").write_text("9000\n")
    (root / "memory.current").write_text("1000\n")
    assert _memory.available_memory() == 8_000
    (root / "memory.max").write_text("max\n")
    assert _memory.available_memory() == 25_000
