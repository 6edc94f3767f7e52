"""Synthetic kernel regression with a known population, and the textbook formulas for it."""

from typing import NamedTuple

import numpy as np


class Problem(NamedTuple):
    features: np.ndarray
    targets: np.ndarray
    kernel: np.ndarray
    eigenvalues: np.ndarray
    coefficients: np.ndarray
    noise_variance: float


def power_law_problem(
    num_samples, num_features, *, seed, num_targets=1, alpha=0.5, delta=0.3, noise=0.1, offset=0.0, intercept=0.0
):
    """Gaussian features of variance ``i^-(1+alpha)``, coefficients of size ``i^(-delta/2)`` and random sign."""
    rng = np.random.default_rng(seed)
    index = np.arange(1.0, num_features + 1)
    eigenvalues = index ** -(1 + alpha)
    coefficients = rng.choice([-1.0, 1.0], size=(num_features, num_targets)) * index[:, None] ** (-delta / 2)
    features = rng.normal(size=(num_samples, num_features)) * np.sqrt(eigenvalues)
    targets = features @ coefficients + noise * rng.normal(size=(num_samples, num_targets)) + intercept
    features = features + offset
    return Problem(features, targets, features @ features.T, eigenvalues, coefficients, num_targets * noise**2)


def hat_matrix(kernel, ridge, *, center):
    n = len(kernel)
    projector = np.eye(n) - center / n
    centred = projector @ kernel @ projector
    return centred @ np.linalg.inv(centred + n * ridge * np.eye(n)) + center / n


def textbook_gcv(kernel, targets, ridge, *, center):
    n = len(kernel)
    hat = hat_matrix(kernel, ridge, center=center)
    return np.sum((targets - hat @ targets) ** 2) / n / (1 - np.trace(hat) / n) ** 2


def fit_primal(features, targets, ridge, *, center):
    """Coefficients and intercept of ridge regression, ridge 1/n-normalised; 0 is the minimum-norm solution."""
    n = len(features)
    mean, level = (features.mean(0), targets.mean(0)) if center else (np.zeros(features.shape[1]), 0.0)
    x, y = features - mean, targets - level
    inverse = np.linalg.pinv(x) if ridge == 0 else x.T @ np.linalg.inv(x @ x.T + n * ridge * np.eye(n))
    coefficients = inverse @ y
    return coefficients, level - mean @ coefficients


def true_risk(problem, coefficients, intercept=0.0):
    """Risk on a fresh sample of a problem without offset, label noise included."""
    error = coefficients - problem.coefficients.reshape(coefficients.shape)
    bias = np.sum(problem.eigenvalues.reshape(-1, *[1] * (error.ndim - 1)) * error**2)
    return bias + np.sum(np.square(intercept)) + problem.noise_variance
