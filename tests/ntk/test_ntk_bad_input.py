"""Every invalid argument is refused before any compute, by name."""

import jax.numpy as jnp
import numpy as np
import pytest

from verax.ntk import empirical_ntk, ntk_diagonal, ntk_plan

pytestmark = pytest.mark.bad_input

PARAMS = {"w": jnp.ones((3, 2)), "b": jnp.zeros(2)}
X = jnp.asarray(np.random.default_rng(0).normal(size=(4, 3)), jnp.float32)


def network(p, x):
    return x @ p["w"].astype(x.dtype) + p["b"].astype(x.dtype)


def coupled(p, x):
    out = network(p, x)
    return out - out.mean(0)


BAD = {
    "apply_fn is no function": (dict(apply_fn=3), "apply_fn"),
    "scalar output": (dict(apply_fn=lambda p, x: network(p, x).sum()), "apply_fn"),
    "tree output": (dict(apply_fn=lambda p, x: (network(p, x),)), "apply_fn"),
    "integer output": (dict(apply_fn=lambda p, x: jnp.argmax(network(p, x), -1)), "apply_fn"),
    "output without examples": (dict(apply_fn=lambda p, x: network(p, x)[:1]), "apply_fn"),
    "output that ignores x": (dict(apply_fn=lambda p, x: jnp.broadcast_to(p["b"], (x.shape[0], 2))), "apply_fn"),
    "examples coupled": (dict(apply_fn=coupled), "apply_fn.*another example"),
    "no examples": (dict(x1=X[:0]), "x1"),
    "scalar examples": (dict(x1=jnp.ones(())), "x1"),
    "ragged examples": (dict(x1=[X, X[:2]], apply_fn=lambda p, x: network(p, x[0])), "x1"),
    "NaN in examples": (dict(x1=X.at[1, 1].set(jnp.nan)), "x1.*non-finite"),
    "infinity in parameters": (dict(params={**PARAMS, "b": jnp.array([0.0, jnp.inf])}), "params.*non-finite"),
    "integer parameters": (dict(params={"w": jnp.ones((3, 2), int), "b": jnp.zeros(2)}), "param_filter"),
    "Python number as parameter": (dict(params={"w": jnp.ones((3, 2)), "b": 1}), "params"),
    "nothing selected": (dict(param_filter=lambda path, leaf: False), "param_filter"),
    "x2 of another shape": (dict(x2=X[:, :2]), "x2"),
    "x2 empty": (dict(x2=X[:0]), "x2"),
    "NaN in x2": (dict(x2=X.at[0, 0].set(jnp.nan)), "x2.*non-finite"),
    "unknown output": (dict(output="all"), "output.*'trace'"),
    "output beyond the last": (dict(output=2), "output.*2 outputs"),
    "output of another type": (dict(output=None), "output"),
    "output true": (dict(output=True), "output"),
    "unknown method": (dict(method="fast"), "method.*'structured'"),
    "unknown precision": (dict(precision="double"), "precision.*'highest'"),
    "block of zero": (dict(block_size=0), "block_size"),
    "block of a float": (dict(block_size=2.5), "block_size"),
    "tiny budget": (dict(memory_budget=10), "memory_budget.*at least"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_by_name(name):
    change, message = BAD[name]
    arguments = {"apply_fn": network, "params": PARAMS, "x1": X, **change}
    with pytest.raises(ValueError, match=message):
        empirical_ntk(**arguments)


def test_plan_and_diagonal_check_alike():
    with pytest.raises(ValueError, match="another example"):
        ntk_plan(coupled, PARAMS, X)
    with pytest.raises(ValueError, match="another example"):
        ntk_diagonal(coupled, PARAMS, X)
    with pytest.raises(ValueError, match="output"):
        ntk_diagonal(network, PARAMS, X, output="all")


def test_integer_parameters_may_be_excluded():
    params = {"w": jnp.ones((3, 2)), "b": jnp.zeros(2, int)}
    kernel = empirical_ntk(network, params, X, param_filter=lambda path, leaf: path == "w")
    np.testing.assert_allclose(kernel, 2 * X @ X.T, rtol=1e-5)


def test_integer_examples_are_fine():
    table = jnp.arange(12.0).reshape(6, 2)
    kernel = empirical_ntk(lambda p, x: p[x], table, jnp.array([1, 1, 5]))
    np.testing.assert_array_equal(kernel, 2 * np.array([[1.0, 1, 0], [1, 1, 0], [0, 0, 1]]))
