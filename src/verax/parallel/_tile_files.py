"""One file per tile: written whole or not at all, and checked by its digest when read.

The digest is of the job, the tile's place, its shape, its dtype and its entries, so that a tile of another job, of
another place or of another type is no sound one, whatever its bytes.

A plain format and no array store: half of a symmetric kernel is kept, a tile is the unit of work, of loss and of
reading, and whether one is there and sound must be told without trusting anything else in the folder.
"""

import errno
import hashlib
import math
import pathlib
from typing import Any

import numpy as np

from verax._digest import digest
from verax._files import write_file

_MAGIC = b"verax\x00\x02\x00"
_HEADER = len(_MAGIC) + hashlib.sha256().digest_size  # a multiple of 8, so that a mapped tile is aligned


def tile_path(folder: pathlib.Path, row: int, column: int) -> pathlib.Path:
    """File of the tile that begins at this row and column."""
    return folder / "tiles" / f"{row}-{column}.tile"


def write_tile(path: pathlib.Path, job: str, values: np.ndarray) -> None:
    """Write a tile of a job atomically: a reader sees nothing or all of it."""
    payload = np.ascontiguousarray(values)

    def write(file: Any) -> None:
        file.write(_MAGIC + _digest(path, job, payload))
        file.write(payload.tobytes())

    try:
        write_file(path, write)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        message = f"no space for {path} ({payload.nbytes} bytes); finished tiles are kept, so run the job again"
        raise OSError(error.errno, message) from error


def read_tile(path: pathlib.Path, job: str, shape: tuple[int, ...], dtype: Any, *, check: bool) -> np.ndarray | None:
    """Map a tile into memory; None if it is not there, of another size, or, where that is checked, not as written."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    try:
        if path.stat().st_size != _HEADER + size:
            return None
        with path.open("rb") as file:
            header = file.read(_HEADER)
    except FileNotFoundError:
        return None
    if header[: len(_MAGIC)] != _MAGIC:
        return None
    values = np.memmap(path, dtype, "r", _HEADER, shape)
    if check and _digest(path, job, values) != header[len(_MAGIC) :]:
        return None
    return values


def _digest(path: pathlib.Path, job: str, values: np.ndarray) -> bytes:
    return bytes.fromhex(digest(job, path.name, values))
