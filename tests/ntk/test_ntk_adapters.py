"""Flax modules, linearization and scalar heads as ``(apply_fn, params)``."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx

from verax import ntk

pytestmark = pytest.mark.double


class NnxNetwork(nnx.Module):
    def __init__(self, rngs):
        self.layers = nnx.List([nnx.Linear(5, 4, rngs=rngs), nnx.Linear(4, 4, rngs=rngs)])
        self.norm = nnx.BatchNorm(4, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.tied = self.layers[1]

    def __call__(self, x, *, train=True):
        hidden = self.dropout(self.norm(self.layers[0](x)))
        return self.tied(jnp.tanh(self.layers[1](hidden))) * (2.0 if train else 1.0)


class LinenNetwork(linen.Module):
    @linen.compact
    def __call__(self, x, train):
        hidden = linen.BatchNorm(use_running_average=not train)(linen.Dense(4)(x))
        return linen.Dense(3)(linen.Dropout(0.5, deterministic=not train)(jnp.tanh(hidden)))


@pytest.fixture
def x(rng):
    return jnp.asarray(rng.normal(size=(6, 5)), jnp.float32)


@pytest.fixture
def nnx_model(x):
    model = NnxNetwork(nnx.Rngs(0))
    model(x)  # moves the running statistics away from 0 and 1
    return model


def assert_kernel_of(apply_fn, params, x):
    """Examples are separate, so the kernel exists; its trace is the squared norm of the whole Jacobian."""
    kernel = ntk.empirical_ntk(apply_fn, params, x)
    jacobian = jax.tree.leaves(jax.jacrev(lambda p: apply_fn(p, x))(params))
    want = sum(float(jnp.sum(part**2)) for part in jacobian)
    np.testing.assert_allclose(float(jnp.trace(kernel)), want, rtol=1e-4)


def test_nnx(nnx_model, x):
    apply_fn, params = ntk.from_nnx(nnx_model)
    assert sorted(params) == ["layers", "norm"]  # running statistics are no parameters; the shared layer is there once
    assert params["layers"][0]["kernel"].shape == (5, 4)
    assert not nnx_model.dropout.deterministic  # the caller's model is still in training mode
    evaluated = nnx.clone(nnx_model)
    evaluated.eval()
    np.testing.assert_allclose(apply_fn(params, x), evaluated(x, train=False), rtol=1e-6)
    doubled = jax.tree.map(lambda leaf: 2 * leaf, params)
    assert not np.allclose(apply_fn(doubled, x), apply_fn(params, x))
    assert_kernel_of(apply_fn, params, x)


def test_nnx_model_may_change_afterwards(nnx_model, x):
    apply_fn, params = ntk.from_nnx(nnx_model)
    before = apply_fn(params, x)
    nnx_model(100 * x)
    np.testing.assert_array_equal(apply_fn(params, x), before)


def test_linen(x):
    module = LinenNetwork()
    variables = module.init(jax.random.key(0), x, train=False)
    statistics = {"mean": jnp.full(4, 0.3), "var": jnp.full(4, 2.0)}
    variables = {**variables, "batch_stats": {"BatchNorm_0": statistics}}
    apply_fn, params = ntk.from_linen(module, variables)
    assert params is variables["params"]
    np.testing.assert_allclose(apply_fn(params, x), module.apply(variables, x, train=False), rtol=1e-6)
    assert_kernel_of(apply_fn, params, x)


def test_linearize(x, rng):
    def network(params, x):
        return {"out": jnp.tanh(x @ params["kernel"]) @ params["head"]}

    params = {"kernel": jnp.asarray(rng.normal(size=(5, 3)), jnp.float32), "head": jnp.ones((3, 2), jnp.float32)}
    step = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), leaf.dtype), params)
    linear = ntk.linearize(network, params)
    moved = jax.tree.map(lambda p, s: p + s, params, step)
    half = jax.tree.map(lambda p, s: p + s / 2, params, step)

    np.testing.assert_allclose(linear(params, x)["out"], network(params, x)["out"], rtol=1e-6)
    # affine: the value half way is the mean of the ends
    mean = (linear(params, x)["out"] + linear(moved, x)["out"]) / 2
    np.testing.assert_allclose(linear(half, x)["out"], mean, rtol=1e-4, atol=1e-5)
    # its slope is the network's Jacobian, so it has the network's kernel
    jacobian = jax.jacrev(lambda p: network(p, x)["out"])(params)
    change = sum(
        jnp.tensordot(j, s, axes=s.ndim) for j, s in zip(jax.tree.leaves(jacobian), jax.tree.leaves(step), strict=True)
    )
    np.testing.assert_allclose(linear(moved, x)["out"] - linear(params, x)["out"], change, rtol=1e-4, atol=1e-5)


def test_scalar_head(x):
    def features(params, x):
        return jnp.tanh(x @ params)

    width = 400
    kernel = jnp.linspace(-1, 1, 5 * width, dtype=jnp.float32).reshape(5, width)
    apply_fn, head = ntk.with_scalar_head(features, width, key=jax.random.key(3))
    params = {"features": kernel, "head": head}
    assert apply_fn(params, x).shape == (6, 1)
    assert apply_fn(params, x).dtype == x.dtype

    # v ~ N(0, 1/width): its mean is 0 and its squared norm 1 within 4.5 standard errors
    v = np.asarray(head["kernel"])[:, 0]
    assert abs(v.mean() * width) < 4.5
    assert abs(v @ v - 1) < 4.5 * (2 / width) ** 0.5
    np.testing.assert_array_equal(head["bias"], 0)
    _, same = ntk.with_scalar_head(features, width, key=jax.random.key(3))
    np.testing.assert_array_equal(same["kernel"], head["kernel"])

    # kernel = that of v . phi in the features' parameters + phi phi^T + 1
    hidden = features(kernel, x)
    inner = ntk.empirical_ntk(lambda p, x: features(p, x) @ head["kernel"].astype(x.dtype), kernel, x)
    np.testing.assert_allclose(
        ntk.empirical_ntk(apply_fn, params, x), inner + hidden @ hidden.T + 1, rtol=1e-4, atol=1e-4
    )


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ntk.from_nnx(3), "model: got int; need a flax.nnx.Module"),
        (lambda: ntk.from_nnx(nnx.Dropout(0.5)), "model: got a Dropout without nnx.Param"),
        (lambda: ntk.from_nnx(nnx.Linear(2, 2, rngs=nnx.Rngs(0)))[0]({}, jnp.ones((1, 2))), "params: got"),
        (lambda: ntk.from_linen(nnx.Dropout(0.5), {}), "module: got Dropout"),
        (lambda: ntk.from_linen(linen.Dense(2), {"batch_stats": {}}), r"variables: got \['batch_stats'\]"),
        (lambda: ntk.from_linen(linen.Dense(2), 3), "variables: got int"),
        (lambda: ntk.with_scalar_head(lambda p, x: x, 0, key=jax.random.key(0)), "width: got 0"),
        (lambda: ntk.with_scalar_head(3, 2, key=jax.random.key(0)), "features_fn: got int"),
        (
            lambda: (lambda fn, head: fn({"features": {}, "head": head}, jnp.ones((2, 5))))(
                *ntk.with_scalar_head(lambda p, x: x, 4, key=jax.random.key(0))
            ),
            r"features_fn: got features of shape \(2, 5\); need \[n, 4\]",
        ),
        (lambda: ntk.linearize(lambda p, x: x * p, jnp.ones(3))(jnp.ones(2), jnp.ones(3)), "new_params: got"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
