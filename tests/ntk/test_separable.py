"""One gradient for all outputs where cotangents separate, and none where they do not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from verax.ntk import empirical_ntk, ntk_plan

pytestmark = pytest.mark.double

SHARED = "one gradient for all outputs"


def conv(x, w):
    return lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def pooled(p, x):
    h = jax.nn.relu(conv(jax.nn.relu(conv(x, p["first"])), p["conv"]) + p["bias"])
    return h.mean((1, 2)) @ p["head"] + p["end"]


def residual(p, x):
    h = conv(x, p["first"])
    return jax.nn.gelu(0.5 * conv(jnp.tanh(h), p["conv"]) * (1 + p["bias"]) + h).sum((1, 2)) @ p["head"]


def dense(p, x):
    flat = x.mean((1, 2)) @ p["first"][0, 0]
    return jnp.tanh(flat @ p["conv"][0, 0] + p["bias"]) @ p["head"] + p["end"]


def flattened(p, x):
    h = jax.nn.relu(conv(conv(x, p["first"]), p["conv"]))
    return h.reshape(len(x), -1) @ jnp.tile(p["head"], (25, 1)) * jnp.arange(1.0, 4.0, dtype=x.dtype)


def gated(p, x):
    h = jax.nn.relu(conv(conv(x, p["first"]), p["conv"])).mean((1, 2))
    return (h * x.sum((1, 2, 3))[:, None]) @ p["head"]


def normalised(p, x):
    h = conv(conv(x, p["first"]), p["conv"])
    return (h - h.mean(-1, keepdims=True)).mean((1, 2)) ** 2 @ p["head"]


def largest(p, x):
    return conv(conv(x, p["first"]), p["conv"]).max((1, 2)) @ p["head"]


def twice(p, x):
    h = jax.nn.relu(conv(conv(x, p["first"]), p["conv"]))
    return h.mean((1, 2)) @ p["head"] + (h**2).mean((1, 2)) @ p["head"][:, ::-1]


NETWORKS = {  # function, and whether the weight before the head shares one gradient
    "pooled": (pooled, True),
    "residual": (residual, True),
    "dense": (dense, True),
    "flattened": (flattened, False),
    "gated": (gated, False),
    "normalised": (normalised, False),
    "largest": (largest, False),
    "twice": (twice, False),
}


@pytest.fixture
def params():
    rng = np.random.default_rng(0)
    shapes = {"first": (3, 3, 2, 6), "conv": (3, 3, 6, 6), "bias": (6,), "head": (6, 3), "end": (3,)}
    found = {name: jnp.asarray(rng.normal(size=shape), jnp.float32) for name, shape in shapes.items()}
    return found | {"head": found["head"].at[2].set(0)}  # a channel that no output reads


@pytest.mark.parametrize("name", NETWORKS)
def test_it_is_the_kernel(name, params):
    network, shared = NETWORKS[name]
    x = jnp.asarray(np.random.default_rng(1).normal(size=(5, 5, 5, 2)), jnp.float32)
    routes = {leaf.path: leaf.reason for leaf in ntk_plan(network, params, x).leaves}
    assert (SHARED in routes["conv"]) == shared
    expected = empirical_ntk(network, params, x, method="jacobian")
    scale = float(jnp.abs(expected).max())
    for options in ({}, {"block_size": 3}):
        found = empirical_ntk(network, params, x, method="structured", **options)
        np.testing.assert_allclose(found, expected, atol=2e-6 * scale)


def test_pairs_of_outputs_keep_their_gradients_apart(params):
    x = jnp.asarray(np.random.default_rng(1).normal(size=(3, 5, 5, 2)), jnp.float32)
    plan = ntk_plan(pooled, params, x, output="full")
    assert not any(SHARED in leaf.reason for leaf in plan.leaves)
    found = empirical_ntk(pooled, params, x, output="full", method="structured")
    np.testing.assert_allclose(jnp.trace(found, axis1=2, axis2=3), empirical_ntk(pooled, params, x), rtol=1e-4)
