"""Results on a device's float32 kernel against float64: they hold where products of default precision are rounded."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import verax.spectral as vs
from support.spectral_data import power_law_problem

pytestmark = pytest.mark.accelerator

PROBLEM = power_law_problem(300, 500, seed=3, num_targets=2)
RIDGES = np.array([1e-3, 1e-2, 1e-1])
KERNEL = jnp.asarray(PROBLEM.kernel, jnp.float32)
TARGETS = jnp.asarray(PROBLEM.targets, jnp.float32)


def test_lanczos_of_a_device_kernel():
    large = power_law_problem(600, 1200, seed=3, num_targets=2)
    exact = vs.risk_path(vs.feature_spectrum(large.features, large.targets), RIDGES)
    kernel, targets = jnp.asarray(large.kernel, jnp.float32), jnp.asarray(large.targets, jnp.float32)
    spectrum = vs.kernel_spectrum(kernel, targets, method="lanczos", num_steps=12, num_probes=8, key=jax.random.key(0))
    path = vs.risk_path(spectrum, RIDGES)
    assert path.reliable.all()
    np.testing.assert_allclose(path.train_risk, exact.train_risk, rtol=1e-4)  # rounded products miss by 6e-4
    assert np.all(np.abs(path.gcv - exact.gcv) < 4 * path.standard_error)


def test_gcv_and_its_gradient():
    value, slopes = jax.value_and_grad(vs.gcv, argnums=(0, 1, 2))(KERNEL, TARGETS, 1e-2)
    with jax.enable_x64(True):
        kernel, targets = jnp.asarray(PROBLEM.kernel), jnp.asarray(PROBLEM.targets)
        expected, wanted = jax.value_and_grad(vs.gcv, argnums=(0, 1, 2))(kernel, targets, jnp.float64(1e-2))
    np.testing.assert_allclose(value, np.asarray(expected), rtol=1e-5)
    for found, want in zip(slopes, wanted, strict=True):
        want = np.asarray(want)
        assert np.max(np.abs(np.asarray(found) - want)) < 3e-5 * np.max(np.abs(want))


def test_kernel_ridge_predictions_with_a_large_mean():
    # Accurate dual coefficients are no use where the product with them is rounded.
    offset = power_law_problem(300, 500, seed=3, num_targets=2, offset=3.0)
    train, test = offset.kernel[:200, :200], offset.kernel[200:, :200]
    targets = PROBLEM.targets[:200]
    model = vs.kernel_ridge_fit(jnp.asarray(train, jnp.float32), jnp.asarray(targets, jnp.float32), 1e-2)
    found = model.predict(jnp.asarray(test, jnp.float32))
    expected = vs.kernel_ridge_fit(train, targets, 1e-2).predict(test)
    assert np.max(np.abs(np.asarray(found) - expected)) < 5e-3 * np.std(expected)


def test_leave_one_out_residuals():
    found = vs.loo_residuals(KERNEL, TARGETS, 1e-2)
    expected = vs.loo_residuals(PROBLEM.kernel, PROBLEM.targets, 1e-2)
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_deterministic_risk():
    eigenvalues = jnp.asarray(PROBLEM.eigenvalues, jnp.float32)
    energy = PROBLEM.eigenvalues * np.sum(PROBLEM.coefficients**2, axis=1)
    found = vs.deterministic_risk(eigenvalues, jnp.asarray(energy, jnp.float32), 300, 1e-2, noise_variance=0.02)
    expected = vs.deterministic_risk(PROBLEM.eigenvalues, energy, 300, 1e-2, noise_variance=0.02)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
