"""Arguments that the functions refuse, each with its own name."""

import jax.numpy as jnp
import numpy as np
import pytest

from verax.gradients import (
    clipped_gradient,
    gradient_features,
    gradient_norms,
    gradient_products,
    per_example_gradients,
    weighted_gradient,
)
from verax.ntk import Rademacher

pytestmark = pytest.mark.bad_input

W = jnp.ones(3)
X = jnp.arange(12.0).reshape(4, 3)


def linear(w, x):
    return x @ w


def normalised(w, x):
    """Batch normalisation in training mode."""
    return (x - x.mean(0)) @ w


FUNCTIONS = {
    "gradient_norms": gradient_norms,
    "clipped_gradient": lambda *a: clipped_gradient(*a, max_norm=1.0),
    "weighted_gradient": lambda *a: weighted_gradient(*a, jnp.ones(4)),
    "gradient_products": gradient_products,
    "gradient_features": lambda *a: gradient_features(*a, sketch=Rademacher(2), key=np.array([0, 1], np.uint32)),
    "per_example_gradients": per_example_gradients,
}

CASES = {
    "not a function": ("loss_fn", (W, W, X)),
    "a scalar": ("loss_fn", (lambda w, x: linear(w, x).mean(), W, X)),
    "a loss per output": ("loss_fn", (lambda w, x: x * w, W, X)),
    "integers": ("loss_fn", (lambda w, x: jnp.argmax(x * w, axis=1), W, X)),
    "a dictionary": ("loss_fn", (lambda w, x: {"loss": linear(w, x)}, W, X)),
    "an error of its own": ("loss_fn", (lambda w, x: x @ w @ w, W, X)),
    "coupled examples": ("loss_fn", (normalised, W, X)),
    "integer parameters": ("params", (linear, jnp.arange(3), X)),
    "non-finite parameters": ("params", (linear, W * jnp.nan, X)),
    "leaves that disagree": ("batch", (lambda w, b: b[0] @ w, W, (X, X[:3]))),
    "no examples": ("batch", (linear, W, X[:0])),
    "text": ("batch", (linear, W, "cat")),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_all_functions_refuse(function, case):
    argument, arguments = CASES[case]
    with pytest.raises(ValueError, match=rf"^{argument}.*: got .*; need "):
        FUNCTIONS[function](*arguments)


@pytest.mark.parametrize("bound", [0, -1.0, np.nan, "1", None, [1.0, 2.0]])
def test_bounds(bound):
    with pytest.raises(ValueError, match=r"^max_norm: got .*; need "):
        clipped_gradient(linear, W, X, max_norm=bound)


@pytest.mark.parametrize(
    ("argument", "call"),
    [
        ("reduction", lambda: clipped_gradient(linear, W, X, max_norm=1.0, reduction="max")),
        ("weights", lambda: clipped_gradient(linear, W, X, max_norm=1.0, weights=jnp.ones(3))),
        ("weights", lambda: clipped_gradient(linear, W, X, max_norm=1.0, weights=[1, 2, np.nan, 4])),
        ("weights", lambda: weighted_gradient(linear, W, X, jnp.ones((4, 2)))),
        ("batch", lambda: gradient_norms(linear, W, X.at[1, 1].set(jnp.nan))),
        ("batch", lambda: clipped_gradient(linear, W, X * jnp.nan, max_norm=1.0)),
        ("memory_budget", lambda: gradient_norms(linear, W, X, memory_budget=10)),
        ("param_filter", lambda: gradient_norms(linear, W, X, param_filter="w")),
        ("params", lambda: gradient_norms(linear, W, X, param_filter=lambda path, leaf: False)),
        ("loss_fn", lambda: gradient_norms(linear, W, X, per_token=True)),
        ("batch", lambda: gradient_norms(lambda w, x: jnp.exp(200 * (x @ w)), W, X)),
        ("other", lambda: gradient_products(linear, W, X, X[:, :2])),
        ("sketch", lambda: gradient_features(linear, W, X, sketch=5, key=np.array([0, 1], np.uint32))),
        ("key", lambda: gradient_features(linear, W, X, sketch=Rademacher(2), key=3)),
        ("block_size", lambda: per_example_gradients(linear, W, X, block_size=0)),
    ],
)
def test_options(argument, call):
    with pytest.raises(ValueError, match=f"^{argument}.*: got .*; need "):
        call()
