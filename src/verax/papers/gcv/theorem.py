"""More Than a Toy: convergence of generalized cross-validation on features that obey the random-matrix law, or do not.

Features are Gaussian with covariance eigenvalues ``i^-decay``, or the same with rows rescaled at random; targets are
linear in them, with noise. The true risk is then a formula, and the error of GCV is the estimator's alone.
"""

from typing import NamedTuple

import numpy as np

import verax.spectral as vs

from .threads import few_threads

_DECAY, _SMOOTHNESS, _NOISE = 1.4, 1.2, 0.1


RELATIVE_RIDGES = (1e-4, 1e-3, 1e-2)
"""Over the mean squared norm of a feature vector, which is the trace of the covariance."""


_RESCALING = 0.75


class Convergence(NamedTuple):
    """Relative errors of the estimates, [kinds, seeds, sizes, ridges]; kinds are ``KINDS``."""

    gcv: np.ndarray
    loo: np.ndarray
    fires: np.ndarray
    """[kinds, seeds], whether ``law_check`` found a violation at the largest size."""


KINDS = ("Gaussian rows", "rescaled rows")


def converge(sizes: tuple[int, ...], num_features: int, num_seeds: int, seed: list[int]) -> Convergence:
    """Relative errors of GCV and leave-one-out at growing sample sizes."""
    with few_threads(max(sizes)):
        return _converge(sizes, num_features, num_seeds, seed)


def _converge(sizes: tuple[int, ...], num_features: int, num_seeds: int, seed: list[int]) -> Convergence:
    shape = (len(KINDS), num_seeds, len(sizes), len(RELATIVE_RIDGES))
    gcv, loo, fires = np.empty(shape), np.empty(shape), np.zeros(shape[:2], bool)
    index = np.arange(1, num_features + 1)
    eigenvalues = index**-_DECAY
    for kind in range(len(KINDS)):
        for repeat in range(num_seeds):
            rng = np.random.default_rng([*seed, kind, repeat])
            coefficients = rng.normal(size=num_features) * index ** (-_SMOOTHNESS / 2)
            scale = np.exp(_RESCALING * rng.normal(size=max(sizes))) if kind else np.ones(max(sizes))
            second_moment = np.exp(2 * _RESCALING**2) if kind else 1.0
            features = rng.normal(size=(max(sizes), num_features)) * np.sqrt(eigenvalues) * scale[:, None]
            targets = features @ coefficients + _NOISE * rng.normal(size=max(sizes))
            for position, size in enumerate(sizes):
                x, y = features[:size], targets[:size]
                kernel = x @ x.T
                spectrum = vs.kernel_spectrum(kernel, y, center=False)
                ridges = np.array(RELATIVE_RIDGES) * float(eigenvalues.sum()) * second_moment
                path = vs.risk_path(spectrum, ridges)
                truth = _risk(spectrum, x, coefficients, second_moment * eigenvalues, ridges)
                gcv[kind, repeat, position] = path.gcv / truth - 1
                loo[kind, repeat, position] = np.asarray(path.loo) / truth - 1
                if size == max(sizes):
                    fires[kind, repeat] = vs.law_check(kernel, y, center=False).status != vs.Status.OK
    return Convergence(gcv, loo, fires)


def rate(errors: np.ndarray, sizes: tuple[int, ...]) -> tuple[float, float]:
    """Exponent r of ``rms error ~ n^-r``, and its jackknife standard error; errors [seeds, sizes, ridges]."""

    def exponent(part: np.ndarray) -> float:
        return -float(np.polyfit(np.log(sizes), np.log(np.sqrt(np.mean(part**2, axis=(0, 2)))), 1)[0])

    num_seeds = len(errors)
    without = np.array([exponent(np.delete(errors, seed, axis=0)) for seed in range(num_seeds)])
    return exponent(errors), float(np.sqrt((num_seeds - 1) * without.var()))


def _risk(
    spectrum: vs.Spectrum, x: np.ndarray, coefficients: np.ndarray, eigenvalues: np.ndarray, ridges: np.ndarray
) -> np.ndarray:
    vectors, targets = spectrum.eigenvectors, spectrum.coefficients
    assert vectors is not None and targets is not None  # noqa: PT018 - eigenvectors were kept
    weights = targets / (spectrum.num_samples * (spectrum.eigenvalues[:, None] + ridges))
    fitted = x.T @ (vectors @ weights)
    return eigenvalues @ (fitted - coefficients[:, None]) ** 2 + _NOISE**2
