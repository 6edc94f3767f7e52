"""Weather: snow, frost, fog, spatter."""

import numpy as np

from ._blur import gaussian_filter
from ._resample import motion_blur, zoom
from ._types import Images, is_large, parameters, scaled


def snow(images: Images, severity: int, rng: np.random.Generator) -> Images:
    """Flakes blurred along a steep direction over a whitened image, and the flakes again upside down."""
    loc, scale, factor, threshold, radius, sigma, mix = parameters(
        images,
        severity,
        (
            (0.1, 0.2, 1.0, 0.60, 8, 3, 0.95),
            (0.1, 0.2, 1.0, 0.50, 10, 4, 0.90),
            (0.15, 0.3, 1.75, 0.55, 10, 4, 0.90),
            (0.25, 0.3, 2.25, 0.60, 12, 6, 0.85),
            (0.3, 0.3, 1.25, 0.65, 14, 12, 0.80),
        ),
        (
            (0.1, 0.3, 3.0, 0.50, 10, 4, 0.80),
            (0.2, 0.3, 2.0, 0.50, 12, 4, 0.70),
            (0.55, 0.3, 4.0, 0.90, 12, 8, 0.70),
            (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
            (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
        ),
    )
    num, height, width, _ = images.shape
    layer = loc + scale * rng.standard_normal((num, height, width, 1), np.float32)
    layer = zoom(layer, factor)
    layer = np.clip(np.where(layer < threshold, 0, layer), 0, 1)
    angles = rng.uniform(-135, -45, num)
    layer = motion_blur(layer, round(scaled(radius, images)), scaled(sigma, images), angles)
    whitened = np.maximum(images, _gray(images) * 1.5 + 0.5)
    return mix * images + (1 - mix) * whitened + layer + layer[:, ::-1, ::-1]


def frost(images: Images, severity: int, rng: np.random.Generator) -> Images:
    """Add ridges of a random fractal, bright as ice crystals: a stand-in for the five photographs of the original."""
    keep, add = parameters(
        images,
        severity,
        ((1.0, 0.2), (1.0, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)),
        ((1.0, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75)),
    )
    fractal = plasma(len(images), images.shape[1:3], 1.6, rng)
    fine = plasma(len(images), images.shape[1:3], 1.2, rng)
    ridges = (1 - np.abs(2 * fractal - 1)) ** 2
    texture = (0.35 + 0.65 * ridges) * (0.7 + 0.3 * fine)
    tint = np.array((0.88, 0.95, 1.0), np.float32) if images.shape[3] == 3 else np.ones(images.shape[3], np.float32)
    return keep * images + add * texture[..., None] * tint


def fog(images: Images, severity: int, rng: np.random.Generator) -> Images:
    """Add a random fractal and bring the brightest value back to where it was."""
    amount, decay = parameters(
        images,
        severity,
        ((0.2, 3.0), (0.5, 3.0), (0.75, 2.5), (1.0, 2.0), (1.5, 1.75)),
        ((1.5, 2.0), (2.0, 2.0), (2.5, 1.7), (2.5, 1.5), (3.0, 1.4)),
    )
    brightest = images.max((1, 2, 3), keepdims=True)
    veil = plasma(len(images), images.shape[1:3], decay, rng)[..., None]
    return (images + amount * veil) * brightest / (brightest + amount)


def spatter(images: Images, severity: int, rng: np.random.Generator) -> Images:
    """Drops of water (severities 1 to 3) or mud (4 and 5) where smoothed noise is highest.

    A procedural stand-in: the original traces edges of its drops.
    """
    share, smooth, opacity = (
        (0.06, 0.7, 0.6),
        (0.12, 0.8, 0.6),
        (0.20, 1.0, 0.6),
        (0.12, 0.9, 1.0),
        (0.25, 0.9, 1.0),
    )[severity - 1]
    smooth *= images.shape[1] / 32 if is_large(images) else 1
    noise = gaussian_filter(rng.standard_normal((*images.shape[:3], 1), np.float32), smooth)
    level = np.quantile(noise, 1 - share, axis=(1, 2), keepdims=True)
    mask = opacity * np.clip(gaussian_filter((noise > level).astype(np.float32), 0.4), 0, 1)
    color = np.array((175, 238, 238) if severity <= 3 else (63, 42, 20), np.float32) / 255
    color = color if images.shape[3] == 3 else np.full(images.shape[3], color.mean(), np.float32)
    return images * (1 - mask) + mask * color


def plasma(num: int, shape: tuple[int, int], decay: float, rng: np.random.Generator) -> np.ndarray:
    """Diamond-square fractals [num, h, w] in [0, 1]; noise falls by ``decay`` with each halving of the step."""
    size = 1 << (max(shape) - 1).bit_length()
    field = np.zeros((num, size, size))
    step, wibble = size, 100.0

    def noisy(total: np.ndarray) -> np.ndarray:
        # The original multiplies the amplitude twice.
        return total / 4 + wibble * rng.uniform(-wibble, wibble, total.shape)

    while step >= 2:
        half = step // 2
        corner = field[:, ::step, ::step]
        total = corner + np.roll(corner, -1, 1)
        field[:, half::step, half::step] = noisy(total + np.roll(total, -1, 2))
        centre = field[:, half::step, half::step]
        field[:, ::step, half::step] = noisy(centre + np.roll(centre, 1, 1) + corner + np.roll(corner, -1, 2))
        field[:, half::step, ::step] = noisy(centre + np.roll(centre, 1, 2) + corner + np.roll(corner, -1, 1))
        step, wibble = half, wibble / decay
    field -= field.min((1, 2), keepdims=True)
    field /= field.max((1, 2), keepdims=True)
    return field[:, : shape[0], : shape[1]].astype(np.float32)


def _gray(images: Images) -> Images:
    if images.shape[3] != 3:
        return images.mean(3, keepdims=True)
    return images @ np.array([[0.299], [0.587], [0.114]], np.float32)
