"""The operator is the kernel matrix."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from support.ntk_goldens import golden
from verax import ntk

pytestmark = pytest.mark.double


@pytest.fixture(scope="module")
def network():
    apply_fn, params, x1, _, kernels = golden("strided_conv")
    return apply_fn, params, x1, kernels["full/same"]


def relative_error(got, want):
    return np.max(np.abs(np.asarray(got) - want)) / np.max(np.abs(want))


@pytest.mark.parametrize("output", ["trace", "mean", "sum", 1])
def test_operator_is_the_dense_kernel(network, output, rng, x64):
    apply_fn, params, x, full = network
    dense = {
        "trace": np.einsum("ijoo->ij", full),
        "mean": np.einsum("ijoo->ij", full) / full.shape[-1],
        "sum": full.sum((2, 3)),
        1: full[:, :, 1, 1],
    }[output]
    product = ntk.ntk_operator(apply_fn, params, x, output=output, batch_size=3)  # uneven blocks: 3 + 1
    columns = rng.normal(size=(len(full), 2))
    tolerance = 1e-10 if x64 else 1e-5
    assert relative_error(product(columns), dense @ columns) < tolerance
    assert product(columns).shape == (len(full), 2)
    assert relative_error(product(columns[:, 0]), dense @ columns[:, 0]) < tolerance


def test_batch_size_does_not_matter_and_conjugate_gradients_may_trace_it(network, x64):
    apply_fn, params, x, full = network
    dense = np.einsum("ijoo->ij", full)
    ridge = float(np.trace(dense))
    product = ntk.ntk_operator(apply_fn, params, x)
    targets = jnp.arange(1.0, 1 + len(dense))
    solved, _ = jax.scipy.sparse.linalg.cg(lambda v: product(v) + ridge * v, targets, tol=1e-6)
    want = np.linalg.solve(dense + ridge * np.eye(len(dense)), np.asarray(targets))
    assert relative_error(solved, want) < 1e-4


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("options", "v", "message"),
    [
        ({"output": "full"}, None, "output: got 'full'"),
        ({"output": "logits"}, None, "output: got 'logits'"),
        ({"batch_size": 0}, None, "batch_size: got 0"),
        ({}, np.ones(3), r"v: got shape \(3,\); need shape \[4\] or \[4, k\]"),
        ({}, np.ones((4, 1, 1)), "v: got shape"),
        ({}, np.array([1.0, np.nan, 0, 0]), "v: got 1 non-finite"),
    ],
)
def test_bad_input(options, v, message):
    with pytest.raises(ValueError, match=message):
        ntk.ntk_operator(lambda p, x: x @ p, jnp.ones((2, 1)), jnp.ones((4, 2)), **options)(v)
