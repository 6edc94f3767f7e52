"""Valid calls of verax.spectral."""

import pathlib
import tempfile

import jax
import numpy as np

from support.border import call
from verax import spectral

RNG = np.random.default_rng(0)
FEATURES = np.round(4 * RNG.normal(size=(12, 5))) / 4
KERNEL = FEATURES @ FEATURES.T + np.diag(np.arange(1.0, 13))
TARGETS = np.round(4 * FEATURES[:, 0] + RNG.normal(size=12)) / 4
LABELS = (TARGETS > 0).astype(int)
SPECTRUM = spectral.kernel_spectrum(KERNEL, TARGETS)
PATH = spectral.risk_path(SPECTRUM)
EIGENVALUES, SUBSETS = np.array([2.0, 1.0, 0.5, 0.25]), np.array([[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]])
CENTERED = FEATURES - FEATURES.mean(0)
LANCZOS = spectral.kernel_spectrum(KERNEL, TARGETS, method="lanczos", num_steps=4, key=jax.random.key(0))
PATH_ON_DISK = pathlib.Path(tempfile.mkdtemp()) / "spectrum"
spectral.save(SPECTRUM, PATH_ON_DISK)
MODEL = spectral.kernel_ridge_fit(KERNEL, TARGETS, 0.5)

CALLS = {
    "verax.spectral.norm_bound": call(spectral.norm_bound, SPECTRUM, np.array([0.5, 1.0])),
    "verax.spectral.spectrum_only_risk": call(spectral.spectrum_only_risk, SPECTRUM, np.array([0.5, 1.0])),
    "verax.spectral.corrected_gcv": call(spectral.corrected_gcv, KERNEL, TARGETS, 0.5, np.eye(12), traceable=True),
    "verax.spectral.deterministic_risk": call(
        spectral.deterministic_risk, EIGENVALUES, EIGENVALUES[::-1].copy(), 8, 0.25, traceable=True
    ),
    "verax.spectral.effective_dimensions": call(spectral.effective_dimensions, EIGENVALUES, 0.5, traceable=True),
    "verax.spectral.effective_ridge": call(spectral.effective_ridge, EIGENVALUES, 8, 0.5, traceable=True),
    "verax.spectral.ensemble_gcv": call(spectral.ensemble_gcv, KERNEL, TARGETS, 0.5, SUBSETS),
    "verax.spectral.feature_spectrum": call(spectral.feature_spectrum, FEATURES, TARGETS),
    "verax.spectral.gcv": call(spectral.gcv, KERNEL, TARGETS, 0.5, traceable=True),
    "verax.spectral.law_check": call(spectral.law_check, KERNEL, TARGETS),
    "verax.spectral.learning_curve": call(spectral.learning_curve, PATH, np.array([8.0, 24.0]), np.array([0.5, 0.25])),
    "verax.spectral.loo_error": call(spectral.loo_error, KERNEL, LABELS, 0.5),
    "verax.spectral.loo_residuals": call(spectral.loo_residuals, KERNEL, TARGETS, 0.5, traceable=True),
    "verax.spectral.moment_spectrum": call(
        spectral.moment_spectrum,
        np.round(64 * CENTERED.T @ CENTERED) / 64,
        np.round(64 * CENTERED.T @ TARGETS[:, None]) / 64,
        16.0,
        num_samples=12,
    ),
    "verax.spectral.fit_power_law": call(spectral.fit_power_law, PATH, df_range=(1, 5)),
    "verax.spectral.quadrature_bounds": call(
        spectral.quadrature_bounds,
        LANCZOS,
        np.array([0.5, 1.0]),
        exempt={"ridges": {"times 1e-40": "no upper bound where the kernel's precision does not resolve the ridge"}},
    ),
    "verax.spectral.save": call(spectral.save, SPECTRUM, PATH_ON_DISK),
    "verax.spectral.load": call(spectral.load, PATH_ON_DISK),
    "verax.spectral.kernel_ridge_fit": call(spectral.kernel_ridge_fit, KERNEL, TARGETS, 0.5, traceable=True),
    "verax.spectral.KernelRidge.predict": call(MODEL.predict, KERNEL[:3]),
    "verax.spectral.risk_path": call(spectral.risk_path, SPECTRUM, np.array([0.5, 1.0])),
    "verax.spectral.select_ridge": call(spectral.select_ridge, PATH),
    "verax.spectral.sketch_bias": call(spectral.sketch_bias, PATH, 100),
    "verax.spectral.kernel_spectrum": call(spectral.kernel_spectrum, KERNEL, TARGETS),
}
