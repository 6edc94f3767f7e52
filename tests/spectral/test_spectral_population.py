"""Effective ridges, deterministic risk, learning curves, power laws and the law's diagnostics."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq

import verax.spectral as vs
from support.spectral_data import power_law_problem

pytestmark = pytest.mark.double

EIGENVALUES = np.arange(1.0, 1001) ** -1.5


@pytest.mark.parametrize("num_samples", [7, 300, 999, 1000, 1500])
@pytest.mark.parametrize("ridge", [1e-9, 1e-6, 1e-3, 1.0, 1e3])
def test_effective_ridge_is_the_root_found_by_bisection(num_samples, ridge):
    def excess(log_kappa):
        kappa = np.exp(log_kappa)
        return np.sum(EIGENVALUES / (EIGENVALUES + kappa)) + num_samples * ridge / kappa - num_samples

    expected = np.exp(brentq(excess, np.log(ridge) - 1, np.log(ridge + EIGENVALUES.sum()) + 1, xtol=1e-14, rtol=1e-14))
    np.testing.assert_allclose(vs.effective_ridge(EIGENVALUES, num_samples, ridge), expected, rtol=1e-9)


@pytest.mark.costly
def test_effective_ridge_over_twelve_decades_and_at_zero(x64):
    ridges = np.geomspace(1e-9, 1e3, 25)
    kappa = vs.effective_ridge(EIGENVALUES, 200, ridges)
    df1, _ = vs.effective_dimensions(EIGENVALUES, kappa)
    np.testing.assert_allclose(df1 + 200 * ridges / kappa, 200, rtol=1e-12)
    assert (np.diff(kappa) > 0).all()
    single = vs.effective_ridge(jnp.asarray(EIGENVALUES, jnp.float32), 200, jnp.asarray(ridges, jnp.float32))
    assert single.dtype == jnp.float32
    np.testing.assert_allclose(single, kappa, rtol=1e-4)
    df1, _ = vs.effective_dimensions(EIGENVALUES, vs.effective_ridge(EIGENVALUES, 200, 0.0))
    np.testing.assert_allclose(df1, 200, rtol=1e-12)
    assert vs.effective_ridge(EIGENVALUES, 1000, 0.0) == 0
    assert vs.effective_ridge(np.array([1.0, 1.0, 0.0]), 2, 0.0) == 0


@pytest.mark.costly
def test_effective_ridge_broadcasts_maps_and_differentiates():
    kappa = vs.effective_ridge(EIGENVALUES, np.array([[50.0], [200.0]]), np.array([1e-4, 1e-2, 1.0]))
    assert kappa.shape == (2, 3)
    np.testing.assert_allclose(kappa[1, 2], vs.effective_ridge(EIGENVALUES, 200, 1.0), rtol=1e-12)
    eigenvalues = jnp.asarray(EIGENVALUES, float)
    mapped = jax.vmap(lambda n: vs.effective_ridge(eigenvalues, n, 1e-2))(jnp.array([50.0, 200.0]))
    np.testing.assert_allclose(mapped, kappa[:, 1], rtol=1e-5)
    slopes = jax.jit(jax.grad(vs.effective_ridge, argnums=(0, 1, 2)))(eigenvalues, 200.0, 1e-3)
    _, df2 = vs.effective_dimensions(EIGENVALUES, vs.effective_ridge(EIGENVALUES, 200, 1e-3))
    np.testing.assert_allclose(slopes[2], 1 / (1 - df2 / 200), rtol=1e-4)
    step = 1e-5
    bump = np.zeros(1000)
    bump[30] = step * EIGENVALUES[30]
    high, low = (vs.effective_ridge(EIGENVALUES + s * bump, 200, 1e-3) for s in (1, -1))
    np.testing.assert_allclose(slopes[0][30], (high - low) / (2 * bump[30]), rtol=1e-3)
    high, low = (vs.effective_ridge(EIGENVALUES, 200 + s, 1e-3) for s in (1e-3, -1e-3))
    np.testing.assert_allclose(slopes[1], (high - low) / 2e-3, rtol=1e-3)


def test_deterministic_risk_of_isotropic_features_is_known():
    # p equal eigenvalues, ridgeless, p > n: kappa = p/n - 1, risk = (1 - n/p) ||b||^2 + ... in closed form
    p, n = 300, 100
    eigenvalues = np.ones(p)
    risk = vs.deterministic_risk(eigenvalues, eigenvalues / p, n, 0.0, noise_variance=0.25)
    np.testing.assert_allclose(risk, ((1 - n / p) ** 2 + 0.25) / (1 - n / p), rtol=1e-10)
    under = vs.deterministic_risk(eigenvalues, eigenvalues / p, 500, 0.0, noise_variance=0.25)
    np.testing.assert_allclose(under, 0.25 / (1 - p / 500), rtol=1e-10)
    assert np.isinf(vs.deterministic_risk(eigenvalues, eigenvalues / p, p, 0.0, noise_variance=0.25))


def test_train_and_test_risk_are_tied_by_the_effective_ridge():
    # what makes GCV work: on the deterministic curve, learning_curve's formula and deterministic_risk are one
    energy = EIGENVALUES * np.arange(1.0, 1001) ** -0.3
    kappa = vs.effective_ridge(EIGENVALUES, 150, 1e-3)
    _, df2 = vs.effective_dimensions(EIGENVALUES, kappa)
    bias = np.sum((kappa / (kappa + EIGENVALUES)) ** 2 * energy)
    expected = (bias + 0.1) / (1 - df2 / 150)
    np.testing.assert_allclose(vs.deterministic_risk(EIGENVALUES, energy, 150, 1e-3, noise_variance=0.1), expected)


@pytest.fixture(scope="module")
def fitted():
    p = power_law_problem(300, 3000, seed=0, intercept=2.0, delta=0.5)
    return p, vs.risk_path(vs.kernel_spectrum(p.kernel, p.targets), [0.0, 1e-4, 1e-2])


def test_learning_curve_at_the_fit_itself_is_gcv(fitted):
    _, path = fitted
    curve = vs.learning_curve(path, 300, path.ridge)
    np.testing.assert_allclose(curve.risk, path.gcv, rtol=1e-6)
    np.testing.assert_allclose(curve.df1, path.df1, rtol=1e-6)
    assert not curve.extrapolated.any()
    grid = vs.learning_curve(path, np.array([[100], [200]]), np.array([1e-4, 1e-2, 1.0]))
    assert grid.risk.shape == grid.extrapolated.shape == (2, 3)


def test_learning_curve_is_the_deterministic_one(fitted):
    p, path = fitted
    energy = p.eigenvalues * p.coefficients[:, 0] ** 2
    for samples, ridge, tolerance in (
        (50, 1e-3, 0.2),
        (150, 1e-3, 0.2),
        (150, 0.0, 0.2),
        (600, 1e-2, 0.2),
        (600, 0.0, 0.35),
    ):
        curve = vs.learning_curve(path, samples, ridge)
        truth = vs.deterministic_risk(p.eigenvalues, energy, samples, ridge, noise_variance=p.noise_variance)
        assert abs(np.log(curve.risk / truth)) < tolerance, (samples, ridge)
        assert bool(curve.extrapolated) == (ridge == 0 and samples > 300)


def test_a_finite_feature_space_is_never_extrapolated():
    p = power_law_problem(100, 10, seed=1, noise=0.5)
    path = vs.risk_path(vs.feature_spectrum(p.features, p.targets, center=False), [1e-3])
    curve = vs.learning_curve(path, [50, 100, 1000, 10_000], 0.0)
    assert not curve.extrapolated.any()
    # ordinary least squares: noise / (1 - p/n)
    np.testing.assert_allclose(curve.risk, 0.25 / (1 - 10 / np.array([50, 100, 1000, 10_000])), rtol=0.3)
    np.testing.assert_allclose(
        curve.risk / curve.risk[-1], (1 - 1e-3) / (1 - 10 / np.array([50, 100, 1000, 10_000])), rtol=1e-6
    )


def test_power_law_recovers_the_exponents(fitted):
    _, path = fitted
    law = vs.fit_power_law(path)
    truth = np.array([0.5, 0.5, 0.01])
    assert (law.lower < truth).all()
    assert (truth < law.upper).all()
    assert (law.standard_error[:2] < 0.4).all()
    assert law.exponent == pytest.approx(law.alpha + law.delta)
    assert not law.saturated
    narrow = vs.fit_power_law(path, df_range=(10, 60))
    assert narrow.df_range == (10, 60)
    assert narrow.range_sensitivity[:, 0].min() >= 9.9


def test_power_law_of_smooth_targets_says_that_it_saturates():
    p = power_law_problem(200, 2000, seed=2, alpha=0.2, delta=4.0, noise=0.0)
    assert vs.fit_power_law(vs.risk_path(vs.kernel_spectrum(p.kernel, p.targets), [0.1])).saturated


def test_law_check_finds_what_is_wrong():
    p = power_law_problem(120, 1000, seed=3)
    rng = np.random.default_rng(0)
    healthy = vs.law_check(p.kernel, p.targets)
    assert healthy.status == vs.Status.OK
    assert (healthy.dimension_gap < 0.1).all()
    scale = 0.2 + rng.exponential(size=(120, 1)) ** 2
    unequal = vs.law_check(p.kernel * scale * scale.T, scale * p.targets, key=jax.random.key(0))
    assert unequal.status == vs.Status.UNEQUAL_LEVERAGE
    assert np.abs(unequal.gcv_loo_score).max() > 2
    assert "leave-one-out" in unequal.message
    index = np.concatenate([np.arange(60), np.arange(60)])
    jitter = 1e-8 * np.diag(np.diagonal(p.kernel))
    copies = vs.law_check(p.kernel[np.ix_(index, index)] + jitter, p.targets[index])
    assert copies.status == vs.Status.DUPLICATES
    np.testing.assert_array_equal(copies.duplicates, np.stack([np.arange(60), np.arange(60) + 60], axis=1))
    # a kernel of few dimensions at small ridge, where the deterministic equivalent is known to fail
    points = np.random.default_rng(1).uniform(-1, 1, size=(100, 2))
    laplace = np.exp(-np.linalg.norm(points[:, None] - points, axis=-1))
    low_dimensional = vs.law_check(laplace, np.sin(3 * points[:, 0]))
    assert low_dimensional.status != vs.Status.OK
