"""Blurs: defocus, glass, motion, zoom, Gaussian."""

import numpy as np
from scipy import ndimage

from ._resample import motion_blur as blur_along
from ._resample import zoom
from ._types import Images, parameters, scaled


def gaussian_filter(images: Images, sigma: float) -> Images:
    """Blur height and width, edges replicated, kernel cut at four sigma."""
    return ndimage.gaussian_filter(images, (0, sigma, sigma, 0), mode="nearest", truncate=4.0)


def defocus_blur(images: Images, severity: int, _: np.random.Generator) -> Images:
    """Disk of a radius, then a Gaussian against aliasing; borders mirrored without the edge. Kernels not scaled."""
    radius, alias = parameters(
        images,
        severity,
        ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1.0, 0.2), (1.5, 0.1)),
        ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
    )
    reach, half = (2, 1) if radius < 2 else (max(8, int(radius)), 1 if radius <= 8 else 2)
    offset = np.arange(-reach, reach + 1)
    disk = ((offset[:, None] ** 2 + offset[None] ** 2) <= radius**2).astype(np.float32)
    taps = np.exp(-(np.arange(-half, half + 1) ** 2) / (2 * alias**2))
    gauss = np.outer(taps, taps) / taps.sum() ** 2
    kernel = ndimage.convolve(disk / disk.sum(), gauss, mode="constant").astype(np.float32)
    return ndimage.convolve(images, (kernel / kernel.sum())[None, :, :, None], mode="mirror")


def glass_blur(images: Images, severity: int, rng: np.random.Generator) -> Images:
    """Blur, copy each pixel from itself or a neighbour above and to the left, blur. Kernels not scaled.

    The reference code means to swap neighbours, but assigns NumPy views, which copies; the released images are copies.
    Large images take neighbours below and to the right as well, as they were before the sweep.
    """
    sigma, distance, iterations = parameters(
        images,
        severity,
        ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
        ((0.7, 1, 2), (0.9, 2, 1), (1.0, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
    )
    low, high = distance + 1, distance - 1  # what the reference's loops leave at the borders
    num, height, width, _ = images.shape
    images = gaussian_filter(images, sigma)
    which = np.arange(num)[:, None, None]
    rows, columns = np.arange(low, height - high)[:, None], np.arange(low, width - high)[None]
    for _ in range(iterations):
        # From the last pixel backwards every source is still unchanged, so that one gather does the whole sweep.
        up, left = rng.integers(-distance, distance, (2, num, len(rows), columns.shape[1]))
        moved = images.copy()
        moved[:, rows, columns] = images[which, rows + up, columns + left]
        images = moved
    return gaussian_filter(images, sigma)


def motion_blur(images: Images, severity: int, rng: np.random.Generator) -> Images:
    """One-sided Gaussian along a direction within 45 degrees of the horizontal, one per image."""
    radius, sigma = parameters(
        images,
        severity,
        ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),
        ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
    )
    return blur_along(images, round(scaled(radius, images)), scaled(sigma, images), rng.uniform(-45, 45, len(images)))


def zoom_blur(images: Images, severity: int, _: np.random.Generator) -> Images:
    """Mean of the image and of enlargements in steps of 1 % (of up to 3 % where images are large)."""
    factors = np.arange(
        1,
        *parameters(
            images,
            severity,
            ((1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)),
            ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)),
        ),
    )
    total = images.copy()
    for factor in factors:
        total += zoom(images, factor)
    return total / (len(factors) + 1)


def gaussian_blur(images: Images, severity: int, _: np.random.Generator) -> Images:
    """Gaussian filter. Kernels not scaled."""
    return gaussian_filter(images, parameters(images, severity, (0.4, 0.6, 0.7, 0.8, 1.0), (1, 2, 3, 4, 6)))
