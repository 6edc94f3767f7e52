"""State of a training on disk: written whole or not at all, and read only by the run that it belongs to."""

import json
import pathlib
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from verax._digest import check_identity
from verax._errors import check, fail
from verax._files import parse_json, read_archive, write_file
from verax._types import PyTree


def write_checkpoint(
    path: pathlib.Path, owner: Mapping[str, str], state: PyTree, logs: list[np.ndarray], done: int
) -> None:
    """Put the state in place of the file in one step; two processes on one run leave one of two equal files."""
    leaves = {f"leaf{i}": np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(state))}
    header = np.array(json.dumps({"owner": dict(owner), "done": done}))
    log = np.concatenate(logs, axis=-1)
    write_file(path, lambda file: np.savez(file, allow_pickle=False, header=header, log=log, **leaves))


def read_checkpoint(
    path: pathlib.Path, owner: Mapping[str, str], state: PyTree
) -> tuple[PyTree, list[np.ndarray], int]:
    """Return the state, the log and the number of steps taken, or raise for a file of another run."""
    stored = read_archive("checkpoint", path)
    leaves, structure = jax.tree.flatten(state)
    names = [f"leaf{i}" for i in range(len(leaves))]
    if not {"header", "log"} <= set(stored):
        fail("checkpoint", f"{path}, without a header", "a file of this run, or a new one")
    header = parse_json("checkpoint", str(path), str(stored["header"]))
    check_identity("checkpoint", path, header.get("owner"), owner)
    for name, leaf in zip(names, leaves, strict=True):
        shape = stored[name].shape if name in stored else "none"
        check(shape == leaf.shape, "checkpoint", f"{path} with an array of shape {shape}", f"shape {leaf.shape}")
    return jax.tree.unflatten(structure, [jnp.asarray(stored[name]) for name in names]), [stored["log"]], header["done"]
