"""Risk at other numbers of samples and other ridges, from one fit."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Num

from verax._arrays import to_host
from verax._errors import check
from verax._results import result
from verax._types import AnyArray

from ._power_law import curve_between, default_df_range, fit_slopes
from ._resolvent import PopulationCurve, population_curve
from ._risk_path import RiskPath
from ._spectrum import Spectrum


@result()
class LearningCurve(NamedTuple):
    """Predicted risks.

    Attributes
    ----------
    risk
        Expected squared error on a fresh sample, label noise included, summed over targets.
    extrapolated : bool
        Where the prediction needs the population below the smallest effective ridge that the fit has seen; there the
        power laws fitted to the curve take over.
    df1
        Effective dimension at the predicted point, intercept included.
    effective_ridge
        ``kappa`` at the predicted point.
    """

    risk: np.ndarray
    extrapolated: np.ndarray
    df1: np.ndarray
    effective_ridge: np.ndarray


def learning_curve(
    path: RiskPath,
    num_samples: int | float | Sequence[int | float] | Num[AnyArray, "..."],
    ridge: int | float | Sequence[int | float] | Float[AnyArray, "..."],
) -> LearningCurve:
    r"""Predict the risk of a fit to another number of samples with another ridge.

    .. math::
        \kappa \Bigl(1 - \frac{\mathrm{df}_1(\kappa)}{n'}\Bigr) = \lambda', \qquad
        R(n', \lambda') = \frac{B(\kappa) + \sigma^2}{1 - \mathrm{df}_2(\kappa) / n'}

    The dimensions and ``B + sigma^2`` as functions of ``kappa`` belong to the population, and one decomposition gives
    all of them. At the path's own ``n`` the result is GCV.

    Parameters
    ----------
    path
        From `risk_path`; its spectrum is used, not its ridges. The features must be independent of these labels.
    num_samples
        ``n'``, a number or an array that broadcasts with ``ridge``; at least 2.
    ridge
        Non-negative, 1/n'-normalised.

    Returns
    -------
    LearningCurve
        Float64 arrays of the broadcast shape.

    Raises
    ------
    ValueError
        For fewer than 2 samples, a negative ridge, or values that are not finite.

    Notes
    -----
    ``extrapolated`` predictions (more samples than the fit had, at small ridge) continue ``df1`` and ``B`` as power
    laws and keep the fitted noise: as good as the power laws are, see `fit_power_law`. ``O(60 b m)`` for ``b``
    predictions.

    Examples
    --------
    >>> import numpy as np, verax.spectral as vs
    >>> rng = np.random.default_rng(0)
    >>> features = rng.normal(size=(300, 600)) * np.arange(1, 601) ** -0.75
    >>> targets = features @ rng.normal(size=600) + 0.1 * rng.normal(size=300)
    >>> path = vs.risk_path(vs.kernel_spectrum(features @ features.T, targets), [1e-3])
    >>> curve = vs.learning_curve(path, [75, 150, 300], 1e-3)
    >>> bool((np.diff(curve.risk) < 0).all()), bool(np.isclose(curve.risk[-1], path.gcv[0]))
    (True, True)
    >>> curve.extrapolated.tolist()
    [False, False, False]
    """
    check(isinstance(path, RiskPath), "path", type(path).__name__, "a RiskPath")
    samples = to_host("num_samples", num_samples, within="[2, inf)")
    ridges = to_host("ridge", ridge, within="[0, inf)")
    try:
        samples, ridges = np.broadcast_arrays(samples, ridges)
    except ValueError:
        check(
            False, "num_samples", f"shapes {samples.shape} and {ridges.shape}", "shapes that broadcast with the ridge's"
        )
    shape = samples.shape
    samples, ridges = samples.ravel(), ridges.ravel()
    spectrum = path.spectrum
    curve, below = _inside(spectrum, samples, ridges)
    if below.any():
        continued = _continue(spectrum, samples[below], ridges[below])
        for field, values in zip(curve, continued, strict=True):
            field[below] = values
    risk = curve.bias_plus_noise / (1 - curve.df2 / samples)
    return LearningCurve(
        risk=risk.reshape(shape),
        extrapolated=below.reshape(shape),
        df1=curve.df1.reshape(shape),
        effective_ridge=curve.effective_ridge.reshape(shape),
    )


def lowest_ridge(spectrum: Spectrum) -> float:
    """Find the smallest ridge at which the spectrum is precise enough to speak for the population."""
    if spectrum.null_count == 0:
        return max(0.0, 30 * spectrum.precision_floor - float(spectrum.eigenvalues[-1]))
    return 1e-12 * float(spectrum.eigenvalues[0]) if _complete(spectrum) else 30 * spectrum.precision_floor


def _complete(spectrum: Spectrum) -> bool:
    """Whether every direction of the features has been seen: a gap, not the precision, sets the null space apart."""
    return spectrum.null_count > 0 and float(spectrum.eigenvalues[-1]) >= 30 * spectrum.precision_floor


def _inside(spectrum: Spectrum, samples: np.ndarray, ridges: np.ndarray) -> tuple[PopulationCurve, np.ndarray]:
    """Solve for the point of the population's curve by bisecting the fit's own ridge; and where that ends."""
    lowest = lowest_ridge(spectrum)
    shift = float(spectrum.eigenvalues[-1]) if spectrum.null_count == 0 else 0.0
    trace = float(
        np.sum(spectrum.eigenvalues * (1.0 if spectrum.multiplicity is None else spectrum.multiplicity.mean(0)))
    )

    def implied_ridge(curve: PopulationCurve) -> np.ndarray:
        return curve.effective_ridge * (1 - curve.df1 / samples)

    low = np.full(len(samples), np.log(lowest + shift))
    high = np.log(lowest + shift + ridges + 2 * trace * (1 + spectrum.num_samples / samples))
    floor = population_curve(spectrum, np.exp(low) - shift)
    below = (implied_ridge(floor) > ridges * (1 + 1e-9)) & (not _complete(spectrum))
    for _ in range(60):
        middle = (low + high) / 2
        small = implied_ridge(population_curve(spectrum, np.exp(middle) - shift)) < ridges
        low, high = np.where(small, middle, low), np.where(small, high, middle)
    found = population_curve(spectrum, np.exp((low + high) / 2) - shift)
    return found, below


def _continue(spectrum: Spectrum, samples: np.ndarray, ridges: np.ndarray) -> PopulationCurve:
    """Continue the curve below the smallest effective ridge seen, by power laws."""
    slopes = fit_slopes(spectrum, curve_between(spectrum, *default_df_range(spectrum)))
    edge = population_curve(spectrum, np.array([lowest_ridge(spectrum)]))
    start, top = float(edge.effective_ridge[0]), float(edge.df1[0]) - spectrum.centered

    def dimension(kappa: np.ndarray) -> np.ndarray:
        return top * (kappa / start) ** -slopes.dimension_slope

    low, high = np.full(len(samples), np.log(start) - 60), np.full(len(samples), np.log(start))
    for _ in range(60):
        middle = (low + high) / 2
        kappa = np.exp(middle)
        small = kappa * (1 - (dimension(kappa) + spectrum.centered) / samples) < ridges
        low, high = np.where(small, middle, low), np.where(small, high, middle)
    kappa = np.exp((low + high) / 2)
    df1 = dimension(kappa)
    # df2 = df1 + kappa d(df1)/d(kappa) holds for every spectrum.
    return PopulationCurve(
        effective_ridge=kappa,
        df1=df1 + spectrum.centered,
        df2=(1 - slopes.dimension_slope) * df1 + spectrum.centered,
        bias_plus_noise=slopes.bias_scale * kappa**slopes.bias_slope + slopes.noise,
    )
