"""Image data from files the user has: IDX, CIFAR binary batches, NumPy archives, and scikit-learn's bundled digits."""

from ._cifar10 import load_cifar10 as load_cifar10
from ._dataset import IMAGENET_MEAN as IMAGENET_MEAN
from ._dataset import IMAGENET_STD as IMAGENET_STD
from ._dataset import Dataset as Dataset
from ._dataset import normalise as normalise
from ._load import load as load
