"""What people bring to the kernel: odd inputs, odd outputs, small budgets, and filler that must never show."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from verax.ntk import Probes, empirical_ntk, linearize, ntk_diagonal, ntk_features, ntk_operator, ntk_plan

RNG = np.random.default_rng(0)
X = RNG.normal(size=(5, 8))


def brute(apply_fn, params, x, output="trace"):
    """Kernel from the Jacobian of each example, in NumPy."""
    rows = []
    for example in range(jax.tree.leaves(x)[0].shape[0]):
        one = jax.tree.map(lambda leaf, at=example: leaf[at : at + 1], x)
        jacobian = jax.jacrev(lambda p, one=one: apply_fn(p, one)[0].reshape(-1))(params)
        leaves = [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(jacobian)]
        rows.append(np.concatenate([leaf.reshape(leaf.shape[0], -1) for leaf in leaves], 1))
    full = np.einsum("iop,jqp->ijoq", np.stack(rows), np.stack(rows))
    return full if output == "full" else np.einsum("ijoo->ij", full)


def assert_all_agree(apply_fn, params, x):
    expected = brute(apply_fn, params, jax.tree.map(jnp.asarray, x))
    scale = np.abs(expected).max()
    for method in ("structured", "jacobian", "vector_products"):
        np.testing.assert_allclose(empirical_ntk(apply_fn, params, x, method=method), expected, atol=2e-5 * scale)
    np.testing.assert_allclose(ntk_diagonal(apply_fn, params, x), np.diag(expected), atol=2e-5 * scale)


def spectral_layer(params, x):
    z = jnp.fft.rfft(x) @ params["w"].astype(jnp.complex64)
    return jnp.tanh(z.real) + z.imag


def complex_weight(params, x):
    z = jnp.fft.rfft(x) @ (params["re"].astype(jnp.complex64) + jnp.complex64(1j) * params["im"].astype(jnp.complex64))
    return jnp.abs(z)


@pytest.mark.parametrize(("apply_fn", "names"), [(spectral_layer, ("w",)), (complex_weight, ("re", "im"))])
def test_complex_intermediates(apply_fn, names):
    params = {name: jnp.asarray(RNG.normal(size=(5, 3)), jnp.float32) for name in names}
    assert_all_agree(apply_fn, params, X.astype(np.float32))


def noisy(w, x):
    noise = jax.vmap(lambda key: jax.random.normal(key, (8,), jnp.float32))(x["key"])
    return jnp.tanh((x["x"] + noise) @ w)


def test_typed_keys_inside_examples():
    x = {"x": jnp.asarray(X, jnp.float32), "key": jax.random.split(jax.random.key(0), 5)}
    weight = jnp.asarray(RNG.normal(size=(8, 2)), jnp.float32)
    np.testing.assert_allclose(
        empirical_ntk(noisy, weight, x, block_size=2), brute(noisy, weight, x), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision(dtype):
    weight = jnp.asarray(RNG.normal(size=(8, 2)), dtype)
    x = jnp.asarray(X, dtype)

    def linear(w, x):
        return x @ w

    got, expected = empirical_ntk(linear, weight, x), 2 * np.asarray(x, np.float64) @ np.asarray(x, np.float64).T
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, expected, atol=1e-2 * np.abs(expected).max())


# Coupled examples and non-finite derivatives


def batch_norm(params, x):
    hidden = (x["x"] * x["mask"][:, None]) @ params
    return (hidden - hidden.mean(0)) / jnp.sqrt(hidden.var(0) + jnp.float32(1e-5))


@pytest.mark.bad_input
@pytest.mark.parametrize("num", [4, 1])
@pytest.mark.parametrize("repeated", [False, True])
def test_coupled_examples_are_refused_whatever_leaf_comes_first(num, repeated):
    x = RNG.normal(size=(1 if repeated else num, 8)).astype(np.float32)
    x = {"mask": np.ones(num, np.float32), "x": np.repeat(x, num, 0) if repeated else x}
    with pytest.raises(
        ValueError, match=r"apply_fn: got an output that changes by .* when another example of x1 joins"
    ):
        empirical_ntk(batch_norm, jnp.ones((8, 3), jnp.float32), x)


def spoiled_by_company(params, x):
    return jnp.where(x.shape[0] > 1, jnp.float32(np.nan), jnp.float32(1)) * (x @ params)


@pytest.mark.bad_input
def test_nan_does_not_pass_for_independence():
    with pytest.raises(ValueError, match="apply_fn: got an output that changes by nan"):
        empirical_ntk(spoiled_by_company, jnp.ones((8, 3), jnp.float32), X.astype(np.float32))


def normalised(params, x):
    hidden = x @ params["w"]
    return hidden / jnp.sqrt(jnp.sum(hidden**2, -1, keepdims=True))


@pytest.mark.bad_input
def test_non_finite_derivatives_are_refused_with_the_example():
    x = X.astype(np.float32)
    x[3] = 0
    params = {"w": jnp.eye(8, dtype=jnp.float32)}
    with pytest.raises(ValueError, match="x1: got example 3, at which a derivative"):
        empirical_ntk(normalised, params, x)
    with pytest.raises(ValueError, match="x2: got example 3, at which a derivative"):
        empirical_ntk(normalised, params, x[:3], x)
    for function in (ntk_diagonal, ntk_features, lambda *given: ntk_operator(*given)(np.ones(5, np.float32))):
        with pytest.raises(ValueError, match="x: got example 3, at which a derivative"):
            function(normalised, params, x)


def undefined_at_zero(params, x):
    return jnp.tanh((x / jnp.sum(x**2, -1, keepdims=True)) @ params)


@pytest.mark.parametrize("block_size", [None, 2, 3])
def test_filler_repeats_true_examples(block_size):
    weight, x = jnp.asarray(RNG.normal(size=(8, 2)), jnp.float32), X.astype(np.float32)
    expected = brute(undefined_at_zero, weight, x)
    kernel = empirical_ntk(undefined_at_zero, weight, x, block_size=block_size)
    np.testing.assert_allclose(kernel, expected, rtol=1e-4, atol=1e-5)
    features = ntk_features(undefined_at_zero, weight, x, output="trace", batch_size=block_size)
    np.testing.assert_allclose(features @ features.T, expected, rtol=1e-4, atol=1e-5)
    product = ntk_operator(undefined_at_zero, weight, x, batch_size=block_size)(np.ones(5, np.float32))
    np.testing.assert_allclose(product, expected.sum(1), rtol=1e-3, atol=1e-4)


# Arguments


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (({"w": 1.0}, lambda p, x: x, X), "apply_fn: got dict; need a function"),
        ((lambda p, x: x @ p["w"], X, {"w": np.ones((8, 2))}), "apply_fn: got .* in their order: apply_fn, params, x1"),
        (
            (lambda p, x: jnp.zeros((x.shape[0], 0), p.dtype) * p, np.float32(1), X),
            "apply_fn: got an output of shape .*, 0",
        ),
    ],
)
def test_arguments_in_another_order(arguments, message):
    with pytest.raises(ValueError, match=message):
        empirical_ntk(*arguments)


def two_layers(params, x):
    return jnp.tanh(x @ params["a"]) @ params["c"]


def test_param_filter_on_every_function():
    params = {"a": jnp.asarray(RNG.normal(size=(8, 6)), jnp.float32), "c": jnp.ones((6, 2), jnp.float32)}
    x, keep = X.astype(np.float32), lambda path, leaf: path == "c"
    hidden = np.tanh(x @ np.asarray(params["a"]))
    expected = 2 * hidden @ hidden.T
    np.testing.assert_allclose(ntk_diagonal(two_layers, params, x, param_filter=keep), np.diag(expected), rtol=1e-4)
    features = ntk_features(two_layers, params, x, output="trace", param_filter=keep)
    np.testing.assert_allclose(features @ features.T, expected, rtol=1e-4)
    product = ntk_operator(two_layers, params, x, param_filter=keep)(np.ones(5, np.float32))
    np.testing.assert_allclose(product, expected.sum(1), rtol=1e-4)
    moved = jax.tree.map(lambda leaf: leaf + 1, params)
    linear = linearize(two_layers, params, param_filter=keep)(moved, x)
    np.testing.assert_allclose(linear, two_layers({**params, "c": moved["c"]}, x), rtol=1e-4, atol=1e-4)


# Many outputs


def vocabulary(params, x):
    hidden = jnp.tanh(jnp.tanh(x @ params["a"]).reshape(x.shape[0], 2, -1) @ params["c"])
    return hidden @ params["head"].T + params["bias"]


HEAD = {
    "a": jnp.asarray(RNG.normal(size=(8, 8)), jnp.float32),
    "c": jnp.asarray(RNG.normal(size=(4, 3)), jnp.float32),
    "head": jnp.asarray(RNG.normal(size=(20, 3)), jnp.float32),
    "bias": jnp.asarray(RNG.normal(size=20), jnp.float32),
}


@pytest.mark.parametrize("chosen", [None, ("head",), ("a", "c"), ("bias", "a")])
def test_outputs_under_a_linear_head(chosen):
    keep = None if chosen is None else lambda path, leaf: path in chosen
    params = HEAD if chosen is None else {name: HEAD[name] for name in chosen}
    expected = brute(lambda p, x: vocabulary({**HEAD, **p}, x), params, X.astype(np.float32))
    scale = np.abs(expected).max()
    for method in ("structured", "jacobian", "vector_products"):
        kernel = empirical_ntk(vocabulary, HEAD, X.astype(np.float32), method=method, param_filter=keep)
        np.testing.assert_allclose(kernel, expected, atol=2e-5 * scale)
    diagonal = ntk_diagonal(vocabulary, HEAD, X.astype(np.float32), output="mean", param_filter=keep)
    np.testing.assert_allclose(diagonal, np.diag(expected) / 40, atol=1e-6 * scale)


def test_the_plan_names_the_head():
    plan = ntk_plan(vocabulary, HEAD, X.astype(np.float32))
    reasons = {leaf.path: leaf.reason for leaf in plan.leaves}
    assert "linear head [3, 20] at 2 positions" in reasons["head"]
    assert "linear head" in reasons["bias"]
    assert "linear head" not in reasons["a"]


def test_a_tied_head_is_not_reduced():
    weight = jnp.asarray(RNG.normal(size=(2, 8)), jnp.float32)

    def apply_fn(w, x):
        return jnp.tanh(x @ w.T) @ w

    expected = brute(apply_fn, weight, X.astype(np.float32))
    np.testing.assert_allclose(
        empirical_ntk(apply_fn, weight, X.astype(np.float32)), expected, atol=2e-5 * np.abs(expected).max()
    )


@pytest.mark.statistical
def test_probes_are_unbiased_and_know_their_error():
    x = X.astype(np.float32)
    expected = brute(vocabulary, HEAD, x)
    errors = []
    for seed in range(6):
        estimate = empirical_ntk(vocabulary, HEAD, x, output=Probes(24, jax.random.key(seed)))
        assert estimate.kernel.shape == estimate.standard_error.shape == (5, 5)
        errors.append((np.asarray(estimate.kernel) - expected) / np.asarray(estimate.standard_error))
    errors = np.stack(errors)
    assert abs(errors.mean()) < 0.5
    assert 0.6 < np.sqrt((errors**2).mean()) < 1.6


def wide(params, x):
    return jnp.tanh(x @ params["a"]) * params["c"]


def test_outputs_pass_in_parts_within_a_small_budget():
    params = {"a": jnp.asarray(RNG.normal(size=(8, 64)), jnp.float32), "c": jnp.ones(64, jnp.float32)}
    x = X.astype(np.float32)
    expected = brute(wide, params, x)
    for method in ("structured", "jacobian", "vector_products", "auto"):
        whole, parted = (ntk_plan(wide, params, x, method=method, memory_budget=size) for size in (10**8, 60_000))
        assert parted.bytes <= 60_000 < max(whole.bytes, 60_001)
        kernel = empirical_ntk(wide, params, x, method=method, memory_budget=60_000)
        np.testing.assert_allclose(kernel, expected, atol=2e-5 * np.abs(expected).max())


def test_the_diagonal_is_planned_without_pairs():
    x = np.ones((100_000, 2), np.float32) * np.arange(100_000, dtype=np.float32)[:, None] / 100_000
    found = ntk_diagonal(lambda w, x: x @ w, jnp.ones((2, 1)), x, memory_budget=2**25)
    np.testing.assert_allclose(found, (x**2).sum(1), rtol=1e-5)
