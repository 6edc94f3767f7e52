"""Valid calls of verax.parallel."""

import atexit
import pathlib
import shutil
import tempfile

import jax.numpy as jnp
import numpy as np

from support.border import call
from verax.ntk import ntk_job
from verax.parallel import open_kernel

FOLDER = tempfile.mkdtemp()
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)


def product(v):
    """A kernel of four examples on disk, times v."""
    path = pathlib.Path(FOLDER) / "kernel"
    x = np.arange(8, dtype=np.float32).reshape(4, 2)
    if not path.exists():
        ntk_job(lambda p, x: x @ p, jnp.ones((2, 1)), x, path=path, block_size=2)
    return open_kernel(path).product(v)


def opened():
    """Another kernel on disk, opened."""
    product(np.ones(4))
    return open_kernel(pathlib.Path(FOLDER) / "kernel")[1:, 0]


CALLS = {
    "verax.parallel.open_kernel": call(opened),
    "verax.parallel.KernelFile.product": call(product, np.array([[1.0, 2], [0.5, -1], [2, 0], [-4, 1]])),
}
