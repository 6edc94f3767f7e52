import jax
import jax.numpy as jnp
import numpy as np
import pytest

import verax.spectral as vs

pytestmark = pytest.mark.bad_input

K = np.eye(6) + 1.0
Y = np.arange(6.0)
NAN = np.where(np.eye(6) > 0, np.nan, 0.0)
INDEFINITE = np.diag([1.0, 1.0, 1.0, 1.0, 1.0, -0.5])
LABELS = np.array([0, 1, 0, 1, 0, 1])
SPECTRUM = vs.kernel_spectrum(K + np.diag(np.arange(6.0)), Y)
PATH = vs.risk_path(SPECTRUM)
LANCZOS = {"method": "lanczos", "num_steps": 4}
INF = float("inf")

KERNELS = {
    "not square": (np.ones((6, 5)), "kernel"),
    "one-dimensional": (np.ones(6), "kernel"),
    "ragged list": ([[1.0], [1.0, 2.0]], "kernel"),
    "empty": (np.ones((0, 0)), "kernel"),
    "text": (np.full((6, 6), "a"), "kernel"),
    "complex": (np.eye(6) * 1j, "kernel"),
    "nan": (NAN, "kernel"),
    "infinite": (np.where(np.eye(6) > 0, np.inf, 0.0), "kernel"),
    "asymmetric": (K + np.triu(np.ones((6, 6)), 1), "symmetric"),
}
TARGETS = {
    "other length": (np.arange(5.0), "targets"),
    "three-dimensional": (np.ones((6, 1, 1)), "targets"),
    "no columns": (np.ones((6, 0)), "targets"),
    "text": (np.array(list("abcdef")), "targets"),
    "nan": (np.full(6, np.nan), "targets"),
    "nothing": (None, "targets"),
}
TAKE_KERNEL = {
    "kernel_spectrum": lambda k, y: vs.kernel_spectrum(k, y),
    "gcv": lambda k, y: vs.gcv(k, y, 0.1),
    "loo_residuals": lambda k, y: vs.loo_residuals(k, y, 0.1),
    "kernel_ridge_fit": lambda k, y: vs.kernel_ridge_fit(k, y, 0.1),
    "law_check": lambda k, y: vs.law_check(k, y),
    "corrected_gcv": lambda k, y: vs.corrected_gcv(k, y, 0.1, np.eye(6)),
    "ensemble_gcv": lambda k, y: vs.ensemble_gcv(k, y, 0.1, np.arange(6)[None]),
}


@pytest.mark.parametrize("function", TAKE_KERNEL.values(), ids=TAKE_KERNEL)
@pytest.mark.parametrize(("kernel", "message"), KERNELS.values(), ids=KERNELS)
def test_kernels(function, kernel, message):
    with pytest.raises(ValueError, match=message):
        function(kernel, Y)


@pytest.mark.parametrize("function", TAKE_KERNEL.values(), ids=TAKE_KERNEL)
@pytest.mark.parametrize(("targets", "message"), TARGETS.values(), ids=TARGETS)
def test_targets(function, targets, message):
    with pytest.raises(ValueError, match=message):
        function(K, targets)


CALLS = {
    "indefinite spectrum": (lambda: vs.kernel_spectrum(INDEFINITE, Y), "indefinite"),
    "indefinite gcv": (lambda: vs.gcv(INDEFINITE, Y, 1e-3), "positive definite"),
    "indefinite lanczos": (lambda: vs.kernel_spectrum(INDEFINITE, Y, key=jax.random.key(0), **LANCZOS), "indefinite"),
    "vanishing": (lambda: vs.kernel_spectrum(np.ones((6, 6)), Y), "vanishes after centring"),
    "one sample": (lambda: vs.kernel_spectrum(np.eye(1), np.ones(1)), "two samples"),
    "center": (lambda: vs.kernel_spectrum(K, Y, center="yes"), "center"),
    "method": (lambda: vs.kernel_spectrum(K, Y, method="qr"), "'eigh'"),
    "steps without lanczos": (lambda: vs.kernel_spectrum(K, Y, method="eigh", num_steps=3), "num_steps"),
    "probes without lanczos": (lambda: vs.kernel_spectrum(K, Y, num_probes=3), "num_probes"),
    "lanczos without key": (lambda: vs.kernel_spectrum(K, Y, **LANCZOS), "key"),
    "lanczos with a seed": (lambda: vs.kernel_spectrum(K, Y, key=0, **LANCZOS), "key"),
    "few steps": (lambda: vs.kernel_spectrum(K, Y, method="lanczos", num_steps=1, key=jax.random.key(0)), "num_steps"),
    "one probe": (lambda: vs.kernel_spectrum(K, Y, num_probes=1, key=jax.random.key(0), **LANCZOS), "num_probes"),
    "operator for eigh": (lambda: vs.kernel_spectrum(lambda v: v, Y, method="eigh"), "array"),
    "operator of another shape": (lambda: vs.kernel_spectrum(lambda v: v[:3], Y, key=jax.random.key(0)), r"\[n, k\]"),
    "traced": (lambda: jax.jit(lambda k: vs.kernel_spectrum(k, Y).eigenvalues)(K), "gcv"),
    "flat features": (lambda: vs.feature_spectrum(Y, Y), "features"),
    "integer features": (lambda: vs.feature_spectrum(np.ones((6, 2), int), Y), "features"),
    "nan features": (lambda: vs.feature_spectrum(NAN, Y), "features"),
    "constant features": (lambda: vs.feature_spectrum(np.ones((6, 2)), Y), "features"),
    "not a spectrum": (lambda: vs.risk_path(K), "Spectrum"),
    "negative ridge": (lambda: vs.risk_path(SPECTRUM, -2.0), "smallest eigenvalue"),
    "negative ridge, singular": (lambda: vs.risk_path(vs.feature_spectrum(Y[:, None], Y), -1e-9), "singular"),
    "nan ridge": (lambda: vs.risk_path(SPECTRUM, [0.1, np.nan]), "ridges"),
    "no ridges": (lambda: vs.risk_path(SPECTRUM, []), "ridges"),
    "ridge matrix": (lambda: vs.risk_path(SPECTRUM, np.ones((2, 2))), "ridges"),
    "ridge text": (lambda: vs.risk_path(SPECTRUM, ["a"]), "ridges"),
    "norm_bound ridge": (lambda: vs.norm_bound(SPECTRUM, INF), "ridge: got"),
    "criterion": (lambda: vs.select_ridge(PATH, criterion="holdout"), "'gcv'"),
    "ridge array": (lambda: vs.gcv(K, Y, np.ones(2)), "ridge"),
    "ridge infinite": (lambda: vs.gcv(K, Y, INF), "ridge"),
    "ridge bool": (lambda: vs.gcv(K, Y, True), "ridge"),
    "ridge too negative": (lambda: vs.gcv(K, Y, -1.0), "positive definite"),
    "float labels": (lambda: vs.loo_error(K, Y + 0.5, 0.1, num_classes=9), "labels"),
    "labels of another length": (lambda: vs.loo_error(K, LABELS[:5], 0.1), "labels"),
    "negative labels": (lambda: vs.loo_error(K, LABELS - 1, 0.1, num_classes=2), "labels"),
    "missing labels": (lambda: vs.loo_error(K, [None, *LABELS[1:]], 0.1), "labels"),
    "labels beyond num_classes": (lambda: vs.loo_error(K, LABELS, 0.1, num_classes=1), "labels"),
    "traced labels": (lambda: jax.jit(lambda t: vs.loo_error(K, t, 0.1))(LABELS), "num_classes"),
    "cross kernel": (lambda: vs.kernel_ridge_fit(K, Y, 0.1).predict(np.ones((6, 5))), "cross_kernel"),
    "nan cross kernel": (lambda: vs.kernel_ridge_fit(K, Y, 0.1).predict(NAN), "cross_kernel"),
    "learning curve of one sample": (lambda: vs.learning_curve(PATH, 1, 0.1), "num_samples"),
    "learning curve, negative ridge": (lambda: vs.learning_curve(PATH, 10, -0.1), "ridge"),
    "learning curve, shapes": (lambda: vs.learning_curve(PATH, np.arange(2, 5), np.ones(2)), "broadcast"),
    "learning curve of a spectrum": (lambda: vs.learning_curve(SPECTRUM, 10, 0.1), "RiskPath"),
    "negative eigenvalues": (lambda: vs.effective_ridge(np.array([1.0, -1.0]), 2, 0.1), "eigenvalues"),
    "zero eigenvalues": (lambda: vs.effective_ridge(np.zeros(3), 2, 0.1), "eigenvalues"),
    "eigenvalues in text": (lambda: vs.effective_ridge(["a", "b"], 2, 0.1), "eigenvalues"),
    "no samples": (lambda: vs.effective_ridge(Y, 0, 0.1), "num_samples"),
    "negative population ridge": (lambda: vs.effective_ridge(Y, 2, -0.1), "ridge"),
    "negative kappa": (lambda: vs.effective_dimensions(Y, -0.1), "kappa"),
    "energy of another length": (lambda: vs.deterministic_risk(Y, Y[:3], 2, 0.1), "target_energy"),
    "negative noise": (lambda: vs.deterministic_risk(Y, Y, 2, 0.1, noise_variance=-1.0), "noise_variance"),
    "df_range reversed": (lambda: vs.fit_power_law(PATH, df_range=(3, 1)), "df_range"),
    "df_range beyond the rank": (lambda: vs.fit_power_law(PATH, df_range=(1, 50)), "df_range"),
    "fraction": (lambda: vs.law_check(K, Y, fractions=(1.5,)), "fractions"),
    "fraction too small": (lambda: vs.law_check(K, Y, fractions=(0.1,)), "fractions"),
    "correlation of another size": (lambda: vs.corrected_gcv(K, Y, 0.1, np.eye(5)), "sample_correlation"),
    "singular correlation": (lambda: vs.corrected_gcv(K, Y, 0.1, np.ones((6, 6))), "sample_correlation"),
    "corrected negative ridge": (lambda: vs.corrected_gcv(K, Y, -0.1, np.eye(6)), "ridge"),
    "no subsets": (lambda: vs.ensemble_gcv(K, Y, 0.1, []), "subsets"),
    "float subsets": (lambda: vs.ensemble_gcv(K, Y, 0.1, np.ones((1, 3))), "subsets"),
    "subset out of range": (lambda: vs.ensemble_gcv(K, Y, 0.1, np.array([[0, 6]])), "subsets"),
    "repeated index": (lambda: vs.ensemble_gcv(K, Y, 0.1, np.array([[0, 0, 1]])), "subsets"),
}


@pytest.mark.parametrize(("call", "message"), CALLS.values(), ids=CALLS)
def test_calls(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_jax_arrays_are_checked_alike():
    with pytest.raises(ValueError, match="symmetric"):
        vs.gcv(jnp.asarray(KERNELS["asymmetric"][0]), jnp.asarray(Y), 0.1)
