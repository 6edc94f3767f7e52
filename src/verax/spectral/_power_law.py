"""Power laws of the population's eigenvalues and coefficients, read off the effective dimensions."""

from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar

from verax._errors import check, fail
from verax._results import result

from ._resolvent import PopulationCurve, population_curve
from ._risk_path import RiskPath
from ._spectrum import Spectrum

_NUM_POINTS = 48
_NUM_GROUPS = 20


@result()
class PowerLaw(NamedTuple):
    """Fitted power laws ``eigenvalue_i ~ i^-(1 + alpha)`` and ``coefficient_i^2 ~ i^-delta``.

    Attributes
    ----------
    alpha, delta : float
        Exponents of the model.
    noise_variance : float
        ``sigma^2``: the part of ``B(kappa) + sigma^2`` that does not decrease with ``kappa``, summed over targets.
    exponent : float
        Of the noiseless learning curve at small ridge, ``risk ~ n^-exponent``: ``min(alpha + delta, 2 (1 + alpha))``.
    dimension_slope, bias_slope : float
        The fitted slopes themselves: ``df1 ~ kappa^-dimension_slope`` and ``B ~ kappa^bias_slope``.
    dimension_scale, bias_scale : float
        Their prefactors.
    standard_error : [3]
        Of alpha, delta and noise_variance, sampling fluctuation and fit-range sensitivity together.
    lower, upper : [3]
        95 % intervals from it.
    df_range : (float, float)
        Effective dimensions between which the fit was made.
    range_sensitivity : [4, 4]
        Rows ``(lowest df1, highest df1, alpha, delta)`` of fits to parts of that range: its lower and upper two thirds
        (in ``log df1``), and without its lowest and highest sixth.
    saturated : bool
        Whether the bias slope came near 2 (above 1.6, since a finite range reaches it slowly), beyond which ridge
        regression cannot tell smoother targets apart: delta is then a lower bound.
    """

    alpha: float
    delta: float
    noise_variance: float
    exponent: float
    dimension_slope: float
    bias_slope: float
    dimension_scale: float
    bias_scale: float
    standard_error: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    df_range: tuple[float, float]
    range_sensitivity: np.ndarray
    saturated: bool


class _Slopes(NamedTuple):
    dimension_slope: float
    dimension_scale: float
    bias_slope: float
    bias_scale: float
    noise: float

    @property
    def alpha(self) -> float:
        return 1 / self.dimension_slope - 1

    @property
    def delta(self) -> float:
        return self.bias_slope * (1 + self.alpha) - self.alpha


def fit_power_law(path: RiskPath, *, df_range: tuple[int | float, int | float] | None = None) -> PowerLaw:
    r"""Fit power laws to the effective dimension and the bias as functions of the effective ridge.

    .. math:: \mathrm{df}_1(\kappa) \sim \kappa^{-1/(1+\alpha)}, \qquad
              B(\kappa) + \sigma^2 \sim \kappa^{\min(2, (\alpha + \delta)/(1 + \alpha))} + \sigma^2

    A regression of the sample's log-eigenvalues on log-rank would see the distortion of its bulk instead; these two
    curves are estimates of the population's.

    Parameters
    ----------
    path
        From `risk_path`; its spectrum is used, not its ridges. The features must be independent of these labels.
    df_range
        Effective dimensions (intercept not counted) to fit between. Default ``(5, n / 2)``.

    Returns
    -------
    PowerLaw
        Exponents with intervals, and how they move with the fit range.

    Raises
    ------
    ValueError
        For a range that is empty or that the spectrum does not reach.

    Notes
    -----
    Real spectra are power laws over part of their range at best: read ``range_sensitivity`` before ``alpha``. Sampling
    errors of delta come from a jackknife over interleaved eigendirections; ``df1`` is a linear statistic of the
    eigenvalues, whose fluctuation of order one does not grow with ``n``, and enters alpha's error as such.

    Examples
    --------
    >>> import numpy as np, verax.spectral as vs
    >>> rng = np.random.default_rng(0)
    >>> scale = np.arange(1, 2001) ** -0.7  # eigenvalues i^-1.4
    >>> features = rng.normal(size=(400, 2000)) * scale
    >>> targets = features @ rng.normal(size=2000)
    >>> law = vs.fit_power_law(vs.risk_path(vs.kernel_spectrum(features @ features.T, targets), [0.1]))
    >>> bool(law.lower[0] < 0.4 < law.upper[0])
    True

    References
    ----------
    Wei, Hu, Steinhardt, "More Than a Toy" (ICML 2022); Cui et al. (2021) for the exponents.
    """
    check(isinstance(path, RiskPath), "path", type(path).__name__, "a RiskPath")
    spectrum = path.spectrum
    low, high = default_df_range(spectrum) if df_range is None else (float(df_range[0]), float(df_range[1]))
    largest = spectrum.rank if spectrum.multiplicity is None else spectrum.num_samples - 1 - spectrum.null_count
    check(0 < low < high < largest, "df_range", f"({low}, {high})", f"0 < low < high < {largest:g}, the rank")
    curve = curve_between(spectrum, low, high)
    slopes = fit_slopes(spectrum, curve)
    parts = [(0, 2 / 3), (1 / 3, 1), (1 / 6, 1), (0, 5 / 6)]
    rows = []
    for start, stop in parts:
        # kappa falls as df1 rises.
        log_df = np.log(curve.df1 - spectrum.centered)
        share = (log_df - log_df.min()) / (log_df.max() - log_df.min())
        inside = (share >= start - 1e-9) & (share <= stop + 1e-9)
        part = PopulationCurve(*(field[inside] for field in curve))
        partial = fit_slopes(spectrum, part)
        ends = part.df1 - spectrum.centered
        rows.append((ends.min(), ends.max(), partial.alpha, partial.delta, partial.noise))
    table = np.array(rows)
    error = np.sqrt(_sampling_variance(spectrum, curve, slopes) + table[:, 2:].var(0, ddof=1))
    centre = np.array([slopes.alpha, slopes.delta, slopes.noise])
    return PowerLaw(
        alpha=slopes.alpha,
        delta=slopes.delta,
        noise_variance=slopes.noise,
        exponent=slopes.bias_slope * (1 + slopes.alpha),
        dimension_slope=slopes.dimension_slope,
        bias_slope=slopes.bias_slope,
        dimension_scale=slopes.dimension_scale,
        bias_scale=slopes.bias_scale,
        standard_error=error,
        lower=centre - 1.96 * error,
        upper=centre + 1.96 * error,
        df_range=(low, high),
        range_sensitivity=table[:, :4],
        saturated=bool(slopes.bias_slope > 1.6),
    )


def default_df_range(spectrum: Spectrum) -> tuple[float, float]:
    """``(5, n / 2)``, or less where the rank or the sample is small."""
    directions = spectrum.num_samples - spectrum.centered - spectrum.null_count
    return min(5.0, directions / 8), min(spectrum.num_samples, directions) / 2


def curve_between(spectrum: Spectrum, low: float, high: float) -> PopulationCurve:
    """Compute the population's curve at ridges spaced evenly in ``log df1`` between two effective dimensions."""
    l_max = float(spectrum.eigenvalues[0])
    smallest = max(30 * spectrum.precision_floor, 1e-14 * l_max)
    ridges = np.geomspace(smallest, 1e4 * l_max, 400)
    df1 = population_curve(spectrum, ridges).df1 - spectrum.centered
    if df1[0] < high:
        fail("df_range", f"a highest df1 of {high:.4g}", f"at most {df1[0]:.4g}, which the kernel's precision allows")
    wanted = np.geomspace(low, high, _NUM_POINTS)
    log_ridges = np.interp(np.log(wanted), np.log(df1[::-1]), np.log(ridges[::-1]))
    return population_curve(spectrum, np.exp(log_ridges))


def fit_slopes(spectrum: Spectrum, curve: PopulationCurve) -> _Slopes:
    """Least squares in logarithms for df1, and in relative errors for the bias with a non-negative noise floor."""
    log_kappa = np.log(curve.effective_ridge)
    slope, intercept = np.polyfit(log_kappa, np.log(curve.df1 - spectrum.centered), 1)
    bias_slope, bias_scale, noise = _fit_bias(curve.effective_ridge, curve.bias_plus_noise)
    return _Slopes(-float(slope), float(np.exp(intercept)), bias_slope, bias_scale, noise)


def _fit_bias(kappa: np.ndarray, risk: np.ndarray) -> tuple[float, float, float]:
    if not np.all(risk > 0):
        return 2.0, 0.0, 0.0  # targets that vanish
    unit = kappa / np.exp(np.log(kappa).mean())

    def solve(slope: float) -> tuple[float, float, float]:
        # Two non-negative coefficients in closed form: the unconstrained pair, or the better of the two edges.
        design = np.stack([unit**slope / risk, 1 / risk], axis=1)
        ones = np.ones(len(risk))
        candidates = []
        pair = np.linalg.lstsq(design, ones, rcond=None)[0]
        if pair.min() >= 0:
            candidates.append(pair)
        for column in (0, 1):
            edge = np.zeros(2)
            edge[column] = design[:, column].sum() / np.sum(design[:, column] ** 2)
            candidates.append(edge)
        losses = [float(np.sum((design @ c - 1) ** 2)) for c in candidates]
        best = int(np.argmin(losses))
        return losses[best], float(candidates[best][0]), float(candidates[best][1])

    # A coarse grid first: the loss over the slope may have two valleys.
    grid = np.linspace(0.02, 2, 34)
    start = int(np.argmin([solve(slope)[0] for slope in grid]))
    low, high = grid[max(start - 1, 0)], grid[min(start + 1, len(grid) - 1)]
    best: Any = minimize_scalar(lambda s: solve(s)[0], bounds=(low, high), method="bounded")
    slope = float(best.x)
    _, scale, noise = solve(slope)
    return slope, scale / float(np.exp(np.log(kappa).mean())) ** slope, noise


def _sampling_variance(spectrum: Spectrum, curve: PopulationCurve, slopes: _Slopes) -> np.ndarray:
    """Variances of alpha, delta and the noise."""
    log_kappa = np.log(curve.effective_ridge)
    # sd(df1) about 1/2 at every kappa, taken as independent between the two ends of the range.
    relative = 0.5 / (curve.df1 - spectrum.centered)
    centred = log_kappa - log_kappa.mean()
    slope_error = float(np.sqrt(np.sum((centred * relative) ** 2) * 4) / np.sum(centred**2)) * np.sqrt(_NUM_POINTS / 8)
    alpha_error = slope_error / slopes.dimension_slope**2
    fits = []
    ridges = curve.effective_ridge * (1 - curve.df1 / spectrum.num_samples)
    weights = 1 / (spectrum.eigenvalues + ridges[:, None]) ** 2
    null = 1 / ridges**2
    multiplicity = 1.0 if spectrum.multiplicity is None else spectrum.multiplicity.mean(0)
    energy, count = weights * spectrum.target_energy, weights * multiplicity
    share = 1 - 1 / _NUM_GROUPS
    for group in range(_NUM_GROUPS):
        kept = np.arange(weights.shape[1]) % _NUM_GROUPS != group
        top = energy[:, kept].sum(1) + share * null * spectrum.null_energy
        bottom = count[:, kept].sum(1) + share * null * spectrum.null_count
        slope, _, noise = _fit_bias(curve.effective_ridge, top / bottom)
        fits.append((slope, noise))
    slope_variance, noise_variance = np.var(fits, axis=0) * (_NUM_GROUPS - 1)
    delta_variance = slope_variance * (1 + slopes.alpha) ** 2 + (slopes.bias_slope - 1) ** 2 * alpha_error**2
    return np.array([alpha_error**2, delta_variance, noise_variance])
