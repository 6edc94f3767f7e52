"""One entry point to all corruptions."""

from collections.abc import Callable

import jax
import numpy as np
from jaxtyping import UInt8

from verax._arrays import to_host
from verax._errors import check, check_option, fail
from verax._numpy_random import numpy_generator
from verax._types import AnyArray
from verax.shift._checks import check_key

from . import _blur, _digital, _noise, _weather

_CORRUPTIONS: dict[str, Callable[[np.ndarray, int, np.random.Generator], np.ndarray]] = {
    "gaussian_noise": _noise.gaussian_noise,
    "shot_noise": _noise.shot_noise,
    "impulse_noise": _noise.impulse_noise,
    "defocus_blur": _blur.defocus_blur,
    "glass_blur": _blur.glass_blur,
    "motion_blur": _blur.motion_blur,
    "zoom_blur": _blur.zoom_blur,
    "snow": _weather.snow,
    "frost": _weather.frost,
    "fog": _weather.fog,
    "brightness": _digital.brightness,
    "contrast": _digital.contrast,
    "elastic_transform": _digital.elastic_transform,
    "pixelate": _digital.pixelate,
    "jpeg_compression": _digital.jpeg_compression,
    "speckle_noise": _noise.speckle_noise,
    "gaussian_blur": _blur.gaussian_blur,
    "spatter": _weather.spatter,
    "saturate": _digital.saturate,
}

NAMES = tuple(_CORRUPTIONS)
"""File names of both benchmarks: 15 corruptions, then 4 that its authors hold out."""

# Small images, as CIFAR's, are worked on 2,000 at a time, larger ones by their bytes: a corruption takes up to about
# 100 times as much for floating-point copies and coordinates.
_PART, _SMALL_BYTES, _PART_BYTES = 2000, 4096, 2**20


def corrupt(images: UInt8[AnyArray, "n h w c"], name: str, severity: int, *, key: jax.Array) -> np.ndarray:
    """Corrupt images as CIFAR-10-C and ImageNet-C do.

    Parameters
    ----------
    images : uint8 [n, h, w, c]
        Square or not, at least 8 pixels per side, of 1 or 3 channels, 0 to 255. Wider integers are accepted in that
        range; floats are refused, since their scale is unknown.
    name
        One of :data:`NAMES`.
    severity
        1 to 5.
    key
        A ``jax.random.key``; the result is a function of key, name, severity and images.

    Returns
    -------
    uint8 [n, h, w, c]
        Values cut at 0 and 255 and truncated to integers, as in the original.

    Raises
    ------
    ValueError
        For images that are not integers from 0 to 255 or of another shape, an unknown name, a severity that is not 1
        to 5, no key, and for ``"saturate"`` of grey images.

    Notes
    -----
    On the host, in NumPy, SciPy and Pillow; memory beyond the result is bounded. Parameters are those of CIFAR-10-C,
    and of ImageNet-C for images of at least 128 pixels per side. Lengths of motion blur and snow scale with the side,
    but never below half; other kernels do not.

    Departures: ``"frost"`` and ``"spatter"`` are procedural, without the original's photographs and edge detector;
    zooms interpolate about the exact centre. Not compared bit for bit with the released files.

    Examples
    --------
    >>> import jax, numpy as np
    >>> from verax.shift import corruptions
    >>> images = np.full((2, 32, 32, 3), 128, np.uint8)
    >>> noisy = corruptions.corrupt(images, "gaussian_noise", 5, key=jax.random.key(0))
    >>> noisy.shape, noisy.dtype, round(float(noisy.std() / 255), 2)
    ((2, 32, 32, 3), dtype('uint8'), 0.1)

    References
    ----------
    D. Hendrycks and T. Dietterich, "Benchmarking neural network robustness to common corruptions and perturbations",
    ICLR 2019; parameters from their code for both benchmarks (Apache-2.0).
    """
    check_option("name", name, NAMES)
    whole = isinstance(severity, int | np.integer) and not isinstance(severity, bool)
    check(whole and 1 <= severity <= 5, "severity", repr(severity), "an integer from 1 to 5")
    key = check_key(key)
    values = to_host("images", images, dtype="any", within="[0, 255]", empty=True)
    check(values.dtype.kind in "iu", "images", f"dtype {values.dtype}", "integers from 0 to 255, best uint8")
    fits = values.ndim == 4 and values.shape[3] in (1, 3) and min(values.shape[1:3]) >= 8
    check(fits, "images", f"shape {values.shape}", "[n, h, w, c] with h, w >= 8 and c 1 or 3")
    if name == "saturate" and values.shape[3] == 1:
        fail("images", "one channel", "three: grey images have no saturation")
    rng = numpy_generator(key, NAMES.index(name), int(severity))
    pixels = values.astype(np.uint8, copy=False)
    result = np.empty_like(pixels)
    each = int(np.prod(pixels.shape[1:]))
    size = _PART if each <= _SMALL_BYTES else max(1, _PART_BYTES // each)
    for start in range(0, len(pixels), size):
        part = pixels[start : start + size].astype(np.float32) / 255
        corrupted = _CORRUPTIONS[name](part, int(severity), rng)
        # A rounding margin: an untouched pixel must not fall by one when truncated.
        result[start : start + size] = np.clip(corrupted, 0, 1) * 255 + 1e-3
    return result
