"""More Than a Toy: the images, and which of them a network may have seen."""

import os
import pathlib
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from verax._errors import check, fail
from verax.data import IMAGENET_MEAN, IMAGENET_STD, Dataset, load, load_cifar10, normalise


class Images(NamedTuple):
    """Labelled images [n, height, width, channels], normalised; networks are trained on ``seen`` ones and no others."""

    unseen: np.ndarray
    unseen_labels: np.ndarray
    seen: np.ndarray
    seen_labels: np.ndarray
    num_classes: int


class Sample(NamedTuple):
    """Images of one kernel in the order: to fit on, held out, seen by the network."""

    images: np.ndarray
    labels: np.ndarray


def load_images(dataset: str, data: str | pathlib.Path | None, *, num_seen: int, rng: np.random.Generator) -> Images:
    """Load a data set and set apart what networks may be trained on.

    Digits come as one set, of which twice ``num_seen`` images drawn at random are set apart. Of CIFAR-10 the training
    images count as seen, the test images as unseen. Of Fashion-MNIST and CIFAR-100, on which none of the networks was
    trained, all are unseen.
    """
    if dataset == "digits":
        digits = load("digits")
        order = rng.permutation(len(digits.y_train) + len(digits.y_test))
        images = digits.normalise(np.concatenate([digits.x_train, digits.x_test])[order])
        labels = np.concatenate([digits.y_train, digits.y_test])[order]
        apart = 2 * num_seen
        return Images(images[apart:], labels[apart:], images[:apart], labels[:apart], digits.num_classes)
    if dataset == "cifar10":
        source = load_cifar10(data)
        # Test images that the archive holds only in a lossy copy are another distribution: left out where marked.
        whole = np.asarray(source.extra.get("lossless_test", np.ones(len(source.y_test), bool)), bool)
        return Images(
            _for_networks(source, source.x_test[whole]),
            source.y_test[whole],
            _for_networks(source, source.x_train[: 4 * num_seen]),
            source.y_train[: 4 * num_seen],
            source.num_classes,
        )
    source = load(dataset, data)
    images, labels = (source.x_test, source.y_test) if dataset == "fashion_mnist" else (source.x_train, source.y_train)
    images = _for_networks(source, images)
    return Images(images, labels, images[:0], labels[:0], source.num_classes)


def draw_sample(images: Images, *, num_unseen: int, num_seen: int, rng: np.random.Generator) -> Sample:
    """Draw ``num_unseen`` unseen images, then ``num_seen`` seen ones, each without replacement."""
    for name, wanted, labels in (("unseen", num_unseen, images.unseen_labels), ("seen", num_seen, images.seen_labels)):
        check(wanted <= len(labels), f"{name} images", wanted, f"at most {len(labels)}, which the data set has")
    fresh = rng.permutation(len(images.unseen_labels))[:num_unseen]
    old = rng.permutation(len(images.seen_labels))[:num_seen]
    return Sample(
        np.concatenate([images.unseen[fresh], images.seen[old]]),
        np.concatenate([images.unseen_labels[fresh], images.seen_labels[old]]),
    )


def load_weights(path: str, data: str | pathlib.Path | None) -> Mapping[str, np.ndarray]:
    """Read stored weights; a relative path is looked for in the data folder."""
    folder = os.environ.get("VERAX_DATA", "") if data is None else str(data)
    place = pathlib.Path(folder) / pathlib.Path(path).expanduser()
    if not path or not place.is_file():
        fail(
            "weights",
            f"no file {place}",
            "an .npz file of arrays under PyTorch's names, in the data folder or by its path",
        )
    with np.load(place, allow_pickle=False) as file:
        return dict(file)


def _for_networks(source: Dataset, images: np.ndarray) -> np.ndarray:
    """Images of 32x32 pixels and three channels, normalised as the stored networks expect."""
    margin = (32 - images.shape[1]) // 2
    if margin > 0:
        images = np.pad(images, ((0, 0), (margin, margin), (margin, margin), (0, 0)))
    if images.shape[3] == 1:
        images = np.repeat(images, 3, axis=3)
    return normalise(images, mean=IMAGENET_MEAN, std=IMAGENET_STD, max_value=source.max_value)
