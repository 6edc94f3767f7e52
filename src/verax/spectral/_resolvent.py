"""Residual weights of kernel ridge regression along a spectrum, scaled so that the ridgeless limit is finite."""

from typing import Any, NamedTuple

import numpy as np

from verax._arrays import to_host
from verax._errors import check, fail

from ._checks import RANGE
from ._spectrum import Spectrum


class Resolvent(NamedTuple):
    r"""``w_i = scale / (l_i + ridge)`` for each ridge, with ``scale`` chosen so that the largest weight is 1.

    The textbook residual weights ``s_i = ridge / (l_i + ridge)`` are ``w_i * ridge / scale`` and vanish at ridge 0;
    ratios of sums of ``w`` do not. With a null space ``scale = ridge``, so that at ridge 0 only the null space has
    weight.
    """

    scale: np.ndarray
    """[L]"""
    weights: np.ndarray
    """[L, m]"""
    null_weight: np.ndarray
    """[L]"""
    shrinkage: np.ndarray
    """[L], ``ridge / scale``: ``s = shrinkage * w``."""


def check_ridges(spectrum: Spectrum, ridges: Any, argument: str = "ridges") -> np.ndarray:
    """Finite float64 ridges ``[L]`` for which every ``l_i + ridge`` is positive beyond rounding."""
    array = np.atleast_1d(to_host(argument, ridges, shape=[(), ("L",)], within=RANGE))
    smallest = float(array.min())
    if smallest < 0:
        if spectrum.null_count > 0 or spectrum.multiplicity is not None:
            fail(argument, f"{smallest:.3g}", "ridges >= 0, since the kernel is singular or only approximated")
        limit = float(spectrum.eigenvalues[-1])
        check(
            smallest + limit > 10 * spectrum.precision_floor,
            argument,
            f"{smallest:.3g}",
            f"ridges above {-limit:.6g}, minus the smallest eigenvalue of K/n, by more than its uncertainty "
            f"{10 * spectrum.precision_floor:.2g}",
        )
    return array


def default_ridges(spectrum: Spectrum, num_ridges: int = 100) -> np.ndarray:
    """Geometric grid from well below the smallest eigenvalue (or the precision floor) to ten times the largest."""
    largest = float(spectrum.eigenvalues[0])
    smallest = max(30 * spectrum.precision_floor, 0.1 * float(spectrum.eigenvalues[-1]))
    return np.geomspace(min(smallest, 1e-3 * largest), 10 * largest, num_ridges)


def resolvent(spectrum: Spectrum, ridges: np.ndarray) -> Resolvent:
    """Scaled weights at each ridge."""
    eigenvalues = spectrum.eigenvalues
    scale = ridges if spectrum.null_count > 0 else ridges + eigenvalues[-1]
    return Resolvent(
        scale=scale,
        weights=scale[:, None] / (eigenvalues + ridges[:, None]),
        null_weight=np.ones_like(ridges) if spectrum.null_count > 0 else np.zeros_like(ridges),
        shrinkage=np.ones_like(ridges) if spectrum.null_count > 0 else ridges / scale,
    )


def trace_sums(spectrum: Spectrum, r: Resolvent, power: int) -> np.ndarray:
    """``sum w^power`` over all directions but the intercept's; [L], or [num_probes, L] where estimated."""
    weights = r.weights**power
    if spectrum.multiplicity is None or spectrum.null_multiplicity is None:
        return weights.sum(1) + spectrum.null_count * r.null_weight**power
    return spectrum.multiplicity @ weights.T + np.outer(spectrum.null_multiplicity, r.null_weight**power)


class PopulationCurve(NamedTuple):
    """Estimates about the population from one decomposition at the effective ridges that its ridges reach; each [L]."""

    effective_ridge: np.ndarray
    df1: np.ndarray
    df2: np.ndarray
    bias_plus_noise: np.ndarray


def population_curve(spectrum: Spectrum, ridges: np.ndarray) -> PopulationCurve:
    r"""``kappa``, ``df1``, ``df2`` and ``B(kappa) + sigma^2`` at each ridge, intercept included in the dimensions.

    ``kappa = ridge / t_1``, ``df1 = n (1 - t_1)``, ``df2 = n (1 - t_1^2 / t_2)``, ``B + sigma^2 = train risk / t_2``
    with ``t_k`` the mean of ``s^k``; all four are ratios that the scaled weights leave finite at ridge 0.
    """
    r = resolvent(spectrum, ridges)
    sum1, sum2 = (over_probes(trace_sums(spectrum, r, power)) for power in (1, 2))
    multiplicity = 1.0 if spectrum.multiplicity is None else spectrum.multiplicity.mean(0)
    fitted = spectrum.eigenvalues / (spectrum.eigenvalues + ridges[:, None])
    return PopulationCurve(
        effective_ridge=r.scale * spectrum.num_samples / sum1,
        df1=(fitted * multiplicity).sum(1) + spectrum.centered,
        df2=spectrum.num_samples - sum1**2 / sum2,
        bias_plus_noise=energy_sum(spectrum, r) / sum2,
    )


def over_probes(sums: np.ndarray) -> np.ndarray:
    """Mean over probes of a sum that may be estimated by them."""
    return sums if sums.ndim == 1 else sums.mean(0)


def energy_sum(spectrum: Spectrum, r: Resolvent) -> np.ndarray:
    """``sum w^2 a^2`` over directions and targets, [L]."""
    return r.weights**2 @ spectrum.target_energy + r.null_weight**2 * spectrum.null_energy
