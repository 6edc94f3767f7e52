"""Norms and initialisers against their definitions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from verax.models._layers import Statistics, batch_norm, group_norm, init_kernels


def affine(rng, channels):
    return {
        "scale": jnp.asarray(rng.normal(size=channels).astype(np.float32)),
        "bias": jnp.asarray(rng.normal(size=channels).astype(np.float32)),
    }


@pytest.mark.parametrize("num_groups", [1, 3, 6])
def test_group_norm_against_the_formula(rng, num_groups):
    x, params = (5 + 2 * rng.normal(size=(2, 4, 5, 6))).astype(np.float32), affine(rng, 6)
    want = np.empty(x.shape)
    size = 6 // num_groups
    for example in range(2):
        for group in range(num_groups):
            part = x[example, :, :, group * size : (group + 1) * size].astype(np.float64)
            want[example, :, :, group * size : (group + 1) * size] = (part - part.mean()) / np.sqrt(part.var() + 1e-5)
    want = want * np.asarray(params["scale"]) + np.asarray(params["bias"])
    np.testing.assert_allclose(group_norm(params, jnp.asarray(x), num_groups), want, rtol=1e-4, atol=1e-4)


def test_batch_norm_against_the_formula(rng):
    x, params = (5 + 2 * rng.normal(size=(3, 4, 5, 6))).astype(np.float32), affine(rng, 6)
    statistics = Statistics(rng.normal(size=6), rng.uniform(0.5, 2.0, size=6))
    batch = Statistics(x.astype(np.float64).mean((0, 1, 2)), x.astype(np.float64).var((0, 1, 2)))
    for given, used in ((statistics, statistics), (None, batch)):
        want = (x - used.mean) / np.sqrt(used.variance + 1e-5) * np.asarray(params["scale"]) + np.asarray(
            params["bias"]
        )
        np.testing.assert_allclose(batch_norm(params, jnp.asarray(x), given), want, rtol=1e-4, atol=1e-4)


def test_initialisers_have_the_stated_variance():
    kernels, head = init_kernels(jax.random.key(0), [(3, 3, 16, 200), (50, 300)], (300, 100))
    assert [kernel.shape for kernel in kernels] == [(3, 3, 16, 200), (50, 300)]
    assert not np.asarray(head["bias"]).any()
    draws = [np.asarray(kernel, np.float64) for kernel in (*kernels, head["kernel"])]
    for got, variance in zip(draws, (2 / (9 * 16), 2 / 50, 1 / 300), strict=True):
        # The sample variance of N normal numbers has relative standard deviation sqrt(2 / N).
        assert abs(np.square(got).mean() / variance - 1) < 4 * np.sqrt(2 / got.size)
        assert abs(got.mean()) < 4 * np.sqrt(variance / got.size)
