"""Projection Norm: corrupted, label-shifted and adversarial sets."""

import zlib
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from verax._numpy_random import numpy_generator
from verax.shift.corruptions import NAMES, corrupt

from .config import TargetSets
from .passes import BATCH
from .setting import Setting

FAMILIES, EXTRA = NAMES[:15], NAMES[15:]


_ATTACK_STEPS = 10


class Draw(NamedTuple):
    """Target sets."""

    family: np.ndarray
    strength: np.ndarray
    images: list[np.ndarray]
    labels: list[np.ndarray]


def corrupted_sets(setting: Setting, plan: TargetSets, key: jax.Array, number: int) -> Draw:
    """Every corruption and severity on its own draw of images, and as many clean sets as severities.

    Draws of other numbers have none of these images, as long as the pool lasts.
    """
    names = [n for n in NAMES if not (n == "saturate" and setting.pool.shape[3] == 1)]
    family, strength, images, labels = [], [], [], []
    for name in (*names, "clean"):
        for severity in plan.severities:
            own = jax.random.fold_in(key, zlib.crc32(f"{name}{severity}".encode()))
            rows = numpy_generator(own).permutation(len(setting.pool))
            picked = rows[number * plan.size : (number + 1) * plan.size]
            one = jax.random.fold_in(own, number)
            pixels = setting.pool[picked]
            images.append(pixels if name == "clean" else corrupt(pixels, name, severity, key=one))
            labels.append(setting.pool_labels[picked])
            family.append(name)
            strength.append(0 if name == "clean" else severity)
    return Draw(np.array(family), np.array(strength, float), images, labels)


def label_shifted_sets(setting: Setting, plan: TargetSets, rng: np.random.Generator) -> Draw:
    """Clean images of all, of four and of one class."""
    family, strength, images, labels = [], [], [], []
    for count in (10, 4, 1):
        for _ in range(3):
            classes = rng.permutation(setting.num_classes)[:count]
            inside = np.flatnonzero(np.isin(setting.pool_labels, classes))
            rows = rng.permutation(inside)[: plan.small_size]
            family.append({10: "small, all classes", 4: "four classes", 1: "one class"}[count])
            strength.append(count)
            images.append(setting.pool[rows])
            labels.append(setting.pool_labels[rows])
    return Draw(np.array(family), np.array(strength, float), images, labels)


def adversarial_sets(setting: Setting, plan: TargetSets, rows: np.ndarray) -> Draw:
    """Images moved within a radius by projected gradient ascent on the deployed network's own loss."""
    images, labels = setting.pool[rows], setting.pool_labels[rows]
    low, high = (setting.normalise(np.full((1, *images.shape[1:]), v, np.uint8)) for v in (0, 255))
    # A radius in pixels is another number in each normalised channel.
    unit = high - low

    @jax.jit
    def ascend(x, clean, y, radius):
        gradient = jax.grad(
            lambda x: optax.softmax_cross_entropy_with_integer_labels(setting.network(setting.params, x), y).sum()
        )(x)
        moved = x + 2.5 / _ATTACK_STEPS * radius * unit * jnp.sign(gradient)
        return jnp.clip(jnp.clip(moved, clean - radius * unit, clean + radius * unit), low, high)

    sets = [images]
    for radius in plan.radii:
        moved = []
        for start in range(0, len(images), BATCH):
            clean = x = jnp.asarray(setting.normalise(images[start : start + BATCH]))
            y = jnp.asarray(labels[start : start + BATCH].astype(np.int32))
            for _ in range(_ATTACK_STEPS):
                x = ascend(x, clean, y, np.float32(radius))
            pixels = np.clip(np.rint((np.asarray(x) - low) / unit * 255), 0, 255)
            moved.append(pixels.astype(np.uint8))
        sets.append(np.concatenate(moved))
    family = np.array(["adversarial"] * len(sets))
    return Draw(family, np.array([0.0, *plan.radii]), sets, [labels] * len(sets))
