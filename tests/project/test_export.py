"""Every traceable core function lowers for CPU, GPU and TPU from one machine."""

import jax
import jax.numpy as jnp
import pytest
from jax import export

from support.ntk_networks import NETWORKS
from verax import matching, models, ntk, spectral

KERNEL = jax.ShapeDtypeStruct((6, 6), jnp.float32)
TARGETS = jax.ShapeDtypeStruct((6, 2), jnp.float32)
LABELS = jax.ShapeDtypeStruct((6,), jnp.int32)
VECTOR = jax.ShapeDtypeStruct((5,), jnp.float32)
SCALAR = jax.ShapeDtypeStruct((), jnp.float32)
WEIGHTS = jax.ShapeDtypeStruct((3, 4, 5), jnp.float32)


def _network(name):
    apply_fn, params, x = NETWORKS[name]()
    struct = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), (params, x))
    return apply_fn, *struct


def _ntk(function, name, **options):
    apply_fn, params, x = _network(name)
    return (lambda p, x: function(apply_fn, p, x, **options)), (params, x)


def _model(make):
    apply_fn, params = make(key=jax.random.key(0))
    struct = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), params)
    return apply_fn, (struct, jax.ShapeDtypeStruct((2, 8, 8, 1), jnp.float32))


CASES = {
    "empirical_ntk structured": lambda: _ntk(ntk.empirical_ntk, "convolutions", method="structured"),
    "empirical_ntk vector products": lambda: _ntk(ntk.empirical_ntk, "mlp", method="vector_products"),
    "ntk_diagonal": lambda: _ntk(ntk.ntk_diagonal, "attention"),
    "ntk_features": lambda: _ntk(ntk.ntk_features, "mlp", output=0),
    "gcv": lambda: (spectral.gcv, (KERNEL, TARGETS, SCALAR)),
    "gradient of gcv": lambda: (jax.grad(spectral.gcv), (KERNEL, TARGETS, SCALAR)),
    "loo_residuals": lambda: (spectral.loo_residuals, (KERNEL, TARGETS, SCALAR)),
    "loo_error": lambda: (lambda k, y, r: spectral.loo_error(k, y, r, num_classes=3), (KERNEL, LABELS, SCALAR)),
    "effective_ridge": lambda: (lambda e, r: spectral.effective_ridge(e, 10, r), (VECTOR, SCALAR)),
    "effective_dimensions": lambda: (spectral.effective_dimensions, (VECTOR, SCALAR)),
    "deterministic_risk": lambda: (lambda e, t, r: spectral.deterministic_risk(e, t, 10, r), (VECTOR, VECTOR, SCALAR)),
    "kernel_ridge_fit": lambda: (spectral.kernel_ridge_fit, (KERNEL, TARGETS, SCALAR)),
    "solve_assignment": lambda: (lambda w: matching.solve_assignment(w, implementation="xla"), (WEIGHTS,)),
    "small_cnn": lambda: _model(lambda key: models.small_cnn(3, key=key)),
}


@pytest.mark.parametrize("name", CASES)
def test_lowers_everywhere(name):
    function, arguments = CASES[name]()
    exported = export.export(jax.jit(function), platforms=["cpu", "cuda", "tpu"])(*arguments)
    assert exported.platforms == ("cpu", "cuda", "tpu")
