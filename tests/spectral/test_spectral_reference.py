"""Against refits, scikit-learn, and the true risk of problems whose population is known."""

import numpy as np
import pytest
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import RidgeCV

import verax.spectral as vs
from support.spectral_data import fit_primal, power_law_problem, true_risk

pytestmark = [pytest.mark.reference, pytest.mark.double]


@pytest.mark.parametrize("center", [True, False])
def test_leave_one_out_is_a_refit_without_the_sample(center):
    p = power_law_problem(20, 35, seed=0, num_targets=2, offset=0.4, intercept=1.0)
    n, ridge = 20, 0.03
    residuals = vs.loo_residuals(p.kernel, p.targets, ridge, center=center)
    for i in range(n):
        rest = np.delete(np.arange(n), i)
        # the refit keeps the penalty n * ridge of the sum of squares
        beta, level = fit_primal(p.features[rest], p.targets[rest], ridge * n / (n - 1), center=center)
        np.testing.assert_allclose(residuals[i], p.targets[i] - p.features[i] @ beta - level, rtol=1e-7)
    path = vs.risk_path(vs.kernel_spectrum(p.kernel, p.targets, center=center), ridge)
    np.testing.assert_allclose(path.loo, np.mean(np.sum(np.square(residuals), axis=1)), rtol=1e-8)


def test_leave_one_out_of_the_interpolant_is_finite_and_right():
    p = power_law_problem(15, 40, seed=1)
    residuals = vs.loo_residuals(p.kernel, p.targets, 0.0)
    for i in (0, 7):
        rest = np.delete(np.arange(15), i)
        beta, level = fit_primal(p.features[rest], p.targets[rest], 0, center=True)
        np.testing.assert_allclose(residuals[i], p.targets[i] - p.features[i] @ beta - level, rtol=1e-6)


def test_loo_error_counts_the_mistakes_of_refits():
    p = power_law_problem(24, 30, seed=2, num_targets=3, noise=1.0)
    labels = np.argmax(p.targets, axis=1)
    onehot = np.eye(3)[labels]
    wrong = 0
    for i in range(24):
        rest = np.delete(np.arange(24), i)
        beta, level = fit_primal(p.features[rest], onehot[rest], 0.1 * 24 / 23, center=True)
        wrong += np.argmax(p.features[i] @ beta + level) != labels[i]
    assert 0 < wrong < 24
    assert float(vs.loo_error(p.kernel, labels, 0.1)) == pytest.approx(wrong / 24)


def test_predictions_are_those_of_scikit_learn():
    p = power_law_problem(30, 50, seed=3, num_targets=2)
    theirs = KernelRidge(alpha=30 * 0.02, kernel="precomputed").fit(p.kernel, p.targets)
    ours = vs.kernel_ridge_fit(p.kernel, p.targets, 0.02, center=False)
    np.testing.assert_allclose(ours.dual_coefficients, theirs.dual_coef_, rtol=1e-8)
    fresh = np.random.default_rng(0).normal(size=(5, 50)) @ p.features.T
    np.testing.assert_allclose(ours.predict(fresh), theirs.predict(fresh), rtol=1e-8)


def test_leave_one_out_risks_are_those_of_ridge_cv():
    p = power_law_problem(40, 60, seed=4, num_targets=2, intercept=2.0)
    ridges = np.geomspace(1e-4, 1, 7)
    theirs = RidgeCV(alphas=40 * ridges, store_cv_results=True).fit(p.features, p.targets)
    path = vs.risk_path(vs.feature_spectrum(p.features, p.targets), ridges)
    np.testing.assert_allclose(path.loo, theirs.cv_results_.sum(1).mean(0), rtol=1e-7)
    assert vs.select_ridge(path, criterion="loo") * 40 == pytest.approx(theirs.alpha_)


def ratios_to_truth(estimate, *, seeds, **options):
    """Log-ratios of an estimate to the true risk of the same fit, [seeds, L], and their standard error."""
    rows = []
    for seed in range(seeds):
        p = power_law_problem(seed=seed, **options)
        rows.append(estimate(p))
    logs = np.log(np.array(rows))
    return logs, logs.std(0, ddof=1) / np.sqrt(seeds)


@pytest.mark.parametrize("center", [True, False])
def test_gcv_estimates_the_true_risk(center):
    ridges = [0.0, 1e-3, 3e-2]

    def estimate(p):
        path = vs.risk_path(vs.kernel_spectrum(p.kernel, p.targets, center=center), ridges)
        fits = [fit_primal(p.features, p.targets, r, center=center) for r in ridges]
        assert path.reliable.all()
        return [g / true_risk(p, *fit) for g, fit in zip(path.gcv, fits, strict=True)]

    logs, error = ratios_to_truth(estimate, seeds=10, num_samples=100, num_features=400, noise=0.3)
    assert (np.abs(logs.mean(0)) < 4 * error + 0.02).all()
    assert (logs.std(0) < 0.25).all()


def test_standard_errors_are_the_spread_over_samples():
    runs = []
    for seed in range(24):
        p = power_law_problem(100, 400, seed=seed, noise=0.5)
        path = vs.risk_path(vs.kernel_spectrum(p.kernel, p.targets), [1e-2])
        runs.append((path.gcv[0], path.standard_error[0]))
    risks, errors = np.array(runs).T
    # 24 runs know their own standard deviation to about 15 %
    assert 0.55 < errors.mean() / risks.std(ddof=1) < 1.8


@pytest.mark.costly
def test_deterministic_risk_and_estimated_dimensions_match_simulations():
    ridges = np.array([1e-4, 1e-2])
    rows = []
    for seed in range(8):
        p = power_law_problem(120, 480, seed=seed, noise=0.2)
        path = vs.risk_path(vs.kernel_spectrum(p.kernel, p.targets, center=False), ridges)
        df1, df2 = vs.effective_dimensions(p.eigenvalues, vs.effective_ridge(p.eigenvalues, 120, ridges))
        fits = [fit_primal(p.features, p.targets, r, center=False)[0] for r in ridges]
        theory = vs.deterministic_risk(
            p.eigenvalues, p.eigenvalues * p.coefficients[:, 0] ** 2, 120, ridges, noise_variance=p.noise_variance
        )
        truth = [true_risk(p, fit) for fit in fits]
        rows.append([path.df1 / df1, path.df2 / df2, truth / theory, path.gcv / theory])
    rows = np.array(rows)
    mean, error = rows.mean(0), rows.std(0, ddof=1) / np.sqrt(8)
    assert (np.abs(mean - 1) < 4 * error + 0.01).all()
    assert (np.abs(mean[:2] - 1) < 0.02).all()


def test_corrected_gcv_estimates_the_risk_of_correlated_samples():
    n, ridges = 100, [0.0, 1e-2]
    correlation = 0.7 ** np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    root = np.linalg.cholesky(correlation)

    def estimate(p):
        rng = np.random.default_rng(int(1e6 * abs(p.features[0, 0])))
        features = root @ p.features
        targets = features @ p.coefficients + 0.3 * root @ rng.normal(size=(n, 1))
        kernel = features @ features.T
        row = []
        for ridge in ridges:
            truth = true_risk(p, fit_primal(features, targets, ridge, center=False)[0])
            corrected = vs.corrected_gcv(kernel, targets, ridge, correlation, center=False)
            row += [corrected / truth, vs.gcv(kernel, targets, ridge, center=False) / truth]
        return row

    logs, error = ratios_to_truth(estimate, seeds=12, num_samples=n, num_features=300, noise=0.3)
    assert (np.abs(logs.mean(0)) < 4 * error + 0.03)[[0, 2]].all()
    assert (logs.mean(0) < -5 * error)[[1, 3]].all()  # plain GCV is too small, which is why the correction exists


@pytest.mark.costly
@pytest.mark.parametrize("center", [True, False])
def test_ensemble_gcv_estimates_the_risk_of_the_average(center):
    def estimate(p):
        rng = np.random.default_rng(int(1e6 * abs(p.features[0, 0])))
        subsets = [rng.permutation(100)[:55] for _ in range(3)]
        fits = [fit_primal(p.features[s], p.targets[s], 1e-2, center=center) for s in subsets]
        truth = true_risk(p, sum(f[0] for f in fits) / 3, sum(f[1] for f in fits) / 3)
        return [vs.ensemble_gcv(p.kernel, p.targets, 1e-2, subsets, center=center) / truth]

    logs, error = ratios_to_truth(estimate, seeds=12, num_samples=100, num_features=300, noise=1.0)
    assert (np.abs(logs.mean(0)) < 4 * error + 0.02).all()
    assert (logs.std(0) < 0.3).all()
