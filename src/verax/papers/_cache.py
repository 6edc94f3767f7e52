"""Arrays of a paper's steps kept by the content of what they depend on, so that an interrupted run resumes."""

import pathlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from verax._digest import digest, versions
from verax._files import read_archive, write_file
from verax._types import PyTree


class Cache:
    """Arrays kept in a folder under a digest of all that they were computed from; without a folder nothing is kept.

    A file is written under another name and then renamed, so that an interrupted run leaves none half-written.
    """

    def __init__(self, folder: str | pathlib.Path | None):
        self._folder = None if folder is None else pathlib.Path(folder)
        self.computed = 0
        self.read = 0

    def get(self, kind: str, inputs: list[Any], compute: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """Return the arrays kept for these inputs, or compute and keep them.

        ``kind`` names the computation and its version: one that computes something else needs another name.
        """
        if self._folder is None:
            self.computed += 1
            return compute()
        path = self._folder / f"{kind}-{digest(versions()['verax'], kind, *inputs)[:32]}.npz"
        if path.exists():
            self.read += 1
            return read_archive("cache", path)
        arrays = compute()
        self.computed += 1
        write_file(path, lambda file: np.savez(file, allow_pickle=False, **arrays))
        return arrays

    def get_tree(self, kind: str, inputs: list[Any], template: PyTree, compute: Callable[[], PyTree]) -> PyTree:
        """Return the pytree of arrays kept for these inputs, of the template's structure, or compute and keep it."""

        def leaves() -> dict[str, np.ndarray]:
            return {f"leaf{i}": np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(compute()))}

        kept = self.get(kind, inputs, leaves)
        return jax.tree.unflatten(
            jax.tree.structure(template), [jnp.asarray(kept[f"leaf{i}"]) for i in range(len(kept))]
        )
