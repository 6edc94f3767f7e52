"""Sampling of batches of images off the pixel grid, and blurs along lines."""

import numpy as np

from ._types import Images


def zoom_matrix(side: int, factor: float) -> np.ndarray:
    """Linear interpolation [side, side] that enlarges a line by ``factor`` about its centre."""
    position = (side - 1) / 2 + (np.arange(side) - (side - 1) / 2) / factor
    low = np.clip(np.floor(position).astype(int), 0, max(side - 2, 0))
    weight = position - low
    matrix = np.zeros((side, side), np.float32)
    matrix[np.arange(side), low] = 1 - weight
    matrix[np.arange(side), np.minimum(low + 1, side - 1)] += weight
    return matrix


def zoom(images: Images, factor: float) -> Images:
    """Enlarge [n, h, w, c] about the centre."""
    rows, columns = zoom_matrix(images.shape[1], factor), zoom_matrix(images.shape[2], factor)
    wide = np.matmul(rows, images.reshape(*images.shape[:2], -1)).reshape(images.shape)
    return np.matmul(columns, wide)


def bilinear(images: Images, rows: np.ndarray, columns: np.ndarray, *, repeat_edge: bool) -> Images:
    """Sample each image at real coordinates [n, h, w], reflected at the border, with or without repeating the edge."""
    low_row, low_column = np.floor(rows).astype(int), np.floor(columns).astype(int)
    down, right = (rows - low_row)[..., None], (columns - low_column)[..., None]
    which = np.arange(len(images))[:, None, None]
    height, width = images.shape[1:3]
    r = [_reflect(low_row + step, height, repeat_edge) for step in (0, 1)]
    c = [_reflect(low_column + step, width, repeat_edge) for step in (0, 1)]
    top = images[which, r[0], c[0]] * (1 - right) + images[which, r[0], c[1]] * right
    bottom = images[which, r[1], c[0]] * (1 - right) + images[which, r[1], c[1]] * right
    return (top * (1 - down) + bottom * down).astype(np.float32)


def _reflect(index: np.ndarray, size: int, repeat_edge: bool) -> np.ndarray:
    period = 2 * size if repeat_edge else max(2 * size - 2, 1)
    index = index % period
    return np.where(index < size, index, period - index - (1 if repeat_edge else 0))


def motion_blur(images: Images, radius: int, sigma: float, angles: np.ndarray) -> Images:
    """One-sided Gaussian of 2 radius + 1 taps along a direction (degrees) of each image, edges replicated."""
    taps = np.arange(2 * radius + 1)
    kernel = np.exp(-(taps**2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).astype(np.float32)
    height, width = images.shape[1:3]
    which = np.arange(len(images))[:, None, None]
    radians = np.deg2rad(angles)
    blurred = np.zeros_like(images)
    for tap, weight in zip(taps, kernel, strict=True):
        down = np.ceil(tap * np.sin(radians) - 0.5).astype(int)
        right = np.ceil(tap * np.cos(radians) - 0.5).astype(int)
        rows = np.clip(np.arange(height) + down[:, None], 0, height - 1)
        columns = np.clip(np.arange(width) + right[:, None], 0, width - 1)
        blurred += weight * images[which, rows[:, :, None], columns[:, None, :]]
    return blurred
