import jax
import jax.numpy as jnp
import numpy as np
import pytest

import verax.spectral as vs
from support.spectral_data import hat_matrix, power_law_problem

pytestmark = pytest.mark.double

N = 14


def explicit(kernel, targets, ridge, center):
    """Written with the hat matrix, for automatic differentiation."""
    eye = jnp.eye(N, dtype=kernel.dtype)
    projector = eye - center / N
    centred = projector @ (kernel + kernel.T) @ projector / 2
    hat = jnp.linalg.solve(centred + N * ridge * eye, centred).T + center / N
    return jnp.sum((targets - hat @ targets) ** 2) / N / (1 - jnp.trace(hat) / N) ** 2


@pytest.fixture(scope="module")
def problem():
    p = power_law_problem(N, 40, seed=0, num_targets=2, alpha=0.2, noise=0.5)
    return jnp.asarray(p.kernel, float), jnp.asarray(p.targets, float)


@pytest.mark.costly
@pytest.mark.parametrize("center", [True, False])
def test_value_and_gradients_are_those_of_the_explicit_formula(problem, center, x64):
    rtol = 1e-8 if x64 else 5e-3
    ours = jax.value_and_grad(lambda *a: vs.gcv(*a, center=center), argnums=(0, 1, 2))(*problem, 0.3)
    theirs = jax.value_and_grad(lambda *a: explicit(*a, center), argnums=(0, 1, 2))(*problem, 0.3)
    np.testing.assert_allclose(ours[0], theirs[0], rtol=rtol)
    for got, expected in zip(ours[1], theirs[1], strict=True):
        np.testing.assert_allclose(got, expected, rtol=rtol, atol=rtol * float(jnp.abs(expected).max()))


def test_gradients_are_finite_differences_of_refits(problem):
    kernel, targets = (np.asarray(a, np.float64) for a in problem)
    direction = np.random.default_rng(0).normal(size=(N, 5))
    direction = direction @ direction.T
    slope = jax.jvp(lambda k: vs.gcv(k, problem[1], 0.3), (problem[0],), (jnp.asarray(direction, problem[0].dtype),))[1]
    step = 1e-6
    # float64 NumPy input, so the differences are taken in double precision whatever JAX's mode
    high, low = (vs.gcv(kernel + s * direction, targets, 0.3) for s in (step, -step))
    np.testing.assert_allclose(slope, (high - low) / (2 * step), rtol=1e-3)


@pytest.mark.costly
def test_modes_and_transformations_agree(problem):
    kernel, targets = problem
    ridges = jnp.array([0.1, 0.2, 0.4], kernel.dtype)
    loop = [float(vs.gcv(kernel, targets, r)) for r in ridges]
    np.testing.assert_allclose(jax.vmap(lambda r: vs.gcv(kernel, targets, r))(ridges), loop, rtol=1e-5)
    np.testing.assert_allclose(jax.jit(vs.gcv)(kernel, targets, 0.2), loop[1], rtol=1e-5)
    forward, reverse = jax.jacfwd(vs.gcv, argnums=2), jax.grad(vs.gcv, argnums=2)
    np.testing.assert_allclose(forward(kernel, targets, 0.2), reverse(kernel, targets, 0.2), rtol=1e-5)
    second = jax.grad(reverse, argnums=2)(kernel, targets, 0.2)
    expected = jax.grad(jax.grad(explicit, argnums=2), argnums=2)(kernel, targets, 0.2, True)
    np.testing.assert_allclose(second, expected, rtol=2e-2)


def test_repeated_eigenvalues_do_not_spoil_the_gradient():
    # Derivatives of an eigendecomposition divide by gaps, which are zero here.
    kernel = jnp.eye(6) + 0.5
    gradient = jax.grad(vs.gcv)(kernel, jnp.arange(6.0), 0.2)
    assert bool(jnp.isfinite(gradient).all())


def test_agrees_with_the_path_at_small_zero_and_negative_ridge():
    p = power_law_problem(25, 90, seed=1, num_targets=2, alpha=0.0)
    spectrum = vs.kernel_spectrum(p.kernel, p.targets)
    ridges = [-0.4 * spectrum.eigenvalues[-1], 0.0, 1e-6]
    path = vs.risk_path(spectrum, ridges)
    np.testing.assert_allclose([float(vs.gcv(p.kernel, p.targets, r)) for r in ridges], path.gcv, rtol=1e-8)


def test_corrected_gcv_of_independent_samples_is_gcv(problem):
    p = power_law_problem(30, 60, seed=2)
    for ridge in (0.0, 1e-6, 0.1, 10.0):
        for center in (True, False):
            plain = vs.gcv(p.kernel, p.targets, ridge, center=center)
            corrected = vs.corrected_gcv(p.kernel, p.targets, ridge, 3 * np.eye(30), center=center)
            np.testing.assert_allclose(corrected, plain, rtol=1e-9)


def test_corrected_gcv_derivative_is_the_finite_difference():
    p = power_law_problem(20, 60, seed=3)
    correlation = 0.6 ** np.abs(np.subtract.outer(np.arange(20), np.arange(20)))
    arrays = [jnp.asarray(a, float) for a in (p.kernel, p.targets)]
    slope = jax.grad(vs.corrected_gcv, argnums=2)(*arrays, 0.1, jnp.asarray(correlation, float))
    high, low = (vs.corrected_gcv(p.kernel, p.targets, 0.1 + s, correlation) for s in (1e-6, -1e-6))
    np.testing.assert_allclose(slope, (high - low) / 2e-6, rtol=2e-3)


@pytest.mark.costly
def test_ensemble_of_one_complete_member_is_gcv():
    p = power_law_problem(30, 60, seed=4, num_targets=2)
    order = np.random.default_rng(0).permutation(30)
    for ridge in (0.0, 0.1):
        np.testing.assert_allclose(
            vs.ensemble_gcv(p.kernel, p.targets, ridge, order[None]), vs.gcv(p.kernel, p.targets, ridge), rtol=1e-9
        )


@pytest.mark.costly
def test_ensemble_takes_ragged_subsets_and_forgets_their_order():
    p = power_law_problem(30, 60, seed=5)
    subsets = [np.arange(20), np.arange(8, 30)]
    one = vs.ensemble_gcv(p.kernel, p.targets, 0.1, subsets)
    two = vs.ensemble_gcv(p.kernel, p.targets, 0.1, [subsets[1][::-1].copy(), subsets[0]])
    np.testing.assert_allclose(one, two, rtol=1e-9)


@pytest.mark.parametrize("center", [True, False])
def test_kernel_ridge_is_the_hat_matrix_and_the_primal_solution(center):
    p = power_law_problem(25, 8, seed=6, num_targets=2, offset=2.0, intercept=1.0)
    model = vs.kernel_ridge_fit(p.kernel, p.targets, 0.05, center=center)
    np.testing.assert_allclose(
        model.predict(p.kernel), hat_matrix(p.kernel, 0.05, center=center) @ p.targets, rtol=1e-7
    )
    one = vs.kernel_ridge_fit(p.kernel, p.targets[:, 0], 0.05, center=center)
    fresh = np.random.default_rng(0).normal(size=(3, 8)) @ p.features.T
    assert one.predict(fresh).shape == (3,)
    np.testing.assert_allclose(one.predict(fresh), model.predict(fresh)[:, 0], rtol=1e-9)
    assert isinstance(one.predict(fresh), np.ndarray)


def test_kernel_ridge_traces_and_keeps_jax_dtype():
    p = power_law_problem(20, 40, seed=7)
    kernel, targets = jnp.asarray(p.kernel, jnp.float32), jnp.asarray(p.targets, jnp.float32)

    @jax.jit
    def predict(ridge):
        return vs.kernel_ridge_fit(kernel, targets, ridge).predict(kernel)

    assert predict(0.1).dtype == jnp.float32
    np.testing.assert_allclose(predict(0.1), vs.kernel_ridge_fit(p.kernel, p.targets, 0.1).predict(p.kernel), atol=2e-4)


def test_a_failed_factorisation_is_an_error_not_a_number():
    kernel = np.ones((4, 4))  # rank 0 after centring
    for function in (vs.gcv, vs.loo_residuals, vs.kernel_ridge_fit):
        with pytest.raises(ValueError, match="positive definite"):
            function(kernel, np.arange(4.0), 0.0)


def test_dual_coefficients_sum_to_zero_whatever_the_kernels_mean():
    # In single precision what is left of the sum is multiplied by the mean, here 300.
    rng = np.random.default_rng(0)
    features = rng.normal(size=(300, 400)) * np.arange(1, 401) ** -0.9
    targets = np.eye(3)[np.argmax(features[:, :3] + 0.3 * rng.normal(size=(300, 3)), axis=1)]
    kernel = (features @ features.T + 300).astype(np.float32)
    train, test = kernel[:200, :200], kernel[200:, :200]
    for ridge in (1e-6, 1e-4):
        single, double = (
            vs.kernel_ridge_fit(train.astype(dtype), targets[:200].astype(dtype), ridge).predict(test.astype(dtype))
            for dtype in (np.float32, np.float64)
        )
        risks = [np.mean(np.sum((np.asarray(found, float) - targets[200:]) ** 2, axis=1)) for found in (single, double)]
        assert risks[0] == pytest.approx(risks[1], rel=0.03)
