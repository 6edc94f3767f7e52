"""Weights in loops: layers stacked in a scan, recurrent weights, nested loops, and what stays whole."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax

from verax.ntk import empirical_ntk, from_nnx, ntk_diagonal, ntk_features, ntk_plan

pytestmark = pytest.mark.double

RNG = np.random.default_rng(0)


def draw(*shape):
    return RNG.normal(size=shape) / shape[0] ** 0.5


X = draw(3, 4, 5)


def stacked(params, x, wrap=lambda body: body):
    def body(h, w):
        return h + jnp.tanh(h @ w["a"] + w["b"]) @ w["c"] * w["g"], None

    h, _ = lax.scan(wrap(body), x @ params["in"], params["layers"])
    return h.mean(1) @ params["out"]


def rematerialised(params, x):
    return stacked(params, x, jax.checkpoint)


def recurrent(params, x):
    def step(h, each):
        h = jnp.tanh(each @ params["x"] + params["b"] + h @ params["h"])
        return h, h

    _, hidden = lax.scan(step, jnp.zeros((x.shape[0], 4), x.dtype), x.swapaxes(0, 1), reverse=True)
    return hidden.mean(0) @ params["out"]


def nested(params, x):
    def layer(h, w):
        def step(c, each):
            c = jnp.tanh(c @ w["h"] * params["s"] + each @ params["u"].T)
            return c, c @ w["o"]

        c, outputs = lax.scan(step, h, x.swapaxes(0, 1))
        return outputs.sum(0) + c, None

    return lax.scan(layer, jnp.zeros((x.shape[0], 4), x.dtype), params["layers"])[0] @ params["out"]


def tokens_in_steps(params, x):
    def step(h, token):
        return jnp.tanh(params["table"][token] + h @ params["h"]), None

    token = (x[..., 0] > 0).astype(jnp.int32) + 2 * (x[..., 1] > 0).astype(jnp.int32)
    return lax.scan(step, jnp.zeros((x.shape[0], 4), x.dtype), token.T)[0] @ params["out"]


def indexed_layers(params, x):
    return lax.fori_loop(0, 3, lambda i, h: jnp.tanh(h @ params["layers"][i]), x.mean(1)) @ params["out"]


def learned_start(params, x):
    def step(h, each):
        return jnp.tanh(each @ params["x"] + h), None

    return lax.scan(step, jnp.broadcast_to(params["start"], (x.shape[0], 4)), x.swapaxes(0, 1))[0]


def carried_weight(params, x):
    def step(carry, each):
        h, weight = carry
        return (jnp.tanh(each @ weight + h), weight / 2), None

    return lax.scan(step, (jnp.zeros((x.shape[0], 4), x.dtype), params["x"]), x.swapaxes(0, 1))[0][0]


LAYERS = {"a": draw(3, 4, 6), "b": draw(3, 6), "c": draw(3, 6, 4), "g": draw(3, 4)}
STACKED = {"in": draw(5, 4), "layers": LAYERS, "out": draw(4, 2)}
CASES = {  # function, parameters, a leaf and what its plan says
    "stacked layers": (stacked, STACKED, "layers/a", "scan, 3 layers"),
    "under remat": (rematerialised, STACKED, "layers/c", "scan, 3 layers"),
    "recurrent": (recurrent, {"x": draw(5, 4), "h": draw(4, 4), "b": draw(4), "out": draw(4, 2)}, "h", "scan, 4 steps"),
    "nested": (
        nested,
        {"layers": {"h": draw(3, 4, 4), "o": draw(3, 4, 4)}, "u": draw(4, 5), "s": draw(4), "out": draw(4, 2)},
        "layers/h",
        "scan, 3 layers, scan, 4 steps",
    ),
    "tokens": (tokens_in_steps, {"table": draw(4, 4), "h": draw(4, 4), "out": draw(4, 9)}, "table", "scan, 4 steps"),
    "indexed": (indexed_layers, {"layers": draw(3, 5, 5), "out": draw(5, 2)}, "layers", "scan, 3 steps"),
    "learned start": (learned_start, {"x": draw(5, 4), "start": draw(4)}, "x", "inside scan"),
    "carried weight": (carried_weight, {"x": draw(5, 4)}, "x", "inside scan"),
}


@pytest.mark.parametrize("name", CASES)
def test_the_kernel_is_that_of_the_jacobian(name):
    apply_fn, params, path, text = CASES[name]
    plan = ntk_plan(apply_fn, params, X, method="structured")
    assert text in {leaf.path: leaf.reason for leaf in plan.leaves}[path]
    tolerance = {"rtol": 2e-4, "atol": 2e-5} if not jax.config.jax_enable_x64 else {"rtol": 1e-10, "atol": 1e-12}
    expected = np.asarray(empirical_ntk(apply_fn, params, X, output="full", method="jacobian"))
    full = empirical_ntk(apply_fn, params, X, output="full", method="structured")
    np.testing.assert_allclose(full, expected, **tolerance)
    trace = np.einsum("ijoo->ij", expected)
    np.testing.assert_allclose(empirical_ntk(apply_fn, params, X, method="structured"), trace, **tolerance)
    np.testing.assert_allclose(ntk_diagonal(apply_fn, params, X), np.diag(trace), **tolerance)


def wide(params, x):
    def body(h, w):
        return jnp.tanh(h @ w), None

    return lax.scan(body, x, params["layers"])[0] @ params["out"]


def test_wide_layers_take_products_of_grams():
    params = {"layers": 10 * draw(2, 40, 40), "out": draw(40, 1)}
    x = draw(4, 40)
    leaves = {leaf.path: leaf for leaf in ntk_plan(wide, params, x, method="structured").leaves}
    assert leaves["layers"].route == "hadamard"
    assert leaves["layers"].bytes < 10 * 80 * 8  # and holds no gradient
    expected = np.asarray(empirical_ntk(wide, params, x, method="jacobian"))
    kernel = empirical_ntk(wide, params, x, method="structured", block_size=2)
    np.testing.assert_allclose(kernel, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
    features = ntk_features(wide, params, x)
    np.testing.assert_allclose(features @ features.T, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


class ScannedLayers(nnx.Module):
    def __init__(self, rngs):
        @nnx.split_rngs(splits=3)
        @nnx.vmap(in_axes=0, out_axes=0)
        def make(rngs):
            return nnx.Linear(5, 5, rngs=rngs)

        self.layers, self.head = make(rngs), nnx.Linear(5, 2, rngs=rngs)

    def __call__(self, x):
        @nnx.scan(in_axes=(nnx.Carry, 0), out_axes=nnx.Carry)
        def forward(h, layer):
            return jnp.tanh(layer(h))

        return self.head(forward(x, self.layers))


class Recurrent(nnx.Module):
    def __init__(self, rngs):
        self.cell, self.head = nnx.RNN(nnx.GRUCell(5, 4, rngs=rngs), rngs=rngs), nnx.Linear(4, 2, rngs=rngs)

    def __call__(self, x):
        return self.head(self.cell(x)[:, -1])


@pytest.mark.parametrize(("module", "x"), [(ScannedLayers, X[:, 0]), (Recurrent, X)])
def test_flax_modules_have_no_fallback(module, x):
    x = x.astype(np.float32)
    apply_fn, params = from_nnx(module(nnx.Rngs(0)))
    plan = ntk_plan(apply_fn, params, x, method="structured")
    assert "fallback" not in {leaf.route for leaf in plan.leaves}, str(plan)
    expected = empirical_ntk(apply_fn, params, x, method="jacobian")
    np.testing.assert_allclose(empirical_ntk(apply_fn, params, x, method="structured"), expected, rtol=1e-4, atol=1e-5)
