"""A kernel in a folder, read tile by tile."""

import os
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from verax._arrays import to_host
from verax._digest import digest
from verax._errors import check, fail
from verax._files import read_json

from ._tile_files import read_tile, tile_path

MANIFEST = "manifest.json"
FORMAT = 2
_DTYPES = ("float64", "float32", "float16", "bfloat16")


class KernelFile:
    """A kernel on disk, as an array that is read when it is asked for.

    Attributes
    ----------
    path : pathlib.Path
        Its folder.
    shape, dtype, ndim
        As of the kernel.
    block_size : int
        Rows and columns of a tile.
    symmetric : bool
        Whether tiles below the diagonal are those above, transposed.

    Notes
    -----
    ``kernel[rows, columns]`` with integers, slices or arrays of integers reads the tiles that it needs;
    ``numpy.asarray(kernel)`` reads all. Each tile is checked against its digest when it is first read.
    """

    def __init__(self, path: pathlib.Path, manifest: dict[str, Any]):
        self.path = path
        self.job = digest(manifest)
        self.shape = tuple(manifest["shape"])
        self.dtype = np.dtype(manifest["dtype"])
        self.block_size = manifest["block_size"]
        self.symmetric = manifest["symmetric"]
        self._checked: set[tuple[int, int]] = set()

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __repr__(self) -> str:
        return f"KernelFile({str(self.path)!r}, shape={self.shape}, dtype={self.dtype})"

    def starts(self) -> Iterator[tuple[int, int]]:
        """First row and column of each tile that is kept."""
        rows, columns = (range(0, size, self.block_size) for size in self.shape[:2])
        return ((row, column) for row in rows for column in columns if not self.symmetric or row <= column)

    @property
    def num_tiles(self) -> int:
        """Number of tiles that are kept."""
        rows, columns = (-(-size // self.block_size) for size in self.shape[:2])
        return rows * (rows + 1) // 2 if self.symmetric else rows * columns

    def tile_shape(self, row: int, column: int) -> tuple[int, ...]:
        """Shape of the tile that begins at this row and column."""
        size = self.block_size
        return min(size, self.shape[0] - row), min(size, self.shape[1] - column), *self.shape[2:]

    def sound_tile(self, row: int, column: int) -> np.ndarray | None:
        """The tile that is kept at this place, None if it is missing or not as written."""
        path, shape = tile_path(self.path, row, column), self.tile_shape(row, column)
        return read_tile(path, self.job, shape, self.dtype, check=True)

    def missing(self) -> list[tuple[int, int]]:
        """Tiles that are not there."""
        return [at for at in self.starts() if not tile_path(self.path, *at).exists()]

    def tile(self, row: int, column: int) -> np.ndarray:
        """The tile that begins at this row and column, below the diagonal too."""
        if self.symmetric and row > column:
            above = self.tile(column, row)
            return above.T if above.ndim == 2 else above.transpose(1, 0, 3, 2)
        path, shape = tile_path(self.path, row, column), self.tile_shape(row, column)
        values = read_tile(path, self.job, shape, self.dtype, check=(row, column) not in self._checked)
        if values is None:
            got = f"a missing or damaged tile {path.name} in {self.path}, or another job's {MANIFEST}"
            fail("path", got, "a finished kernel: run the job again")
        self._checked.add((row, column))
        return values

    def product(self, v: Any) -> np.ndarray:
        """Product ``K v`` for ``v [m]`` or ``[m, k]``, tile by tile, summed in double precision.

        The result has the dtype of ``v`` if that is float32, and is float64 otherwise.
        """
        check(self.ndim == 2, "kernel", f"shape {self.shape}", "two axes")
        single = getattr(v, "dtype", None) == np.float32
        v = to_host("v", v, shape=[(self.shape[1],), (self.shape[1], "k")], within="[-1e150, 1e150]")
        out = np.zeros((self.shape[0], *v.shape[1:]))
        for row, column in self.starts():
            tile = self.tile(row, column)
            height, width = tile.shape
            out[row : row + height] += tile.astype(np.float64) @ v[column : column + width]
            if self.symmetric and row != column:
                out[column : column + width] += tile.T.astype(np.float64) @ v[row : row + height]
        return out.astype(np.float32) if single else out

    def __getitem__(self, index: Any) -> np.ndarray:
        index = index if isinstance(index, tuple) else (index,)
        check(len(index) <= 2, "index", f"{len(index)} indices", "rows, or rows and columns")
        index = (*index, *[slice(None)] * (2 - len(index)))
        chosen = [np.arange(size)[part] for part, size in zip(index, self.shape[:2], strict=True)]
        rows, columns = (np.atleast_1d(part) for part in chosen)
        out = np.empty((len(rows), len(columns), *self.shape[2:]), self.dtype)
        size = self.block_size
        for row in np.unique(rows // size) * size:
            in_rows = np.flatnonzero(rows // size == row // size)
            for column in np.unique(columns // size) * size:
                in_columns = np.flatnonzero(columns // size == column // size)
                tile = self.tile(int(row), int(column))
                out[np.ix_(in_rows, in_columns)] = tile[np.ix_(rows[in_rows] - row, columns[in_columns] - column)]
        if chosen[1].ndim == 0:
            out = out[:, 0]
        return out[0] if chosen[0].ndim == 0 else out

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        del copy  # always a new array
        out = np.empty(self.shape, self.dtype if dtype is None else dtype)
        for row, column in self.starts():
            tile = self.tile(row, column)
            height, width = tile.shape[:2]
            out[row : row + height, column : column + width] = tile
            if self.symmetric and row != column:
                out[column : column + width, row : row + height] = self.tile(column, row)
        return out


def open_kernel(path: str | os.PathLike[str]) -> KernelFile:
    """Open a kernel that a job has finished.

    Parameters
    ----------
    path
        Folder of the job, for example of :func:`verax.ntk.ntk_job`.

    Returns
    -------
    KernelFile
        Accepted by :func:`verax.spectral.kernel_spectrum`.

    Raises
    ------
    ValueError
        For a folder that holds no kernel, one of another format, or one of which tiles are missing.

    Examples
    --------
    >>> import tempfile, jax.numpy as jnp, numpy as np
    >>> from verax.ntk import ntk_job
    >>> from verax.parallel import open_kernel
    >>> x = jnp.array([[1.0, 2.0], [3.0, 4.0], [0.0, 1.0]])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = ntk_job(lambda p, x: x @ p, jnp.ones((2, 1)), x, path=folder, block_size=2)
    ...     kernel = open_kernel(folder)
    ...     kernel.shape, kernel[1:, 0].tolist()
    ((3, 3), [11.0, 2.0])
    """
    folder = pathlib.Path(path)
    kernel = KernelFile(folder, read_manifest(folder))
    tiles = folder / "tiles"
    there = sum(entry.name.endswith(".tile") for entry in os.scandir(tiles)) if tiles.is_dir() else 0
    # Counted before they are listed: a manifest may claim any shape.
    missing = max(kernel.num_tiles - there, 0) or len(kernel.missing())
    check(missing == 0, "path", f"a kernel of which {missing} tiles are missing", "a finished one: run the job again")
    return kernel


def read_manifest(folder: pathlib.Path) -> dict[str, Any]:
    """Return what a job wrote about itself, checked."""
    file = folder / MANIFEST
    check(file.is_file(), "path", f"{folder}, which has no {MANIFEST}", "the folder of a kernel job")
    manifest = read_json("path", file)
    found = manifest.get("format") if isinstance(manifest, dict) else None
    check(found == FORMAT, "path", f"{file} of format {found}", f"format {FORMAT}")
    check_manifest(str(file), manifest)
    return manifest


def check_manifest(place: str, manifest: dict[str, Any]) -> None:
    """Raise unless a manifest describes a kernel."""
    shape, dtype = manifest.get("shape"), manifest.get("dtype")
    sizes = isinstance(shape, list | tuple) and len(shape) in (2, 4) and all(map(_is_size, shape))
    check(sizes, "path", f"{place} with shape {shape}", "two or four positive sizes")
    check(dtype in _DTYPES, "path", f"{place} with dtype {dtype!r}", "one of " + ", ".join(_DTYPES))
    block = manifest.get("block_size")
    check(_is_size(block), "path", f"{place} with block_size {block!r}", "a positive integer")
    symmetric = manifest.get("symmetric")
    check(isinstance(symmetric, bool), "path", f"{place} with symmetric {symmetric!r}", "true or false")
    fits = not symmetric or (shape is not None and shape[0] == shape[1])
    check(fits, "path", f"{place} with shape {shape} of a symmetric kernel", "as many rows as columns")


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**62
