"""IDX files, the format of MNIST: a big-endian header, then bytes."""

import math
import pathlib

import numpy as np

_UINT8 = 0x08


def find_idx(folder: pathlib.Path, name: str) -> pathlib.Path | None:
    """Path of an IDX file such as ``train-images-idx3-ubyte`` in a folder, plain or gzip, or None."""
    dotted = name.replace("-idx", ".idx")  # as some archives unpack it
    for candidate in (name, f"{name}.gz", dotted, f"{dotted}.gz"):
        if (folder / candidate).is_file():
            return folder / candidate
    return None


def parse_idx(contents: bytes, path: pathlib.Path, *, ndim: int) -> np.ndarray:
    """Array of bytes in an IDX file; ``path`` is for the messages.

    The header is two zero bytes, a type code, the number of axes, and one big-endian 32-bit size an axis.
    """
    header = 4 + 4 * ndim
    want = bytes((0, 0, _UINT8, ndim))
    if contents[:4] != want:
        raise ValueError(f"{path}: got first bytes {contents[:4].hex()}; need {want.hex()} (IDX, bytes, {ndim} axes)")
    if len(contents) < header:
        raise ValueError(f"{path}: got {len(contents)} bytes; need a header of {header}")
    shape = tuple(int.from_bytes(contents[start : start + 4], "big") for start in range(4, header, 4))
    if len(contents) != header + math.prod(shape):
        raise ValueError(
            f"{path}: got {len(contents) - header} bytes of data; need {math.prod(shape)} for shape {shape}"
        )
    return np.frombuffer(contents, np.uint8, offset=header).reshape(shape)
