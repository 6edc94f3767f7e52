"""NumPy generators seeded by JAX keys, for work on the host."""

import jax
import numpy as np


def key_words(key: jax.Array) -> list[int]:
    """The integers of a key, or of an array of keys."""
    return np.asarray(jax.random.key_data(key)).ravel().tolist()


def numpy_generator(key: jax.Array, *more: int) -> np.random.Generator:
    """A generator that depends on the key, and on the further integers that tell its uses apart."""
    return np.random.default_rng([*key_words(key), *more])
