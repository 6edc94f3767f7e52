"""One file a tile: written whole or not at all, and checked by its own digest when read.

A plain format and no array store: half of a symmetric kernel is kept, a tile is the unit of work, of loss and of
reading, and whether one is there and sound must be told without trusting anything else in the folder.
"""

import errno
import hashlib
import os
import pathlib
import tempfile
from typing import Any

import numpy as np

_MAGIC = b"verax\x00\x01\x00"
_HEADER = len(_MAGIC) + hashlib.sha256().digest_size  # a multiple of 8, so that a mapped tile is aligned


def tile_path(folder: pathlib.Path, row: int, column: int) -> pathlib.Path:
    """File of the tile that begins at this row and column."""
    return folder / "tiles" / f"{row}-{column}.tile"


def write_tile(path: pathlib.Path, values: np.ndarray) -> None:
    """Write a tile atomically: a reader sees nothing or all of it."""
    payload = np.ascontiguousarray(values)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".partial")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(_MAGIC + _digest(payload))
            file.write(payload.tobytes())
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        pathlib.Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            message = f"no space for {path} ({payload.nbytes} bytes); finished tiles are kept, so run the job again"
            raise OSError(error.errno, message) from error
        raise


def read_tile(path: pathlib.Path, shape: tuple[int, ...], dtype: Any, *, check: bool) -> np.ndarray | None:
    """Map a tile into memory; None if it is not there, of another size, or, where that is checked, not as written."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
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
    if check and _digest(values) != header[len(_MAGIC) :]:
        return None
    return values


def _digest(values: np.ndarray) -> bytes:
    return hashlib.sha256(values.tobytes()).digest()
