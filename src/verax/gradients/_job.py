"""Features of per-example gradients as a job in a folder."""

import importlib.metadata
import os
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from verax._arrays import to_key
from verax._digest import digest, program_digest
from verax._errors import check, is_traced
from verax._types import PyTree
from verax.ntk._network import ParamFilter
from verax.ntk._sketches import Sketch
from verax.parallel import KernelFile
from verax.parallel._jobs import begun, run_job

from ._explicit import gradient_features
from ._loss import LossFn, read_loss, take

# Examples of which a file holds the features.
_ROWS = 1024


def gradient_job(
    loss_fn: LossFn,
    params: PyTree,
    batch: PyTree,
    *,
    path: str | os.PathLike[str],
    sketch: Sketch,
    key: Any,
    batch_size: int | None = None,
    param_filter: ParamFilter | None = None,
    progress: bool = False,
) -> KernelFile:
    """Compressed per-example gradients into a folder: interrupted at any moment, the job resumes where it stopped.

    Parameters
    ----------
    loss_fn, params, batch, sketch, key, batch_size, param_filter, progress
        As for :func:`gradient_features`.
    path
        Folder of the job: new, empty, or that of the same job begun before. Several processes may work on one job.

    Returns
    -------
    KernelFile
        The features, shape ``[n, m]``; ``file[rows]`` reads what it needs, ``numpy.asarray(file)`` reads all.

    Raises
    ------
    ValueError
        As :func:`gradient_features`; for a folder that holds anything else; and where the job that was begun there had
        other examples, parameters, options or versions, with the first that differs.

    Notes
    -----
    Files hold at least m examples each. An interruption loses at most the files in work.

    Examples
    --------
    >>> import tempfile, jax, jax.numpy as jnp, numpy as np
    >>> from verax.gradients import gradient_job
    >>> from verax.ntk import Rademacher
    >>> x = jax.random.normal(jax.random.key(0), (5, 200))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sketch, key = Rademacher(4), jax.random.key(1)
    ...     print(gradient_job(lambda w, x: x @ w, jnp.zeros(200), x, path=folder, sketch=sketch, key=key)[1:3].shape)
    (2, 4)
    """
    check(not is_traced((params, batch)), "batch", "traced arrays", "concrete values: a job writes to disk")
    begun(path)
    key = to_key("key", key)
    loss = read_loss(loss_fn, params, batch, param_filter=param_filter)
    options: dict[str, Any] = {"sketch": sketch, "key": key, "batch_size": batch_size, "param_filter": param_filter}
    one = jax.eval_shape(lambda: gradient_features(loss_fn, loss.params, take(loss.batch, slice(0, 1)), **options))
    size = max(one.shape[1], min(loss.num, _ROWS))
    manifest = {
        "shape": [loss.num, one.shape[1]],
        "dtype": str(one.dtype),
        "block_size": size,
        "symmetric": False,
        "examples": digest(loss.batch),
        "parameters": digest(loss.params),
        "loss": program_digest(loss_fn, loss.params, take(loss.batch, slice(0, 1))),
        "leaves": list(loss.network.paths),
        "sketch": repr(sketch),
        "key": digest(key),
        "device": jax.devices()[0].device_kind,
        "versions": {name: importlib.metadata.version(name) for name in ("verax", "jax", "jaxlib")},
    }

    def compute(wanted: list[tuple[int, int]]) -> Iterator[tuple[int, int, np.ndarray]]:
        for row, column in wanted:
            rows = take(loss.batch, slice(row, row + size))
            yield row, column, np.asarray(gradient_features(loss_fn, loss.params, rows, **options))

    return run_job(path, manifest, [[(row, 0)] for row in range(0, loss.num, size)], compute, progress)
