"""Valid calls of verax.gradients."""

import tempfile
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from support.border import call
from verax import gradients
from verax.ntk import Rademacher

PARAMS = {"w": np.array([1.0, -0.5, 2.0], np.float32)}
X = np.array([[1.0, 2.0, 0.5], [-1.5, 0.25, 1.0], [2.0, 1.0, -1.0], [0.5, 0.5, 3.0]], np.float32)
WEIGHTS = np.array([1.0, 0.0, 2.0, 0.5], np.float32)
ROWS = {"list of rows": "a list of arrays is a pytree of examples"}
EXEMPT = {"batch": ROWS, "other": ROWS}


def loss_fn(params, batch):
    """Half the square, in single precision."""
    return 0.5 * (batch.astype(jnp.float32) @ params["w"]) ** 2


def blocks(loss_fn, params, batch):
    """All blocks of the iterator."""
    return [part for _, part in gradients.per_example_gradients(loss_fn, params, batch)]


class Clipped(NamedTuple):
    """The result with its status, a property there, as a field."""

    gradient: Any
    norms: Any
    status: Any


def clipped(loss_fn, params, batch, weights):
    found = gradients.clipped_gradient(loss_fn, params, batch, max_norm=1.5, weights=weights)
    return Clipped(*found, found.status)


def job(loss_fn, batch):
    """Features in a new folder."""
    with tempfile.TemporaryDirectory() as folder:
        return np.asarray(gradients.gradient_job(loss_fn, PARAMS, batch, path=folder, **SKETCH))


SKETCH = {"sketch": Rademacher(4), "key": jax.random.key(0)}

CALLS = {
    name: call(function, loss_fn, PARAMS, X, *arguments, traceable=True, exempt=EXEMPT, **options)
    for name, function, arguments, options in [
        ("verax.gradients.gradient_norms", gradients.gradient_norms, (), {}),
        ("verax.gradients.clipped_gradient", clipped, (WEIGHTS,), {}),
        ("verax.gradients.weighted_gradient", gradients.weighted_gradient, (WEIGHTS,), {}),
        ("verax.gradients.gradient_products", gradients.gradient_products, (X[:2],), {}),
        ("verax.gradients.gradient_features", gradients.gradient_features, (), SKETCH),
        ("verax.gradients.per_example_gradients", blocks, (), {}),
    ]
}
CALLS["verax.gradients.gradient_job"] = call(job, loss_fn, X, exempt=EXEMPT)
