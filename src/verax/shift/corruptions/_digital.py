"""Digital: brightness, contrast, elastic transform, pixelate, JPEG, saturate."""

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from verax._extras import extra

from ._resample import bilinear
from ._types import Images, parameters

if TYPE_CHECKING:
    from PIL import Image


def brightness(images: Images, severity: int, _: np.random.Generator) -> Images:
    """Add to the value of hue, saturation, value."""
    value = images.max(3, keepdims=True)
    lighter = np.clip(
        value + parameters(images, severity, (0.05, 0.1, 0.15, 0.2, 0.3), (0.1, 0.2, 0.3, 0.4, 0.5)), 0, 1
    )
    return np.where(value > 0, images * (lighter / np.where(value > 0, value, 1)), lighter)


def contrast(images: Images, severity: int, _: np.random.Generator) -> Images:
    """Shrink the distance to each channel's mean."""
    mean = images.mean((1, 2), keepdims=True)
    return (images - mean) * parameters(
        images, severity, (0.75, 0.5, 0.4, 0.3, 0.15), (0.4, 0.3, 0.2, 0.1, 0.05)
    ) + mean


def saturate(images: Images, severity: int, _: np.random.Generator) -> Images:
    """Scale and shift the saturation; grey turns red, as a hue of 0 does."""
    scale, shift = parameters(
        images,
        severity,
        ((0.3, 0.0), (0.1, 0.0), (1.5, 0.0), (2.0, 0.1), (2.5, 0.2)),
        ((0.3, 0.0), (0.1, 0.0), (2.0, 0.0), (5.0, 0.1), (20.0, 0.2)),
    )
    value, low = images.max(3, keepdims=True), images.min(3, keepdims=True)
    old = (value - low) / np.where(value > 0, value, 1)
    new = np.clip(old * scale + shift, 0, 1)
    grey = np.concatenate([value, value * (1 - new), value * (1 - new)], axis=3)
    return np.where(old > 0, value - (value - images) * (new / np.where(old > 0, old, 1)), grey)


def elastic_transform(images: Images, severity: int, rng: np.random.Generator) -> Images:
    """A random affine map that moves three points, then a smooth random displacement."""
    alpha, sigma, affine = parameters(
        images,
        severity,
        ((0.0, 0.0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03)),
        ((2.0, 0.7, 0.1), (2.0, 0.08, 0.2), (0.05, 0.01, 0.02), (0.07, 0.01, 0.02), (0.12, 0.01, 0.02)),
    )
    num, height, width, _ = images.shape
    side = min(height, width)
    centre, reach = np.array([width, height]) / 2 // 1, side // 3
    points = np.array([[1, 1], [1, -1], [-1, -1]]) * reach + centre
    moved = points + rng.uniform(-affine * side, affine * side, (num, 3, 2))
    ones = np.ones((num, 3, 1))
    # Rows (x', y', 1) of an output pixel times this give its source (x, y).
    inverse = np.linalg.solve(np.concatenate([moved, ones], 2), np.broadcast_to(points, (num, 3, 2)))
    y, x = np.mgrid[:height, :width]
    source = np.stack([x, y, np.ones_like(x)], -1) @ inverse[:, None]
    images = bilinear(images, source[..., 1], source[..., 0], repeat_edge=False)
    spread = (0, sigma * side, sigma * side)
    shift = [
        alpha * side * ndimage.gaussian_filter(rng.uniform(-1, 1, (num, height, width)), spread, truncate=3.0)
        for _ in range(2)
    ]
    return bilinear(images, y + shift[1], x + shift[0], repeat_edge=True)


def pixelate(images: Images, severity: int, _: np.random.Generator) -> Images:
    """Shrink by a box filter and enlarge again."""
    share = parameters(images, severity, (0.95, 0.9, 0.85, 0.75, 0.65), (0.6, 0.5, 0.4, 0.3, 0.25))
    height, width = images.shape[1:3]
    small = max(int(width * share), 1), max(int(height * share), 1)

    def one(picture: "Image.Image", library: Any) -> "Image.Image":
        return picture.resize(small, library.Resampling.BOX).resize((width, height), library.Resampling.BOX)

    return _by_pillow(images, one)


def jpeg_compression(images: Images, severity: int, _: np.random.Generator) -> Images:
    """Encode as JPEG and decode."""
    quality = parameters(images, severity, (80, 65, 58, 50, 40), (25, 18, 15, 10, 7))

    def one(picture: "Image.Image", library: Any) -> "Image.Image":
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=quality)
        return library.open(buffer)

    return _by_pillow(images, one)


def _by_pillow(images: Images, one: "Callable[[Image.Image, Any], Image.Image]") -> Images:
    with extra("plots"):
        from PIL import Image
    pixels = np.round(images * 255).astype(np.uint8)
    squeezed = pixels[..., 0] if pixels.shape[3] == 1 else pixels
    done = np.stack([np.asarray(one(Image.fromarray(picture), Image)) for picture in squeezed])
    return done.reshape(images.shape).astype(np.float32) / 255
