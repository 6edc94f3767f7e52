"""State of a training on disk: written whole or not at all, and read only by the run that it belongs to."""

import json
import os
import pathlib
import tempfile
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from verax._digest import check_identity
from verax._errors import check, fail
from verax._types import PyTree


def write_checkpoint(
    path: pathlib.Path, owner: Mapping[str, str], state: PyTree, logs: list[np.ndarray], done: int
) -> None:
    """Put the state in place of the file in one step; two processes on one run leave one of two equal files."""
    leaves = {f"leaf{i}": np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(state))}
    header = json.dumps({"owner": dict(owner), "done": done})
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, partial = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".partial")
    try:
        with os.fdopen(descriptor, "wb") as file:
            log = np.concatenate(logs, axis=-1)
            np.savez(file, allow_pickle=False, header=np.array(header), log=log, **leaves)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        pathlib.Path(partial).unlink(missing_ok=True)
        raise


def read_checkpoint(
    path: pathlib.Path, owner: Mapping[str, str], state: PyTree
) -> tuple[PyTree, list[np.ndarray], int]:
    """Return the state, the log and the number of steps taken, or raise for a file of another run."""
    leaves, structure = jax.tree.flatten(state)
    try:
        with np.load(path, allow_pickle=False) as archive:
            header = json.loads(str(archive["header"]))
            stored = [archive[f"leaf{i}"] for i in range(len(leaves))]
            log = archive["log"]
    except (OSError, ValueError, KeyError, EOFError, TypeError, ArithmeticError) as error:
        fail(
            "checkpoint", f"{path}, which is no whole checkpoint of this kind ({error})", "one of this run, or no file"
        )
    check_identity("checkpoint", path, header.get("owner"), owner)
    for old, new in zip(leaves, stored, strict=True):
        check(old.shape == new.shape, "checkpoint", f"an array {new.shape}", f"{old.shape}, as the parameters have")
    return jax.tree.unflatten(structure, [jnp.asarray(leaf) for leaf in stored]), [log], int(header["done"])
