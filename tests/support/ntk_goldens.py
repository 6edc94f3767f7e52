"""Golden kernels of neural-tangents and the networks that they belong to (``tests/reference/ntk``)."""

import importlib.util
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

_FOLDER = pathlib.Path(__file__).parents[1] / "ntk"


def _load_networks():
    spec = importlib.util.spec_from_file_location("golden_networks", _FOLDER / "golden_networks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_NETWORKS = _load_networks()
NAMES = tuple(_NETWORKS.NETWORKS)


def golden(name):
    """``(apply_fn, params, x1, x2, kernels)`` of one network, in the float dtype of this run; kernels stay float64."""
    with np.load(_FOLDER / "neural_tangents_goldens.npz", allow_pickle=False) as arrays:
        arrays = {key: arrays[key] for key in arrays.files if key.startswith(f"{name}/")}
    params = jax.tree.map(jnp.asarray, _NETWORKS.unflatten(arrays, f"{name}/params/"))
    prefix = f"{name}/kernel/"
    kernels = {key[len(prefix) :]: value for key, value in arrays.items() if key.startswith(prefix)}
    return (
        _NETWORKS.NETWORKS[name][0],
        params,
        jnp.asarray(arrays[f"{name}/x1"]),
        jnp.asarray(arrays[f"{name}/x2"]),
        kernels,
    )


def assert_kernel_close(got, want):
    """Equal to 1e-10 of the kernel's largest entry in double precision, 3e-5 in single."""
    got = np.asarray(got)
    assert got.shape == want.shape
    tolerance = 1e-10 if got.dtype == np.float64 else 3e-5
    np.testing.assert_allclose(got, want, rtol=0, atol=tolerance * np.max(np.abs(want)))
