"""Kernels computed tile by tile into a folder, by one process or several, interrupted at any moment."""

import contextlib
import fcntl
import json
import os
import pathlib
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from verax._errors import check, fail
from verax._files import write_file
from verax._progress import progress_bar

from ._kernel_file import FORMAT, MANIFEST, KernelFile, check_manifest, read_manifest
from ._tile_files import tile_path, write_tile

_OURS = {"tiles", "locks", "lock"}  # what a job makes before its manifest

Tiles = Iterable[tuple[int, int, np.ndarray]]


def begun(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """Manifest of a job that was begun in this folder, None for a folder that is new or empty."""
    folder = pathlib.Path(path)
    if not folder.exists():
        return None
    check(folder.is_dir(), "path", f"{folder}, a file", "a folder")
    if (folder / MANIFEST).exists():
        return read_manifest(folder)
    names = {entry.name for entry in folder.iterdir() if not entry.name.startswith(f".{MANIFEST}.")}
    others = sorted(names - _OURS)
    if others:
        fail("path", f"a folder with other files ({others[0]})", "a new folder, an empty one or a job's")
    return None


def run_job(
    path: str | os.PathLike[str],
    manifest: dict[str, Any],
    groups: list[list[tuple[int, int]]],
    compute: Callable[[list[tuple[int, int]]], Tiles],
    progress: bool,
) -> KernelFile:
    """Compute what is missing of a kernel.

    ``groups`` are lists of tiles (first row, first column) that one process computes together; ``compute`` yields the
    tiles that it is asked for. A group is claimed by a lock on a file, which the system lifts when a process ends,
    however it ends.
    """
    folder = pathlib.Path(path)
    manifest = json.loads(json.dumps({"format": FORMAT, **manifest}))  # as it will be read
    check_manifest("a manifest", manifest)
    try:
        (folder / "tiles").mkdir(parents=True, exist_ok=True)
        (folder / "locks").mkdir(exist_ok=True)
        with _locked(folder / "lock", wait=True):
            _agree(folder, manifest)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ValueError(f"path: got {folder}, which cannot be written ({reason}); need a folder that can") from error
    kernel = KernelFile(folder, manifest)
    _room_for(kernel)
    waiting = dict(enumerate(groups))
    with progress_bar("kernel tiles", sum(map(len, groups)), progress) as advance:
        while waiting:
            done = [number for number, tiles in waiting.items() if _try_group(kernel, number, tiles, compute, advance)]
            for number in done:
                del waiting[number]
            if waiting and not done:
                time.sleep(0.1)  # others are at work on all that is left
    return kernel


def _try_group(
    kernel: KernelFile,
    number: int,
    tiles: list[tuple[int, int]],
    compute: Callable[[list[tuple[int, int]]], Tiles],
    advance: Callable[[], None],
) -> bool:
    """Finish a group unless another process is at it."""
    with _locked(kernel.path / "locks" / str(number), wait=False) as mine:
        if not mine:
            return False
        missing = [at for at in tiles if kernel.sound_tile(*at) is None]
        for _ in range(len(tiles) - len(missing)):
            advance()
        for row, column, values in compute(missing) if missing else ():
            write_tile(tile_path(kernel.path, row, column), kernel.job, values)
            advance()
        return True


@contextlib.contextmanager
def _locked(path: pathlib.Path, *, wait: bool) -> Iterator[bool]:
    """Hold a lock that ends with the process; False where another has it and we do not wait."""
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True


def _agree(folder: pathlib.Path, manifest: dict[str, Any]) -> None:
    """Write the manifest of a new job, or raise with what is different from the one that was begun."""
    old = read_manifest(folder) if (folder / MANIFEST).exists() else None
    if old is None:
        write_file(folder / MANIFEST, lambda file: file.write(json.dumps(manifest, indent=2).encode()))
        return
    for name in sorted({*old, *manifest}):
        if old.get(name) != manifest.get(name):
            got = f"a job whose {name} is {old.get(name)}"
            fail("path", got, f"{manifest.get(name)}, as this call has, or another folder")


def _room_for(kernel: KernelFile) -> None:
    missing = sum(int(np.prod(kernel.tile_shape(*at))) for at in kernel.missing()) * kernel.dtype.itemsize
    free = shutil.disk_usage(kernel.path).free
    check(missing <= free, "path", f"{free / 2**30:.1f} GiB free at {kernel.path}", f"{missing / 2**30:.1f} GiB")
