"""Features whose Gram matrix is the kernel: exactly, or in expectation over sketches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from support.ntk_goldens import assert_kernel_close, golden
from verax import ntk

pytestmark = pytest.mark.double

SKETCHES = {"coordinates": ntk.Coordinates, "rademacher": ntk.Rademacher, "kronecker": ntk.Kronecker}


def num_parameters(params):
    return sum(leaf.size for leaf in jax.tree.leaves(params))


@pytest.mark.parametrize("output", [0, "sum", "trace", "mean"])
def test_exact_features(output):
    apply_fn, params, x1, x2, kernels = golden("shared_weights")
    full = kernels["full/cross"]
    want = {
        0: full[:, :, 0, 0],
        "sum": full.sum((2, 3)),
        "trace": np.einsum("ijoo->ij", full),
        "mean": np.einsum("ijoo->ij", full) / full.shape[-1],
    }[output]
    first = ntk.ntk_features(apply_fn, params, x1, output=output, batch_size=3)
    second = ntk.ntk_features(apply_fn, params, x2, output=output)
    outputs = 1 if output in (0, "sum") else full.shape[-1]
    assert first.shape == (len(full), outputs * num_parameters(params))
    assert_kernel_close(first @ second.T, want)


def test_exact_features_are_the_jacobian():
    apply_fn, params, x1, _, _ = golden("mlp")
    jacobian = jax.tree.leaves(jax.jacrev(lambda p: apply_fn(p, x1)[:, 0])(params))
    want = np.concatenate([np.asarray(leaf).reshape(len(x1), -1) for leaf in jacobian], axis=1)
    np.testing.assert_allclose(ntk.ntk_features(apply_fn, params, x1), want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["strided_conv", "embedding"])
@pytest.mark.parametrize("kind", SKETCHES)
def test_sketches_are_unbiased(kind, name):
    apply_fn, params, x1, x2, kernels = golden(name)
    want = np.einsum("ijoo->ij", kernels["full/cross"])
    sketch = SKETCHES[kind](23)  # no product of two like sizes, and no divisor of a leaf's size

    def estimate(key):
        first, second = (
            ntk.ntk_features(apply_fn, params, x, output="trace", sketch=sketch, key=key) for x in (x1, x2)
        )
        return first @ second.T

    estimates = np.asarray(jax.vmap(estimate)(jax.random.split(jax.random.key(7), 400)), np.float64)
    error = estimates.std(0, ddof=1) / len(estimates) ** 0.5
    scale = np.sqrt(np.diag(np.einsum("ijoo->ij", kernels["full/same"])))[:, None]
    scale = scale * np.linalg.norm(np.asarray(ntk.ntk_features(apply_fn, params, x2, output="trace")), axis=1)
    assert np.max(error / scale) < 0.05  # enough seeds for a bias of a fifth to show
    assert np.max(np.abs(estimates.mean(0) - want) / error) < 4.5
    if kind == "rademacher":  # the standard error that the documentation promises
        bound = np.sqrt((scale**2 + want**2) / sketch.num_features)
        assert np.max(estimates.std(0) / bound) < 1 + 4.5 / np.sqrt(len(estimates))


def test_as_many_coordinates_as_parameters_are_exact():
    apply_fn, params, x1, _, kernels = golden("shared_weights")
    sketch = ntk.Coordinates(num_parameters(params))
    features = ntk.ntk_features(apply_fn, params, x1, output=1, sketch=sketch, key=jax.random.key(0))
    assert_kernel_close(features @ features.T, kernels["full/same"][:, :, 1, 1])


@pytest.mark.parametrize("kind", SKETCHES)
def test_same_key_same_map(kind):
    apply_fn, params, x1, x2, _ = golden("mlp")
    options = {"sketch": SKETCHES[kind](16), "output": "mean"}
    both = ntk.ntk_features(apply_fn, params, jnp.concatenate([x1, x2]), key=jax.random.key(1), **options)
    first = ntk.ntk_features(apply_fn, params, x1, key=jax.random.key(1), **options)
    assert both.shape == (7, 16)
    np.testing.assert_allclose(both[:4], first, rtol=1e-4, atol=1e-5)
    other = ntk.ntk_features(apply_fn, params, x1, key=jax.random.key(2), **options)
    assert not np.allclose(first, other)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output": "full"}, "output: got 'full'"),
        ({"sketch": 16}, "sketch: got 16"),
        ({"sketch": ntk.Rademacher(4)}, "key: got None"),
        ({"sketch": ntk.Coordinates(7), "key": jax.random.key(0)}, r"sketch: got Coordinates\(.*7\); need at most 6"),
        ({"batch_size": 0}, "batch_size: got 0"),
    ],
)
def test_bad_input(options, message):
    with pytest.raises(ValueError, match=message):
        ntk.ntk_features(lambda p, x: x @ p, jnp.ones((2, 3)), jnp.ones((4, 2)), **options)


@pytest.mark.bad_input
@pytest.mark.parametrize("kind", SKETCHES)
@pytest.mark.parametrize("size", [0, 2.5, True])
def test_bad_sizes(kind, size):
    with pytest.raises(ValueError, match="num_features: got"):
        SKETCHES[kind](size)
