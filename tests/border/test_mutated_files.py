"""Files with flipped bits, missing ends and absurd numbers: read, or refused by name, soon and in little memory."""

import json
import pathlib
import random
import re
import time
import tracemalloc

import jax.numpy as jnp
import numpy as np
import pytest

import verax.spectral as vs
from verax import data
from verax._files import read_archive, read_bytes, read_csv, read_json, read_json_lines, read_npy, read_parquet
from verax.ntk import ntk_job
from verax.parallel import open_kernel
from verax.report import Report, load_report

pytestmark = pytest.mark.property

MUTATIONS = 40
SECONDS, FLOOR = 5, 16 << 20


def archive(folder):
    np.savez_compressed(folder / "a.npz", x=np.arange(60.0).reshape(20, 3), y=np.arange(20), names=np.array(["u", "v"]))
    return folder / "a.npz", lambda path: read_archive("data", path)


def array(folder):
    np.save(folder / "a.npy", np.arange(60.0).reshape(20, 3))
    return folder / "a.npy", lambda path: read_npy("data", path, mapped=True).sum()


def saved(folder):
    model = vs.kernel_ridge_fit(np.eye(3), np.arange(3.0), 0.1)
    vs.save(model, folder / "a.npz")
    return folder / "a.npz", vs.load


def tree(folder):
    (folder / "a.json").write_text(json.dumps({"a": [1, 2.5, {"b": None}], "c": "text", "d": [[[1]]] * 20}))
    return folder / "a.json", lambda path: read_json("data", path)


def lines(folder):
    (folder / "a.jsonl").write_text("\n".join(json.dumps({"i": i, "label": "GOOD"}) for i in range(30)))
    return folder / "a.jsonl", lambda path: list(read_json_lines("data", path))


def table(folder):
    (folder / "a.csv").write_text("a,b,label\n" + "\n".join(f"{i},{i / 7},{'uv'[i % 2]}" for i in range(30)))
    return folder / "a.csv", lambda path: read_csv("data", path)


def columns(folder):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow.parquet import write_table

    write_table(
        pyarrow.table({"a": list(range(30)), "e": [[1.0, 2.0]] * 30, "label": ["u", "v"] * 15}), folder / "a.parquet"
    )
    return folder / "a.parquet", lambda path: read_parquet("data", path)


def unpacked(folder):
    import gzip

    (folder / "a.gz").write_bytes(gzip.compress(bytes(range(256)) * 40))
    return folder / "a.gz", lambda path: read_bytes("data", path)


def images(folder):
    draw = np.random.default_rng(0).integers
    sizes = {"x_train": (4, 3, 3), "y_train": 4, "x_test": (2, 3, 3), "y_test": 2}
    parts = {name: draw(0, 2, size, dtype=np.uint8) for name, size in sizes.items()}
    np.savez_compressed(folder / "mine.npz", **parts)
    return folder / "mine.npz", lambda path: data.load("mine", path.parent)


def manifest(folder):
    x = np.arange(8, dtype=np.float32).reshape(4, 2)
    kernel = ntk_job(lambda p, x: x @ p, jnp.ones((2, 1)), x, path=folder, block_size=2)
    return kernel.path / "manifest.json", lambda path: np.asarray(open_kernel(path.parent))


def tile(folder):
    manifest(folder)
    return folder / "tiles" / "0-2.tile", lambda path: np.asarray(open_kernel(path.parent.parent))


def report(folder):
    Report("Title", "Authors, 2022", [], {}, {}, {"n": 100}, {"cpu": "x"}, 1.5).save(folder)
    return folder / "report.json", lambda path: load_report(path.parent)


READERS = [archive, array, saved, tree, lines, table, columns, unpacked, images, manifest, tile, report]


def mutated(contents, draw):
    """The bytes with something done to them."""
    kind = draw.choice(["flip", "cut", "drop", "repeat", "number", "nest", "zero"])
    place = draw.randrange(len(contents))
    if kind == "flip":
        changed = bytearray(contents)
        for _ in range(draw.choice([1, 1, 8])):
            changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
        return bytes(changed)
    if kind == "cut":
        return contents[:place]
    if kind == "drop":
        return contents[:place] + contents[place + draw.choice([1, 7, 100]) :]
    if kind == "repeat":
        return contents[: place + 50] + contents[place:]
    if kind == "number":
        absurd = draw.choice([b"-1", b"1e999", b"9" * 5000, b"4611686018427387904", b"NaN", b"\xff"])
        numbers = list(re.finditer(rb"\d+", contents))
        at = draw.choice(numbers) if numbers else None
        return contents if at is None else contents[: at.start()] + absurd + contents[at.end() :]
    if kind == "nest":
        deep = draw.choice([b"[" * 50_000, b'{"a":' * 50_000, b'"' * 3, b"\x00" * 9])
        return contents[:place] + deep + contents[place:]
    return contents[:place] + bytes(min(16, len(contents) - place)) + contents[place + 16 :]


@pytest.mark.parametrize("build", READERS, ids=[build.__name__ for build in READERS])
def test_mutated_files_are_read_or_refused_by_name(tmp_path, build):
    path, read = build(tmp_path)
    read(path)
    contents, draw = pathlib.Path(path).read_bytes(), random.Random(0)
    for number in range(MUTATIONS):
        changed = mutated(contents, draw)
        path.write_bytes(changed)
        tracemalloc.start()
        begun = time.monotonic()
        refused = None
        try:
            read(path)
        except ValueError as error:
            refused = error
        taken, peak = time.monotonic() - begun, tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert refused is None or type(refused) is ValueError, f"mutation {number}: {refused!r}"
        assert refused is None or path.name in str(refused), f"mutation {number}: {refused}"
        assert taken < SECONDS
        assert peak < 10 * len(changed) + FLOOR, f"mutation {number}: {peak} bytes"
