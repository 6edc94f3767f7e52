"""Projection Norm: outputs of the networks on sets of images."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from verax.models import Network

from .setting import Setting

BATCH = 250


class Passes(NamedTuple):
    """Outputs of the networks on a set ``[n, ...]``, or of sets of one size ``[S, m, ...]``."""

    logits: np.ndarray
    features: np.ndarray
    """Inputs of the deployed network's last layer."""
    initial: np.ndarray | None
    """The same at the initialisation."""


class Anchors(NamedTuple):
    """Reference that every set of a setting is compared with."""

    reference: Passes
    holdout: Passes


def make_anchors(setting: Setting, *, initial: bool) -> Anchors:
    """Pass the reference images and the holdout through the networks."""
    return Anchors(*(passes_of(setting, images, initial) for images in (setting.reference, setting.holdout)))


@functools.partial(jax.jit, static_argnums=0)
def _evaluate(network: Network, params: Any, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    features = network.features(params, x)
    return features @ params["head"]["kernel"] + params["head"]["bias"], features


def forward(network: Network, params: Any, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Logits and last-layer features, in batches of one shape."""
    outputs = []
    for start in range(0, len(x), BATCH):
        part = x[start : start + BATCH]
        # A short batch repeats itself, so that batch statistics, where the network takes them, are its own.
        full = part[np.arange(BATCH) % len(part)]
        outputs.append([np.asarray(out)[: len(part)] for out in _evaluate(network, params, full)])
    logits, features = zip(*outputs, strict=True)
    return np.concatenate(logits), np.concatenate(features)


def passes_of(setting: Setting, images: np.ndarray, initial: bool) -> Passes:
    """Outputs on one set of images."""
    x = setting.normalise(images)
    at_start = forward(setting.train_network, setting.init_params, x)[1] if initial else None
    return Passes(*forward(setting.network, setting.params, x), at_start)


def together(parts: list[Passes], join: Callable[[list[np.ndarray]], np.ndarray]) -> Passes:
    """Join the outputs of several sets, field by field."""
    initial = [part.initial for part in parts if part.initial is not None]
    logits, features = ([part.logits for part in parts], [part.features for part in parts])
    return Passes(join(logits), join(features), join(initial) if initial else None)


def stacked(setting: Setting, images: list[np.ndarray], initial: bool) -> Passes:
    """Outputs on sets of one size, [S, m, ...]."""
    return together([passes_of(setting, one, initial) for one in images], np.stack)
