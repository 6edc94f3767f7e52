"""Kernels over a mesh of eight virtual devices: the kernel of one device, and nothing gathered."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from verax.ntk import _mesh, empirical_ntk

KEYS = jax.random.split(jax.random.key(0), 4)
PARAMS = {"w": jax.random.normal(KEYS[0], (5, 16)), "v": jax.random.normal(KEYS[1], (16, 3))}
X1, X2 = jax.random.normal(KEYS[2], (32, 5)), jax.random.normal(KEYS[3], (10, 5))


def network(params, x):
    return jnp.tanh(x @ params["w"]) @ params["v"]


def mesh(shape=(8,), kind=AxisType.Auto):
    return jax.make_mesh(shape, ("a", "b")[: len(shape)], axis_types=(kind,) * len(shape))


@pytest.mark.parametrize("x2", [None, X2])
@pytest.mark.parametrize("shape", [(8,), (3,), (2, 2), (1,)])
def test_it_is_the_kernel_of_one_device(x2, shape):
    devices = int(np.prod(shape))
    chosen = jax.make_mesh(shape, ("a", "b")[: len(shape)], devices=jax.devices()[:devices])
    kernel = empirical_ntk(network, PARAMS, X1, x2, mesh=chosen)
    np.testing.assert_allclose(kernel, empirical_ntk(network, PARAMS, X1, x2), rtol=1e-5, atol=1e-5)
    assert len(kernel.sharding.device_set) == devices or kernel.shape[0] % devices


@pytest.mark.parametrize("options", [{"output": "full"}, {"output": "mean"}, {"method": "jacobian"}, {"output": 1}])
def test_options(options):
    kernel = empirical_ntk(network, PARAMS, X1, mesh=mesh(), **options)
    np.testing.assert_allclose(kernel, empirical_ntk(network, PARAMS, X1, **options), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit])
@pytest.mark.parametrize("spec", [PartitionSpec(), PartitionSpec("a")])
def test_examples_come_with_any_sharding(kind, spec):
    chosen = mesh(kind=kind)
    spread = jax.device_put(X1, NamedSharding(chosen, spec))
    kernel = empirical_ntk(network, PARAMS, spread, mesh=chosen)
    assert kernel.sharding.is_equivalent_to(NamedSharding(chosen, PartitionSpec("a")), 2)
    np.testing.assert_allclose(kernel, empirical_ntk(network, PARAMS, X1), rtol=1e-5, atol=1e-5)


def test_nothing_is_gathered(monkeypatch):
    compiled, texts = _mesh._compiled, []

    def seen(*arguments):
        function = compiled(*arguments)

        def call(*inputs):
            texts.append(function.lower(*inputs).compile().as_text())
            return function(*inputs)

        return call

    monkeypatch.setattr(_mesh, "_compiled", seen)
    empirical_ntk(network, PARAMS, X1, mesh=mesh())
    assert not re.search(r"all-gather|all-to-all|all-reduce", texts[0])
    assert "collective-permute" in texts[0]


@pytest.mark.bad_input
def test_bad_input():
    for options, message in (({"mesh": 8}, "mesh: got int"), ({"mesh": mesh(), "block_size": 4}, "block_size: got 4")):
        with pytest.raises(ValueError, match=message):
            empirical_ntk(network, PARAMS, X1, **options)
