"""Generalization risk, learning curves and scaling exponents from a kernel's spectrum, without a test set.

Everywhere the ridge is 1/n-normalised, ``argmin (1/n) ||y - X b||^2 + ridge ||b||^2``: the dual system is
``(K + n ridge I) a = y``, and scikit-learn's ``alpha`` is ``n * ridge``. Risks sum over the targets' columns.
"""

from verax._save import load as load
from verax._save import register as _register
from verax._save import save as save

from ._baselines import norm_bound as norm_bound
from ._baselines import spectrum_only_risk as spectrum_only_risk
from ._corrected import corrected_gcv as corrected_gcv
from ._deterministic import deterministic_risk as deterministic_risk
from ._effective_ridge import effective_dimensions as effective_dimensions
from ._effective_ridge import effective_ridge as effective_ridge
from ._ensemble import ensemble_gcv as ensemble_gcv
from ._feature_spectrum import feature_spectrum as feature_spectrum
from ._gcv import gcv as gcv
from ._kernel_spectrum import kernel_spectrum as kernel_spectrum
from ._law import LawReport as LawReport
from ._law import Status as Status
from ._law import law_check as law_check
from ._learning_curve import LearningCurve as LearningCurve
from ._learning_curve import learning_curve as learning_curve
from ._loo import loo_error as loo_error
from ._loo import loo_residuals as loo_residuals
from ._moments import moment_spectrum as moment_spectrum
from ._power_law import PowerLaw as PowerLaw
from ._power_law import fit_power_law as fit_power_law
from ._quadrature_bounds import QuadratureBounds as QuadratureBounds
from ._quadrature_bounds import quadrature_bounds as quadrature_bounds
from ._ridge_regression import KernelRidge as KernelRidge
from ._ridge_regression import kernel_ridge_fit as kernel_ridge_fit
from ._risk_path import RiskPath as RiskPath
from ._risk_path import risk_path as risk_path
from ._risk_path import select_ridge as select_ridge
from ._sketch_bias import SketchBias as SketchBias
from ._sketch_bias import sketch_bias as sketch_bias
from ._spectrum import Spectrum as Spectrum

_register(Spectrum, KernelRidge)
