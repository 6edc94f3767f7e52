"""Traces of requests in the usual forms."""

import gzip
import struct

import numpy as np
import pytest

from verax.online.caching import belady, blind_oracle, next_requests, read_trace

PAGES = [2**63 + 1, 5, 2**63 + 1, 7, 5]


def records(pages):
    ahead = np.asarray(next_requests(np.array(pages, np.uint64)))
    ahead = np.where(ahead < len(pages), ahead, -1).tolist()
    rows = [(100 + t, page, 10 * t, following) for t, (page, following) in enumerate(zip(pages, ahead, strict=True))]
    return b"".join(struct.pack("<IQIq", *row) for row in rows)


@pytest.mark.parametrize("packed", [False, True])
def test_a_binary_trace_comes_back_with_every_digit(tmp_path, packed):
    path = tmp_path / ("trace.bin.gz" if packed else "trace.oracleGeneral")
    path.write_bytes(gzip.compress(records(PAGES)) if packed else records(PAGES))
    trace = read_trace(path)
    assert trace.requests.tolist() == PAGES
    assert trace.time.tolist() == [100, 101, 102, 103, 104]
    assert trace.size.tolist() == [0, 10, 20, 30, 40]
    assert trace.next_request.tolist() == [2, 4, 5, 5, 5]
    for size in (1, 2):  # the file's own next requests are perfect predictions
        best = belady(trace.requests, size)
        assert blind_oracle(trace.requests, trace.next_request, size).num_misses == best.num_misses


def test_a_part_of_a_trace_keeps_pages_without_a_next_request_last(tmp_path):
    path = tmp_path / "part.bin"
    rows = [(0, 1, 1, 900), (1, 2, 1, -1), (2, 3, 1, 1000)]
    path.write_bytes(b"".join(struct.pack("<IQIq", *row) for row in rows))
    assert read_trace(path).next_request.tolist() == [900, 1001, 1000]


@pytest.mark.parametrize(
    ("text", "pages"),
    [
        ("time,id,size\n0,a,10\n1,b,20\n", ["a", "b"]),
        ("Timestamp;Obj_ID;Obj_Size\n0;9223372036854775807;10\n1;3;20\n", [2**63 - 1, 3]),
        ("\ufeffid\n4\n4\n", [4, 4]),
    ],
)
def test_a_table_of_requests(tmp_path, text, pages):
    path = tmp_path / "trace.csv"
    path.write_text(text, encoding="utf-8")
    trace = read_trace(path)
    assert trace.requests.tolist() == pages
    assert trace.next_request is None
    assert (trace.size is None) == ("size" not in text.lower())


def test_a_packed_table_of_requests(tmp_path):
    path = tmp_path / "trace.csv.gz"
    path.write_bytes(gzip.compress(b"time,id\n0,a\n1,b\n"))
    assert read_trace(path).requests.tolist() == ["a", "b"]


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("name", "contents", "message"),
    [
        ("a.bin", records(PAGES)[:-1], "of 119 bytes; need records of 24 bytes"),
        ("a.bin", b"", "of 0 bytes"),
        ("a.bin", b"\x28\xb5\x2f\xfd" + bytes(20), "packed by zstd"),
        ("a.bin", struct.pack("<IQIq", 0, 1, 1, -5), "a next request of -5"),
        ("a.csv", b"time,size\n1,2\n", "the columns time, size; need a column named id"),
        ("a.csv", b"0,17,4096\n1,18,4096\n", "need a column named id, with names in the first line"),
        ("a.csv", b"time,id\n1,a\n2,\n", "an empty cell in column id"),
        ("a.csv", b"time,id\nnoon,a\nlater,b\n", "text in column time"),
        ("a.csv", b"id\n", "of 1 lines"),
    ],
)
def test_other_files_are_refused_by_name(tmp_path, name, contents, message):
    path = tmp_path / name
    path.write_bytes(contents)
    with pytest.raises(ValueError, match=rf"^path: got .*{message}"):
        read_trace(path)
