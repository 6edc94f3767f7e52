"""A data set in memory, and its normalisation."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float32, Int32, UInt8

from verax._arrays import to_host, to_number
from verax._errors import check

IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""Channel means of ImageNet's pixels divided by 255, which torchvision's and the usual CIFAR checkpoints expect."""

IMAGENET_STD = (0.229, 0.224, 0.225)
"""Channel standard deviations that go with :data:`IMAGENET_MEAN`."""


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class Dataset:
    """Images and labels, split into training and test part.

    Attributes
    ----------
    x_train, x_test : numpy.ndarray
        uint8 images [n, height, width, channels].
    y_train, y_test : numpy.ndarray
        int32 labels [n] in ``range(num_classes)``.
    num_classes : int
        Number of classes.
    name : str
        Name it was loaded by.
    max_value : int
        Pixel value of full intensity: 255, or 16 for the digits.
    class_names : tuple of str
        Names of the classes, empty where the files have none.
    extra : mapping from str to numpy.ndarray
        Further arrays that the files held, such as CIFAR-100's ``coarse_train`` and ``coarse_test``.
    source : str
        Where it was read.
    verified : bool
        Whether every file's contents had the published SHA-256.
    """

    x_train: UInt8[np.ndarray, "n_train h w c"]
    y_train: Int32[np.ndarray, " n_train"]
    x_test: UInt8[np.ndarray, "n_test h w c"]
    y_test: Int32[np.ndarray, " n_test"]
    num_classes: int
    name: str
    max_value: int = 255
    class_names: tuple[str, ...] = ()
    extra: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    source: str = ""
    verified: bool = False

    def __repr__(self) -> str:
        shape = "x".join(str(size) for size in self.x_train.shape[1:])
        return (
            f"Dataset({self.name!r}: {len(self.x_train)} training and {len(self.x_test)} test images of {shape}, "
            f"{self.num_classes} classes)"
        )

    def normalise(
        self,
        images: UInt8[np.ndarray, "n h w c"],
        *,
        mean: Sequence[float] | np.ndarray | None = None,
        std: Sequence[float] | np.ndarray | None = None,
    ) -> Float32[np.ndarray, "n h w c"]:
        """Images as networks take them: ``(pixel / max_value - mean) / std``, float32.

        Parameters
        ----------
        images : numpy.ndarray
            uint8 [n, height, width, channels], such as a part of ``x_train`` or ``x_test``.
        mean, std : sequence of float, optional
            One number per channel; both or neither. By default those of all training images, over positions.

        Returns
        -------
        numpy.ndarray
            float32, of the same shape.

        Raises
        ------
        ValueError
            If the images are not uint8 NHWC with this data's channels, or only one of mean and std is given.

        Examples
        --------
        >>> from verax.data import load
        >>> digits = load("digits")
        >>> x = digits.normalise(digits.x_train)
        >>> x.dtype.name, x.shape, bool(abs(x.mean()) < 1e-5), round(float(x.std()), 4)
        ('float32', (1297, 8, 8, 1), True, 1.0)
        """
        check((mean is None) == (std is None), "mean, std", "only one of the two", "both or neither")
        if mean is None or std is None:
            mean, std = self._moments
        return normalise(images, mean=mean, std=std, max_value=self.max_value)

    @functools.cached_property
    def _moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of each channel over all training images, from counts of the 256 values."""
        counts = np.stack(
            [np.bincount(channel, minlength=256) for channel in self.x_train.reshape(-1, self.x_train.shape[3]).T]
        )
        values = np.arange(256) / self.max_value
        mean = counts @ values / counts.sum(axis=1)
        return mean, np.sqrt((counts * (values - mean[:, None]) ** 2).sum(axis=1) / counts.sum(axis=1))


def normalise(
    images: UInt8[np.ndarray, "n h w c"],
    *,
    mean: Sequence[float] | np.ndarray,
    std: Sequence[float] | np.ndarray,
    max_value: int = 255,
) -> Float32[np.ndarray, "n h w c"]:
    """Bytes to float32: ``(images / max_value - mean) / std``.

    Parameters
    ----------
    images : numpy.ndarray
        uint8 [n, height, width, channels].
    mean, std : sequence of float
        One number per channel, in units of ``pixel / max_value``; every std positive.
    max_value : int
        Pixel value of full intensity.

    Returns
    -------
    numpy.ndarray
        float32, of the same shape.

    Raises
    ------
    ValueError
        If the images are not uint8 NHWC, or mean and std do not fit them.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.data import normalise
    >>> normalise(np.full((1, 1, 1, 1), 255, np.uint8), mean=[0.5], std=[0.25]).item()
    2.0
    """
    images = to_host("images", images, shape=("n", "height", "width", "channels"), dtype="any", empty=True)
    whole = np.issubdtype(images.dtype, np.integer)
    check(whole, "images", f"dtype {images.dtype}", "uint8 (normalised images are float32 already)")
    images = to_host("images", images, dtype="integer", within="[0, 255]", empty=True).astype(np.uint8)
    channels = images.shape[3]
    shift = to_host("mean", mean, shape=(channels,), within="[-1e30, 1e30]")
    scale = to_host("std", std, shape=(channels,), within="[1e-30, 1e30]")
    full = to_number("max_value", max_value, "(0, inf)")
    # A table of 256 values per channel, made in double precision: exact to the last float32 digit, no large temporary.
    out = np.empty(images.shape, np.float32)
    for channel in range(channels):
        table = ((np.arange(256) / full - shift[channel]) / scale[channel]).astype(np.float32)
        out[..., channel] = table[images[..., channel]]
    return out
