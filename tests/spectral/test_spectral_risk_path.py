import jax
import jax.numpy as jnp
import numpy as np
import pytest

import verax.spectral as vs
from support.spectral_data import hat_matrix, power_law_problem, textbook_gcv
from verax.spectral._kernel_spectrum import decompose_on_device
from verax.spectral._spectrum import assemble, centered_targets

pytestmark = pytest.mark.double

RIDGES = [1e-3, 1e-1, 2.0]


@pytest.fixture(params=[True, False], ids=["intercept", "plain"])
def center(request):
    return request.param


def test_gcv_is_the_textbook_formula(center):
    p = power_law_problem(40, 70, seed=0, num_targets=3, offset=0.5)
    path = vs.risk_path(vs.kernel_spectrum(p.kernel, p.targets, center=center), RIDGES)
    hats = [hat_matrix(p.kernel, r, center=center) for r in RIDGES]
    residuals = [p.targets - h @ p.targets for h in hats]
    np.testing.assert_allclose(
        path.gcv, [textbook_gcv(p.kernel, p.targets, r, center=center) for r in RIDGES], rtol=1e-8
    )
    np.testing.assert_allclose(path.df1, [np.trace(h) for h in hats], rtol=1e-8)
    np.testing.assert_allclose(path.train_risk, [np.sum(r**2) / 40 for r in residuals], rtol=1e-6)
    one_minus = [1 - np.diag(h) for h in hats]
    loo = [np.mean(np.sum(r**2, 1) / d**2) for r, d in zip(residuals, one_minus, strict=True)]
    np.testing.assert_allclose(path.loo, loo, rtol=1e-7)
    np.testing.assert_allclose(path.leverage_dispersion, [d.std() / d.mean() for d in one_minus], rtol=1e-7)
    # kappa = ridge / t_1 and df2 = n (1 - t_1^2 / t_2), the intercept's direction left out of both sums
    t1, t2 = np.array([d.mean() for d in one_minus]), []
    for hat in hats:
        t2.append(np.trace((np.eye(40) - hat) @ (np.eye(40) - hat)) / 40)
    np.testing.assert_allclose(path.effective_ridge, RIDGES / t1, rtol=1e-7)
    np.testing.assert_allclose(path.df2, 40 * (1 - t1**2 / np.array(t2)), rtol=1e-7)
    np.testing.assert_allclose(path.bias_plus_noise / (1 - path.df2 / 40), path.gcv, rtol=1e-10)


@pytest.mark.parametrize("shape", [(30, 50), (50, 8)], ids=["wide", "tall"])
def test_features_and_their_kernel_agree(shape, center):
    p = power_law_problem(*shape, seed=1, num_targets=2, offset=0.3)
    ridges = [0.0, 1e-4, 1e-2]
    one = vs.risk_path(vs.kernel_spectrum(p.kernel, p.targets, center=center), ridges)
    two = vs.risk_path(vs.feature_spectrum(p.features, p.targets, center=center), ridges)
    assert one.spectrum.rank == two.spectrum.rank == min(shape[0] - center, shape[1])
    for name in ("train_risk", "gcv", "df1", "df2", "effective_ridge", "bias_plus_noise", "loo", "standard_error"):
        np.testing.assert_allclose(getattr(one, name), getattr(two, name), rtol=1e-6, atol=1e-12, err_msg=name)


def test_ridgeless_limit_at_full_rank():
    p = power_law_problem(30, 60, seed=2)
    values, vectors = np.linalg.eigh(p.kernel / 30)
    energy = (vectors.T @ p.targets)[:, 0] ** 2
    expected = np.mean(energy / values**2) / np.mean(1 / values) ** 2
    path = vs.risk_path(vs.kernel_spectrum(p.kernel, p.targets, center=False), [0.0, 1e-12])
    np.testing.assert_allclose(path.gcv, expected, rtol=1e-7)
    assert path.train_risk[0] == 0
    np.testing.assert_allclose(path.df1[0], 30)


def test_ridgeless_limit_at_deficient_rank():
    p = power_law_problem(40, 10, seed=3, noise=0.5)
    left = np.linalg.svd(p.features)[0]
    outside = np.sum((left[:, 10:].T @ p.targets) ** 2)
    path = vs.risk_path(vs.kernel_spectrum(p.kernel, p.targets, center=False), [0.0, 1e-11])
    np.testing.assert_allclose(path.gcv, outside / 40 / (1 - 10 / 40) ** 2, rtol=1e-6)
    np.testing.assert_allclose(path.df1[0], 10)
    assert path.reliable.all()  # a gap, not rounding, sets the null space apart


def test_copied_samples_leave_everything_finite():
    p = power_law_problem(20, 60, seed=4)
    index = np.concatenate([np.arange(20), np.arange(20)])
    path = vs.risk_path(vs.kernel_spectrum(p.kernel[np.ix_(index, index)], p.targets[index]))
    for name in ("gcv", "loo", "df1", "df2", "effective_ridge", "standard_error"):
        assert np.isfinite(getattr(path, name)).all(), name
    assert path.spectrum.rank == 19


def test_negative_ridge_above_the_smallest_eigenvalue():
    p = power_law_problem(30, 90, seed=5, alpha=0.0)
    spectrum = vs.kernel_spectrum(p.kernel, p.targets)
    ridge = -0.5 * spectrum.eigenvalues[-1]
    path = vs.risk_path(spectrum, [ridge])
    hat = hat_matrix(p.kernel, ridge, center=True)
    np.testing.assert_allclose(path.gcv, textbook_gcv(p.kernel, p.targets, ridge, center=True), rtol=1e-6)
    np.testing.assert_allclose(path.df1, np.trace(hat), rtol=1e-8)
    assert path.df1 > 30
    with pytest.raises(ValueError, match="smallest eigenvalue"):
        vs.risk_path(spectrum, [-spectrum.eigenvalues[-1]])


def test_scaling_kernel_and_ridge_together_changes_nothing():
    p = power_law_problem(30, 50, seed=6)
    one = vs.risk_path(vs.kernel_spectrum(p.kernel, p.targets), RIDGES)
    two = vs.risk_path(vs.kernel_spectrum(1e9 * p.kernel, p.targets), 1e9 * np.array(RIDGES))
    np.testing.assert_allclose(two.gcv, one.gcv, rtol=1e-9)
    np.testing.assert_allclose(two.df2, one.df2, rtol=1e-9)


def test_double_precision_input_is_not_cast(x64):
    # A constant 1e6 times the rest: in float32 nothing of the kernel would be left.
    p = power_law_problem(30, 60, seed=7)
    path = vs.risk_path(vs.kernel_spectrum(p.kernel + 1e6, p.targets), RIDGES)
    np.testing.assert_allclose(path.gcv, vs.risk_path(vs.kernel_spectrum(p.kernel, p.targets), RIDGES).gcv, rtol=1e-5)
    np.testing.assert_allclose(float(vs.gcv(p.kernel + 1e6, p.targets, 0.1)), path.gcv[1], rtol=1e-5)


@pytest.mark.parametrize("route", ["host", "device"])
def test_single_precision_agrees_where_it_is_called_reliable(route):
    p = power_law_problem(150, 400, seed=8, offset=1.0)
    ridges = np.geomspace(1e-8, 1, 9)
    exact = vs.risk_path(vs.kernel_spectrum(p.kernel, p.targets), ridges)
    kernel = jnp.asarray(p.kernel, jnp.float32)
    if route == "host":
        spectrum = vs.kernel_spectrum(kernel, p.targets)
    else:
        values, vectors, floor = decompose_on_device(kernel, center=True)
        y = centered_targets(p.targets, center=True)
        spectrum = assemble(values, vectors.T @ y, vectors, y, center=True, floor=floor)
    path = vs.risk_path(spectrum, ridges)
    assert path.reliable[-4:].all()
    np.testing.assert_allclose(path.gcv[path.reliable], exact.gcv[path.reliable], rtol=2e-2)
    np.testing.assert_allclose(path.gcv[-4:], exact.gcv[-4:], rtol=1e-3)


def test_reliable_is_false_below_the_precision_of_the_kernel():
    p = power_law_problem(60, 3000, seed=9, alpha=3.0)  # eigenvalues run through float32's rounding
    kernel = (p.kernel + 10).astype(np.float32)
    exact = vs.risk_path(vs.kernel_spectrum(p.kernel, p.targets), [1e-11, 1e-3])
    path = vs.risk_path(vs.kernel_spectrum(kernel, p.targets), [1e-11, 1e-3])
    assert path.reliable.tolist() == [False, True]
    assert abs(path.df1[0] / exact.df1[0] - 1) > 0.2  # and rightly so
    np.testing.assert_allclose(path.gcv[1], exact.gcv[1], rtol=1e-2)


def test_reliable_is_false_for_rows_of_unequal_size(rng):
    p = power_law_problem(150, 600, seed=10)
    scaled = p.features * rng.exponential(size=(150, 1))
    targets = scaled @ p.coefficients
    path = vs.risk_path(vs.kernel_spectrum(scaled @ scaled.T, targets), [1e-5, 1e-4])
    assert not path.reliable.any()
    assert vs.risk_path(vs.kernel_spectrum(p.kernel, p.targets), [1e-5, 1e-4]).reliable.all()
    assert (path.leverage_dispersion > 0.5).all()


def test_without_eigenvectors_only_the_leave_one_out_fields_go():
    p = power_law_problem(60, 200, seed=11, num_targets=2)
    full = vs.risk_path(vs.kernel_spectrum(p.kernel, p.targets), RIDGES)
    bare = vs.risk_path(vs.kernel_spectrum(p.kernel, p.targets, keep_eigenvectors=False), RIDGES)
    np.testing.assert_allclose(bare.gcv, full.gcv, rtol=1e-9)
    assert bare.loo is None
    assert bare.leverage_dispersion is None
    assert (np.abs(np.log(bare.standard_error / full.standard_error)) < np.log(2.5)).all()
    with pytest.raises(ValueError, match="keep_eigenvectors"):
        vs.select_ridge(bare, criterion="loo")


def test_select_ridge():
    p = power_law_problem(60, 200, seed=12, noise=1.0)
    path = vs.risk_path(vs.kernel_spectrum(p.kernel, p.targets))
    assert vs.select_ridge(path) == path.best_ridge == path.ridge[np.argmin(path.gcv)]
    assert vs.select_ridge(path, criterion="loo") == path.ridge[np.argmin(path.loo)]
    assert path.ridge[0] < path.best_ridge < path.ridge[-1]


def test_baselines_by_their_definitions(center):
    p = power_law_problem(30, 60, seed=13, num_targets=2)
    spectrum = vs.kernel_spectrum(p.kernel, p.targets, center=center)
    projector = np.eye(30) - center / 30
    kernel, y = projector @ p.kernel @ projector, projector @ p.targets
    dual = np.linalg.solve(kernel + 30 * 0.1 * np.eye(30), y)
    norm2 = np.trace(dual.T @ kernel @ dual)
    np.testing.assert_allclose(vs.norm_bound(spectrum, 0.1), np.sqrt(np.trace(kernel) / 30 * norm2 / 30), rtol=1e-9)
    # targets with the same energy along every direction: then the spectrum alone is enough
    isotropic = np.linalg.svd(kernel)[0][:, : 30 - center] @ np.ones((30 - center, 1))
    flat = vs.kernel_spectrum(p.kernel, isotropic, center=center)
    np.testing.assert_allclose(vs.spectrum_only_risk(flat, RIDGES), vs.risk_path(flat, RIDGES).gcv, rtol=1e-7)


@pytest.mark.costly
def test_lanczos_run_to_the_end_is_the_decomposition(center):
    p = power_law_problem(36, 80, seed=14, num_targets=3)
    targets = p.targets - p.targets.mean(1, keepdims=True)  # dependent columns, as centred one-hot labels have
    exact = vs.risk_path(vs.kernel_spectrum(p.kernel, targets, center=center), RIDGES)
    for kernel in (p.kernel, jnp.asarray(p.kernel, jnp.float32)):
        spectrum = vs.kernel_spectrum(
            kernel, targets, center=center, method="lanczos", num_steps=30, num_probes=2, key=jax.random.key(0)
        )
        path = vs.risk_path(spectrum, RIDGES)
        rtol = 1e-9 if isinstance(kernel, np.ndarray) else 2e-3
        np.testing.assert_allclose(path.train_risk, exact.train_risk, rtol=rtol)
        # two probes: the trace is an estimate, and its error is part of the standard error
        assert (np.abs(path.gcv - exact.gcv) <= 4 * path.standard_error).all()


def test_lanczos_from_products_alone_and_of_low_rank():
    p = power_law_problem(80, 6, seed=15, noise=0.5)
    kernel = jnp.asarray(p.kernel, float)
    spectrum = vs.kernel_spectrum(lambda v: kernel @ v, p.targets, num_steps=8, num_probes=3, key=jax.random.key(1))
    path = vs.risk_path(spectrum, [0.0, 1e-2])
    exact = vs.risk_path(vs.feature_spectrum(p.features, p.targets), [0.0, 1e-2])
    assert spectrum.rank == 6
    np.testing.assert_allclose(path.train_risk, exact.train_risk, rtol=1e-3)
    assert (np.abs(path.gcv - exact.gcv) <= 4 * path.standard_error).all()
    assert path.loo is None


def test_lanczos_calls_too_few_steps_unreliable():
    p = power_law_problem(200, 800, seed=16, alpha=1.0)
    options = {"method": "lanczos", "num_probes": 4, "key": jax.random.key(2)}
    path = vs.risk_path(vs.kernel_spectrum(p.kernel, p.targets, num_steps=8, **options), [1e-7, 1.0])
    exact = vs.risk_path(vs.kernel_spectrum(p.kernel, p.targets), [1e-7, 1.0])
    assert path.reliable.tolist() == [False, True]
    assert abs(path.gcv[0] / exact.gcv[0] - 1) > 0.05
    np.testing.assert_allclose(path.gcv[1], exact.gcv[1], rtol=0.02)


@pytest.mark.parametrize("n", [50, 200])
def test_a_kernel_computed_in_single_precision_may_be_stored_in_double(n):
    # Its rounding makes it indefinite beyond double precision's own.
    x = np.linspace(0, 1, n, dtype=np.float32)[:, None]
    kernel = np.exp(-((x - x.T) ** 2) * np.float32(2))
    targets = np.sin(6 * x[:, 0])
    single, double = (
        vs.risk_path(vs.kernel_spectrum(kernel.astype(dtype), targets), [1e-5]) for dtype in (np.float32, np.float64)
    )
    np.testing.assert_allclose(double.loo, single.loo, rtol=1e-6)


def test_the_best_ridge_is_a_reliable_one(rng):
    features = rng.normal(size=(200, 100)) * rng.exponential(size=(200, 1)) ** 3
    path = vs.risk_path(vs.kernel_spectrum(features @ features.T, features[:, 0]))
    assert path.reliable.any()
    assert not path.reliable[np.argmin(path.gcv)]  # the smallest estimate is where it should not be believed
    assert path.reliable[path.ridge == path.best_ridge].all()
    assert path.best_ridge == vs.select_ridge(path)
    none = path._replace(reliable=np.zeros_like(path.reliable))
    with pytest.warns(UserWarning, match="no ridge of the path is reliable"):
        assert vs.select_ridge(none) == path.ridge[np.argmin(path.gcv)]


def test_wide_features_have_the_spectrum_of_their_kernel(rng):
    features, targets = rng.normal(size=(30, 200)) + 1, rng.normal(size=30)
    found, expected = vs.feature_spectrum(features, targets), vs.kernel_spectrum(features @ features.T, targets)
    np.testing.assert_allclose(found.eigenvalues, expected.eigenvalues, rtol=1e-10)
    np.testing.assert_allclose(found.target_energy, expected.target_energy, rtol=1e-8)
