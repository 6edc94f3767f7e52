"""Blurs: defocus, glass, motion, zoom, Gaussian."""

import numpy as np
from scipy import ndimage

from ._resample import motion_blur as blur_along
from ._resample import zoom
from ._types import Images, scaled


def gaussian_filter(images: Images, sigma: float) -> Images:
    """Blur height and width, edges replicated, kernel cut at four sigma."""
    return ndimage.gaussian_filter(images, (0, sigma, sigma, 0), mode="nearest", truncate=4.0)


def defocus_blur(images: Images, severity: int, _: np.random.Generator) -> Images:
    """Disk of a radius, then a 3x3 Gaussian against aliasing; borders mirrored without the edge. Kernels not scaled."""
    radius, alias = ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1.0, 0.2), (1.5, 0.1))[severity - 1]
    offset = np.arange(-2, 3)
    disk = ((offset[:, None] ** 2 + offset[None] ** 2) <= radius**2).astype(np.float32)
    taps = np.exp(-(np.arange(-1, 2) ** 2) / (2 * alias**2))
    gauss = np.outer(taps, taps) / taps.sum() ** 2
    kernel = ndimage.convolve(disk / disk.sum(), gauss, mode="constant").astype(np.float32)
    return ndimage.convolve(images, (kernel / kernel.sum())[None, :, :, None], mode="mirror")


def glass_blur(images: Images, severity: int, rng: np.random.Generator) -> Images:
    """Blur, copy each pixel from itself or a neighbour above and to the left, blur. Kernels not scaled.

    The reference code means to swap neighbours, but assigns NumPy views, which copies; the released images are copies.
    """
    sigma, iterations = ((0.05, 1), (0.25, 1), (0.4, 1), (0.25, 2), (0.4, 2))[severity - 1]
    num, height, width, _ = images.shape
    images = gaussian_filter(images, sigma)
    which = np.arange(num)[:, None, None]
    rows, columns = np.arange(2, height)[:, None], np.arange(2, width)[None]
    for _ in range(iterations):
        # From the last pixel backwards every source is still unchanged, so that one gather does the whole sweep.
        up, left = rng.integers(-1, 1, (2, num, height - 2, width - 2))
        moved = images.copy()
        moved[:, 2:, 2:] = images[which, rows + up, columns + left]
        images = moved
    return gaussian_filter(images, sigma)


def motion_blur(images: Images, severity: int, rng: np.random.Generator) -> Images:
    """One-sided Gaussian along a direction within 45 degrees of the horizontal, one an image."""
    radius, sigma = ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5))[severity - 1]
    side = images.shape[1]
    return blur_along(images, round(scaled(radius, side)), scaled(sigma, side), rng.uniform(-45, 45, len(images)))


def zoom_blur(images: Images, severity: int, _: np.random.Generator) -> Images:
    """Mean of the image and of enlargements in steps of 1 %."""
    factors = np.arange(1, (1.06, 1.11, 1.16, 1.21, 1.26)[severity - 1], 0.01)
    total = images.copy()
    for factor in factors:
        total += zoom(images, factor)
    return total / (len(factors) + 1)


def gaussian_blur(images: Images, severity: int, _: np.random.Generator) -> Images:
    """Gaussian filter. Kernels not scaled."""
    return gaussian_filter(images, (0.4, 0.6, 0.7, 0.8, 1.0)[severity - 1])
