"""Generalization risk at many ridges from one decomposition."""

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from verax._errors import check, check_option, fail
from verax._results import result
from verax._types import AnyArray

from ._resolvent import (
    Resolvent,
    check_ridges,
    default_ridges,
    energy_sum,
    over_probes,
    population_curve,
    resolvent,
    trace_sums,
)
from ._spectrum import Spectrum


@result()
class RiskPath(NamedTuple):
    """Risk estimates along a path of ridges; every field ``[L]`` and float64 unless noted.

    Attributes
    ----------
    ridge
        Ridges, in the order given; 1/n-normalised.
    train_risk
        ``(1/n) sum_i,c residual^2``: per-sample mean, summed over targets.
    gcv
        Estimate of the risk on a fresh sample, label noise included.
    df1, df2
        Effective dimensions ``sum (lambda/(lambda+kappa))^m`` of the population kernel, intercept included.
    effective_ridge
        ``kappa``, the ridge that acts on the population.
    bias_plus_noise
        ``B(kappa) + sigma^2``: what the risk would be were the sampling variance absent.
    standard_error
        Of ``gcv``: from the spread of the per-sample squared errors when eigenvectors were kept, that of Gaussian
        residuals otherwise; with Lanczos, the probes' error included.
    loo
        Mean squared leave-one-out error, None without eigenvectors.
    leverage_dispersion
        Standard deviation over mean of ``1 - H_ii``, None without eigenvectors.
    reliable : bool [L]
        False where GCV and leave-one-out differ by over 2 standard errors, where the ridge is too small for the
        precision of the kernel, or (Lanczos) where the recurrence has not converged.
    best_ridge : float
        The ridge of the smallest ``gcv`` among the reliable ones; among all where none is.
    spectrum : Spectrum
        What the path was computed from.
    """

    ridge: np.ndarray
    train_risk: np.ndarray
    gcv: np.ndarray
    df1: np.ndarray
    df2: np.ndarray
    effective_ridge: np.ndarray
    bias_plus_noise: np.ndarray
    standard_error: np.ndarray
    loo: np.ndarray | None
    leverage_dispersion: np.ndarray | None
    reliable: np.ndarray
    best_ridge: float
    spectrum: Spectrum


def risk_path(
    spectrum: Spectrum, ridges: Float[AnyArray, "L"] | Sequence[int | float] | int | float | None = None
) -> RiskPath:
    r"""Generalized cross-validation, leave-one-out and effective dimensions at every ridge.

    .. math::
        \mathrm{GCV}(\lambda) = \frac{\frac1n \sum_i a_i^2 / (l_i + \lambda)^2}
                                     {\bigl[\frac1n \sum_i 1 / (l_i + \lambda)\bigr]^2}

    in the form that stays finite at ridge 0 and for a singular kernel; with an intercept its direction is left out of
    both sums, which makes the degrees of freedom one larger.

    GCV estimates the risk on fresh samples from the same distribution only if the features are independent of these
    labels; it is too small for a network that was trained on them.

    Parameters
    ----------
    spectrum
        From `kernel_spectrum` or `feature_spectrum`.
    ridges : [L], optional
        1/n-normalised ridges (scikit-learn's ``alpha`` is ``n * ridge``); 0 is allowed, as are negative values above
        minus the smallest eigenvalue of ``K/n``. Default: 100 ridges from the bottom of the spectrum to ten times its
        top.

    Returns
    -------
    RiskPath
        Float64 arrays, one entry a ridge. Risks sum over the targets.

    Raises
    ------
    ValueError
        For ridges that are not finite, or too negative.

    Notes
    -----
    ``O(L m)`` for GCV and ``4 n m (L + L C)`` flops for leave-one-out. Leave-one-out errors are those of refits that
    keep the penalty ``n * ridge`` of the sum of squares, the intercept refitted.

    Examples
    --------
    >>> import numpy as np, verax.spectral as vs
    >>> rng = np.random.default_rng(0)
    >>> features = rng.normal(size=(300, 600)) * np.arange(1, 601) ** -0.75
    >>> targets = features @ rng.normal(size=600) + 0.1 * rng.normal(size=300)
    >>> path = vs.risk_path(vs.kernel_spectrum(features @ features.T, targets), [0.0, 1e-3, 1e-1])
    >>> np.round(path.gcv, 2), path.best_ridge
    (array([0.1 , 0.14, 0.57]), 0.0)
    >>> path.reliable.tolist()
    [True, True, True]

    References
    ----------
    Craven and Wahba (1978); Wei, Hu, Steinhardt, "More Than a Toy" (ICML 2022); Jacot et al., "Kernel Alignment Risk
    Estimator" (2020), whose KARE is the same number.
    """
    check(isinstance(spectrum, Spectrum), "spectrum", type(spectrum).__name__, "a Spectrum")
    ridge = default_ridges(spectrum) if ridges is None else check_ridges(spectrum, ridges)
    n = spectrum.num_samples
    r = resolvent(spectrum, ridge)
    probe_sum1 = trace_sums(spectrum, r, 1)
    sum1 = over_probes(probe_sum1)
    population = population_curve(spectrum, ridge)
    energy = energy_sum(spectrum, r)
    gcv = n * energy / sum1**2
    loo, dispersion, error = _sample_errors(spectrum, r, sum1)
    if error is None:
        error = np.sqrt(2 / n) * gcv  # the spread that Gaussian residuals of one target have
    if probe_sum1.ndim == 2 and len(probe_sum1) > 1:
        relative = probe_sum1.std(0, ddof=1) / np.sqrt(len(probe_sum1)) / sum1
        error = np.hypot(error, 2 * relative * gcv)
    reliable = ridge + spectrum.eigenvalues[-1] >= 30 * spectrum.precision_floor
    if loo is not None:
        reliable &= np.abs(gcv - loo) <= 2 * error
    if spectrum.truncation is not None:
        shorter = risk_path(spectrum.truncation, ridge)
        reliable &= np.abs(gcv - shorter.gcv) <= np.maximum(error / 2, 0.01 * gcv)
    return RiskPath(
        ridge=ridge,
        train_risk=r.shrinkage**2 * energy / n,
        gcv=gcv,
        df1=population.df1,
        df2=population.df2,
        effective_ridge=population.effective_ridge,
        bias_plus_noise=population.bias_plus_noise,
        standard_error=error,
        loo=loo,
        leverage_dispersion=dispersion,
        reliable=reliable,
        best_ridge=_smallest(ridge, gcv, reliable),
        spectrum=spectrum,
    )


def select_ridge(path: RiskPath, *, criterion: str = "gcv") -> float:
    """Ridge of the smallest estimated risk along a path.

    Reliable ridges go first; where the path has none, the smallest of all is taken, with a warning.

    The minimum of an estimate is a little below the risk at the ridge it picks. GCV needs features that are
    independent of these labels.

    Parameters
    ----------
    path
        From `risk_path`.
    criterion
        "gcv" or "loo" (needs eigenvectors).

    Returns
    -------
    float
        The 1/n-normalised ridge.

    Examples
    --------
    >>> import numpy as np, verax.spectral as vs
    >>> features = np.random.default_rng(0).normal(size=(40, 80))
    >>> path = vs.risk_path(vs.feature_spectrum(features, features[:, 0]), [0.1, 1.0, 10.0])
    >>> vs.select_ridge(path) == path.best_ridge
    True
    """
    check(isinstance(path, RiskPath), "path", type(path).__name__, "a RiskPath")
    check_option("criterion", criterion, ("gcv", "loo"))
    if criterion == "loo" and path.loo is None:
        fail("criterion", "'loo' for a path without eigenvectors", "kernel_spectrum(..., keep_eigenvectors=True)")
    if not path.reliable.any():
        warnings.warn("no ridge of the path is reliable: see RiskPath.reliable", stacklevel=2)
    risks = path.gcv if criterion == "gcv" else path.loo
    assert risks is not None
    return _smallest(path.ridge, risks, path.reliable)


def _smallest(ridges: np.ndarray, risks: np.ndarray, reliable: np.ndarray) -> float:
    """Ridge of the smallest risk among the reliable ones, or among all where none is."""
    usable = reliable if reliable.any() else np.ones(len(ridges), bool)
    return float(ridges[np.argmin(np.where(usable, risks, np.inf))])


def _sample_errors(spectrum: Spectrum, r: Resolvent, sum1: np.ndarray) -> tuple[Any, Any, Any]:
    """Leave-one-out risk, dispersion of ``1 - H_ii`` and standard error, each [L]; None where it cannot be had."""
    vectors, coefficients, null = spectrum.eigenvectors, spectrum.coefficients, spectrum.null_residual
    if vectors is None or coefficients is None or null is None:
        return None, None, None
    n, num_ridges = spectrum.num_samples, len(r.scale)
    squares = None if spectrum.null_leverage is None else vectors**2
    loo, dispersion, error = np.empty(num_ridges), np.empty(num_ridges), np.empty(num_ridges)
    chunk = max(1, 2**24 // (n * spectrum.num_targets))
    for start in range(0, num_ridges, chunk):
        part = slice(start, min(start + chunk, num_ridges))
        weights, null_weight = r.weights[part], r.null_weight[part]
        weighted = (weights.T[:, :, None] * coefficients[:, None, :]).reshape(len(coefficients), -1)
        residual = (vectors @ weighted).reshape(n, -1, spectrum.num_targets)
        residual += null_weight[None, :, None] * null[:, None, :]
        if squares is None or spectrum.null_leverage is None:
            losses = np.sum(residual**2, axis=2) / (sum1[part] / n) ** 2
        else:
            leverage = squares @ weights.T + np.outer(spectrum.null_leverage, null_weight)
            losses = np.sum(residual**2, axis=2) / leverage**2
            loo[part] = losses.mean(0)
            dispersion[part] = leverage.std(0) / leverage.mean(0)
        error[part] = losses.std(0, ddof=1) / np.sqrt(n) if n > 1 else np.inf
    return (None, None, error) if squares is None else (loo, dispersion, error)
