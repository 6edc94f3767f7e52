"""Valid calls of verax.ntk."""

import pathlib
import tempfile

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen, nnx

from support.border import call
from verax import ntk

FOLDER = tempfile.TemporaryDirectory()
PARAMS = {"w": np.array([[1.0, -0.5], [2, 0.25]]), "v": np.array([[1.0], [-2]])}
X, X2 = np.array([[1.0, 2], [0.5, -1], [-4, 0.25]]), np.array([[2.0, 1], [1, -0.5]])
V = np.array([1.0, -0.5, 2])
WEIGHT = np.array([[1.0], [-0.5]])
KEY = jax.random.key(0)
LISTS = dict.fromkeys(("list", "tuple", "list of rows"), "a list of arrays is a pytree of parameters")
INTEGERS = dict.fromkeys(("int64", "int32", "uint8", "bool"), "integers are not differentiated")
PARAMETERS = {"params": LISTS | INTEGERS}
ROWS = {name: {"list of rows": "a list of arrays is a pytree of examples"} for name in ("x", "x1", "x2")}
FLAX = {"x": ROWS["x"] | dict.fromkeys(("JAX bfloat16", "float16", "bfloat16"), "flax promotes dtypes")}


def network(params, x):
    x = x.astype(jnp.float32)
    return jnp.maximum(x @ params["w"].astype(jnp.float32), 0) @ params["v"].astype(jnp.float32)


def linear(w, x):
    return x.astype(jnp.float32) @ w.astype(jnp.float32)


def job(x1, x2):
    """A kernel in a new folder."""
    with tempfile.TemporaryDirectory() as folder:
        return np.asarray(ntk.ntk_job(network, PARAMS, x1, x2, path=pathlib.Path(folder) / "kernel"))


def operator(apply_fn, x, v):
    return ntk.ntk_operator(apply_fn, PARAMS, x)(v)


def linearized(apply_fn, new_params, x):
    return ntk.linearize(apply_fn, WEIGHT)(new_params, x)


def with_head(features_fn, x):
    apply_fn, head = ntk.with_scalar_head(features_fn, 1, key=KEY)
    return ntk.ntk_diagonal(apply_fn, {"features": PARAMS, "head": head}, x)


def adapted_nnx(x):
    apply_fn, params = ntk.from_nnx(nnx.Linear(2, 1, rngs=nnx.Rngs(0)))
    return ntk.ntk_diagonal(apply_fn, params, x)


def adapted_torch(x):
    import torch

    apply_fn, params = ntk.from_torch(torch.nn.Linear(2, 1).eval())
    return ntk.ntk_diagonal(apply_fn, params, x)


def adapted_linen(x):
    module = linen.Dense(1)
    apply_fn, params = ntk.from_linen(module, module.init(KEY, jnp.ones((1, 2))))
    return ntk.ntk_diagonal(apply_fn, params, x)


def compatible(f, x1, x2, params):
    return ntk.compat.empirical_ntk_fn(f)(x1, x2, params)


CALLS = {
    "verax.ntk.empirical_ntk": call(ntk.empirical_ntk, network, PARAMS, X, X2, traceable=True, exempt=ROWS),
    "verax.ntk.empirical_ntk()": call(ntk.empirical_ntk, linear, WEIGHT, X, exempt=PARAMETERS | ROWS),
    "verax.ntk.ntk_plan": call(ntk.ntk_plan, network, PARAMS, X, X2, exempt=ROWS),
    "verax.ntk.ntk_diagonal": call(ntk.ntk_diagonal, network, PARAMS, X, traceable=True, exempt=ROWS),
    "verax.ntk.ntk_features": call(ntk.ntk_features, network, PARAMS, X, traceable=True, exempt=ROWS),
    "verax.ntk.ntk_operator": call(operator, network, X, V, traceable=True, exempt=ROWS),
    "verax.ntk.ntk_job": call(job, X, X2, exempt=ROWS),
    "verax.ntk.linearize": call(linearized, linear, WEIGHT, X, exempt={"new_params": LISTS, "x": LISTS}),
    "verax.ntk.with_scalar_head": call(with_head, network, X, exempt=ROWS),
    "verax.ntk.from_torch": call(adapted_torch, X, exempt=FLAX, needs="torchax"),
    "verax.ntk.from_nnx": call(adapted_nnx, X, exempt=FLAX),
    "verax.ntk.from_linen": call(adapted_linen, X, exempt=FLAX),
    "verax.ntk.compat.empirical_ntk_fn": call(
        compatible, linear, X, X2, WEIGHT, traceable=True, exempt=PARAMETERS | ROWS
    ),
    "verax.ntk.compat.import_neural_tangents": call(lambda: ntk.compat.import_neural_tangents.__name__),
}
