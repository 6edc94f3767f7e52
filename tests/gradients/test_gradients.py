"""Norms, clipped sums, products and features against the gradients themselves, by vmap(grad)."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import lax

from support.ntk_networks import NETWORKS, arrays, inputs
from verax.gradients import (
    Status,
    clipped_gradient,
    gradient_features,
    gradient_norms,
    gradient_products,
    per_example_gradients,
    weighted_gradient,
)
from verax.ntk import Rademacher

pytestmark = pytest.mark.double


def tolerance():
    return 1e-11 if jax.config.read("jax_enable_x64") else 3e-5


def squared_loss(apply_fn):
    def loss_fn(params, batch):
        gap = apply_fn(params, batch["x"]) - batch["y"]
        return jnp.sum(gap**2, axis=tuple(range(1, gap.ndim)))

    return loss_fn


def case_of(name):
    apply_fn, params, x = NETWORKS[name]()
    return squared_loss(apply_fn), params, {"x": x, "y": inputs(50, *apply_fn(params, x).shape)}


def _language_model():
    """Tied embeddings, positions, a frozen mask in the batch, rematerialised blocks: a loss over tokens."""
    params = arrays(3, table=(11, 6), qkv=(6, 18), out=(6, 6), scale=(6,), low=(6, 2), high=(2, 6))

    def hidden(p, tokens):
        h = p["table"][tokens]
        for _ in range(2):
            h = jax.checkpoint(block)(p, h)
        return h

    def block(p, h):
        h = h * lax.rsqrt(jnp.mean(h * h, -1, keepdims=True) + 1e-6) * p["scale"]
        q, k, v = jnp.split(h @ p["qkv"], 3, axis=-1)
        attended = jax.nn.softmax(q @ k.swapaxes(-1, -2)) @ v
        return h + attended @ (p["out"] + p["low"] @ p["high"])

    def loss_fn(p, batch):
        logits = hidden(p, batch["tokens"]) @ p["table"].T
        losses = -jnp.take_along_axis(jax.nn.log_softmax(logits), batch["labels"][..., None], axis=-1)[..., 0]
        return jnp.sum(losses * batch["mask"], axis=1)

    rng = np.random.default_rng(4)
    batch = {
        "tokens": jnp.asarray(rng.integers(0, 11, (6, 5)), jnp.int32),
        "labels": jnp.asarray(rng.integers(0, 11, (6, 5)), jnp.int32),
        "mask": jnp.asarray(rng.random((6, 5)) < 0.7, jnp.zeros(()).dtype),
    }
    return loss_fn, params, batch


def _penalised():
    """Every loss holds a penalty of the parameters alone, and one parameter enters nothing else."""
    params = arrays(5, w=(4, 3), b=(3,), rate=(1,), unused=(2,))

    def loss_fn(p, batch):
        penalty = jnp.sum(p["w"] ** 2) + jnp.sum(jnp.exp(p["rate"]))
        return jnp.sum(jnp.tanh(batch @ p["w"] + p["b"]), axis=1) + penalty

    return loss_fn, params, inputs(6, 5, 4)


def _normalised():
    """Batch normalisation in evaluation mode: running statistics are closed over."""
    params = arrays(7, k=(3, 3, 2, 4), scale=(4,), shift=(4,), w=(4, 3))
    mean, variance = inputs(8, 4), jnp.abs(inputs(9, 4)) + 1

    def loss_fn(p, batch):
        x = lax.conv_general_dilated(batch["x"], p["k"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        x = jax.nn.gelu((x - mean) * lax.rsqrt(variance) * p["scale"] + p["shift"]).mean((1, 2))
        return optax.softmax_cross_entropy_with_integer_labels(x @ p["w"], batch["label"])

    labels = jnp.asarray([0, 2, 1, 1], jnp.int32)
    return loss_fn, params, {"x": inputs(10, 4, 5, 5, 2), "label": labels}


CASES = {name: (lambda name=name: case_of(name)) for name in NETWORKS}
CASES |= {"language model": _language_model, "penalised": _penalised, "normalised": _normalised}


@pytest.fixture(params=CASES, scope="module")
def case(request):
    loss_fn, params, batch = CASES[request.param]()
    return loss_fn, params, batch, stacked(loss_fn, params, batch)


def stacked(loss_fn, params, batch):
    def one(example):
        return jax.grad(lambda p: loss_fn(p, jax.tree.map(lambda leaf: leaf[None], example))[0])(params)

    with jax.default_matmul_precision("highest"):
        return jax.tree.map(np.asarray, jax.jit(jax.vmap(one))(batch))


def rows_of(gradients):
    return np.concatenate([leaf.reshape(len(leaf), -1) for leaf in jax.tree.leaves(gradients)], axis=1)


def norms_of(gradients):
    return np.linalg.norm(rows_of(gradients), axis=1)


def assert_close(found, expected):
    found, expected = (jax.tree.map(np.asarray, tree) for tree in (found, expected))
    scale = max(np.abs(leaf).max() for leaf in jax.tree.leaves(expected))
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert a.shape == b.shape
        assert np.abs(a - b).max() <= tolerance() * max(scale, 1e-30)


@pytest.mark.costly
def test_norms(case):
    loss_fn, params, batch, gradients = case
    assert_close(gradient_norms(loss_fn, params, batch), norms_of(gradients))
    by_leaf = gradient_norms(loss_fn, params, batch, per_leaf=True)
    assert_close(by_leaf, {name: norms_of({name: leaf}) for name, leaf in gradients.items()})


@pytest.mark.costly
def test_clipped_gradient_is_that_of_optax(case):
    loss_fn, params, batch, gradients = case
    norms = norms_of(gradients)
    bound = float(np.median(norms))
    found = clipped_gradient(loss_fn, params, batch, max_norm=bound, reduction="mean")
    reference = optax.contrib.differentially_private_aggregate(bound, 0.0, 0)
    with jax.numpy_dtype_promotion("standard"):
        expected, _ = jax.jit(reference.update)(gradients, reference.init(params))
    assert_close(found.gradient, expected)
    assert_close(found.norms, norms)
    assert (found.status == Status.OK).all()
    assert jax.tree.structure(found.gradient) == jax.tree.structure(params)


@pytest.mark.costly
def test_weighted_gradient_and_products(case):
    loss_fn, params, batch, gradients = case
    weights = np.asarray(inputs(20, len(jax.tree.leaves(batch)[0])))
    expected = jax.tree.map(lambda leaf: np.tensordot(weights, leaf, 1), gradients)
    assert_close(weighted_gradient(loss_fn, params, batch, weights), expected)
    rows = rows_of(gradients)
    assert_close(gradient_products(loss_fn, params, batch), rows @ rows.T)


@pytest.fixture(scope="module")
def small():
    loss_fn, params, batch = case_of("mlp")
    return loss_fn, params, batch, stacked(loss_fn, params, batch)


def test_blocks_hold_no_filler(small):
    """The loss is NaN on an example of zeros, as filler often is, and the last block is short."""
    loss_fn, params, batch, gradients = small

    def guarded(p, batch):
        return jnp.where(jnp.all(batch["x"] == 0, axis=1), jnp.nan, 1.0) * loss_fn(p, batch)

    found = clipped_gradient(guarded, params, batch, max_norm=0.5, memory_budget=8_000)
    assert_close(found, clipped_gradient(loss_fn, params, batch, max_norm=0.5))
    assert_close(gradient_norms(guarded, params, batch, memory_budget=8_000), norms_of(gradients))
    parts = list(per_example_gradients(guarded, params, batch, block_size=4))
    assert [rows for rows, _ in parts] == [range(4), range(4, 6)]
    assert_close(jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *(part for _, part in parts)), gradients)


def test_other_examples_and_features(small):
    loss_fn, params, batch, gradients = small
    other = jax.tree.map(lambda leaf: leaf[:3] + 1, batch)
    first, second = rows_of(gradients), rows_of(stacked(loss_fn, params, other))
    products = first @ second.T
    assert_close(gradient_products(loss_fn, params, batch, other), products)
    options = {"sketch": Rademacher(4000), "key": jax.random.key(0)}
    features, others = (gradient_features(loss_fn, params, b, **options) for b in (batch, other))
    scale = np.outer(np.linalg.norm(first, axis=1), np.linalg.norm(second, axis=1))
    assert np.abs((np.asarray(features @ others.T) - products) / scale).max() < 5 * (2 / 4000) ** 0.5


def test_param_filter_selects_and_leaves_zeros(small):
    loss_fn, params, batch, gradients = small
    chosen = {"w1": gradients["w1"], "b2": gradients["b2"]}
    only = {"param_filter": lambda path, leaf: path in chosen}
    assert_close(gradient_norms(loss_fn, params, batch, **only), norms_of(chosen))
    gradient, norms = clipped_gradient(loss_fn, params, batch, max_norm=1e9, **only)
    assert_close(norms, norms_of(chosen))
    for name, leaf in gradient.items():
        expected = gradients[name].sum(0) if name in chosen else np.zeros(leaf.shape)
        assert_close(np.asarray(leaf) + 1, expected + 1)
    counted = {**params, "steps": jnp.int32(3)}
    filtered, _ = clipped_gradient(
        lambda p, b: loss_fn({k: v for k, v in p.items() if k != "steps"}, b), counted, batch, max_norm=1.0, **only
    )
    assert filtered["steps"].dtype == jnp.int32


def test_weights_reduction_and_no_clipping(small):
    loss_fn, params, batch, gradients = small
    weights = np.array([1, 0, 2, 0, 0, 1])
    found, _ = clipped_gradient(loss_fn, params, batch, max_norm=np.inf, weights=weights)
    assert_close(found, jax.tree.map(lambda leaf: np.tensordot(weights, leaf, 1), gradients))
    mean, _ = clipped_gradient(loss_fn, params, batch, max_norm=np.inf, weights=weights, reduction="mean")
    assert_close(mean, jax.tree.map(lambda leaf: leaf / 6, found))


def test_jit_vmap_and_a_traced_bound(small):
    loss_fn, params, batch, _ = small

    def step(params, batch, bound):
        return clipped_gradient(loss_fn, params, batch, max_norm=bound)

    bound = jnp.asarray(0.7, jnp.zeros(()).dtype)
    assert_close(jax.jit(step)(params, batch, bound), step(params, batch, 0.7))
    assert int(jax.jit(step)(params, batch, bound).status.sum()) == 0
    twice = jax.tree.map(lambda leaf: jnp.stack([leaf, 0.5 * leaf]), params)
    many = jax.vmap(lambda p: gradient_norms(loss_fn, p, batch))(twice)
    assert_close(many[0], gradient_norms(loss_fn, params, batch))


def test_zero_gradients_are_not_scaled():
    gradient, norms = clipped_gradient(lambda w, x: 0 * (x @ w), jnp.ones(3), jnp.eye(3), max_norm=1e-3)
    assert not norms.any()
    assert not gradient.any()


def test_examples_without_finite_gradients_are_left_out_and_named(small):
    loss_fn, params, batch, _ = small
    spoiled = {**batch, "x": batch["x"].at[2, 0].set(jnp.nan).at[4].set(1e30)}
    found = clipped_gradient(loss_fn, params, spoiled, max_norm=0.5)
    status = np.asarray(found.status)
    assert status[2] == Status.NON_FINITE
    kept = np.flatnonzero(status == Status.OK)
    rest = jax.tree.map(lambda leaf: leaf[kept], batch)
    if len(kept) == 4:
        assert_close(found.gradient, clipped_gradient(loss_fn, params, rest, max_norm=0.5).gradient)
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(found.gradient))
    with pytest.raises(ValueError, match="left out of the sum"):
        found.raise_if_failed()


def test_norms_per_token():
    _, params, batch = _language_model()

    def token_losses(p, batch):
        h = jnp.tanh(p["table"][batch["tokens"]] @ p["out"])
        return jnp.sum(h**2, axis=-1) * batch["mask"]

    params = {name: params[name] for name in ("table", "out")}
    norms = gradient_norms(token_losses, params, batch, per_token=True)
    found = clipped_gradient(token_losses, params, batch, max_norm=0.1, per_token=True)
    expected = jax.tree.map(lambda leaf: np.zeros(leaf.shape), params)
    for t in range(5):
        gradients = stacked(lambda p, b, t=t: token_losses(p, b)[:, t], params, batch)
        each = norms_of(gradients)
        assert_close(norms[:, t], each)
        factors = 0.1 / np.maximum(each, 0.1)
        expected = {name: known + np.tensordot(factors, gradients[name], 1) for name, known in expected.items()}
    assert_close(found.gradient, expected)
    assert found.status.shape == (6, 5)


def test_half_precision_parameters(x64):
    """Norms accumulate in single precision."""
    if x64:
        pytest.skip("bfloat16 is the same in both legs")
    loss_fn, params, batch = case_of("mlp")
    half = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), (params, batch))
    found = clipped_gradient(loss_fn, *half, max_norm=0.5)
    exact = clipped_gradient(loss_fn, params, batch, max_norm=0.5)
    assert found.norms.dtype == jnp.float32
    assert float(jnp.abs(found.norms / exact.norms - 1).max()) < 0.1
    assert {leaf.dtype for leaf in jax.tree.leaves(found.gradient)} == {jnp.dtype(jnp.bfloat16)}


def test_a_random_key_travels_with_each_example():
    keys = jax.random.split(jax.random.key(0), 4)
    x = inputs(1, 4, 3)

    def loss_fn(w, batch):
        noise = jax.vmap(lambda key: jax.random.normal(key, (3,), w.dtype))(batch["key"])
        return jnp.sum((batch["x"] + noise) * w, axis=1) ** 2

    w = inputs(2, 3)
    expected = stacked(loss_fn, w, {"x": x, "key": keys})
    assert_close(gradient_norms(loss_fn, w, {"x": x, "key": keys}), norms_of(expected))
