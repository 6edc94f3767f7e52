"""Noise: Gaussian, shot, impulse, speckle."""

import numpy as np

from ._types import Images, parameters


def gaussian_noise(images: Images, severity: int, rng: np.random.Generator) -> Images:
    """Add N(0, c)."""
    scale = parameters(images, severity, (0.04, 0.06, 0.08, 0.09, 0.10), (0.08, 0.12, 0.18, 0.26, 0.38))
    return images + scale * rng.standard_normal(images.shape, np.float32)


def shot_noise(images: Images, severity: int, rng: np.random.Generator) -> Images:
    """Poisson(x c) / c."""
    photons = parameters(images, severity, (500, 250, 100, 75, 50), (60, 25, 12, 5, 3))
    return rng.poisson(images * photons).astype(np.float32) / photons


def impulse_noise(images: Images, severity: int, rng: np.random.Generator) -> Images:
    """Set a share of the channel values to 0 or 1, half each."""
    share = parameters(images, severity, (0.01, 0.02, 0.03, 0.05, 0.07), (0.03, 0.06, 0.09, 0.17, 0.27))
    draw = rng.random(images.shape, np.float32)
    return np.where(draw < share / 2, 0, np.where(draw < share, 1, images)).astype(np.float32)


def speckle_noise(images: Images, severity: int, rng: np.random.Generator) -> Images:
    """Add x N(0, c)."""
    scale = parameters(images, severity, (0.06, 0.10, 0.12, 0.16, 0.20), (0.15, 0.20, 0.35, 0.45, 0.60))
    return images + images * scale * rng.standard_normal(images.shape, np.float32)
