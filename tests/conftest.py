"""Shared set-up: strict promotion, eight virtual devices, and the data folder."""

import os
import pathlib
import sys

import jax
import numpy as np
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))  # for the shared helpers in tests/support

from support.native import needs_native

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_default_matmul_precision", "highest")


@pytest.fixture
def rng(request):
    """A NumPy generator seeded by the test's own name, so that tests do not depend on each other's order."""
    return np.random.default_rng(list(request.node.name.encode()))


@pytest.fixture(params=["xla", "native"])
def implementation(request):
    """Both ways to solve; the compiled one is skipped where it is not in use, and fails where it is required."""
    if request.param == "native":
        needs_native()
    return request.param


@pytest.fixture(scope="session")
def data_dir():
    """The data folder; a test that needs it is skipped where there is none, and fails where one is required."""
    folder = pathlib.Path(os.environ.get("VERAX_DATA", "../shared/data"))
    if not folder.is_dir():
        message = f"the data folder {folder} does not exist; set VERAX_DATA"
        if os.environ.get("VERAX_DATA_REQUIRED") == "1":
            pytest.fail(message)
        pytest.skip(message)
    return folder


@pytest.fixture(scope="session")
def x64():
    """Whether this run is in double precision."""
    return jax.config.read("jax_enable_x64")
