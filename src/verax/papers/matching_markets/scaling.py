"""Matching markets: regret as agents, populations and dimensions grow."""

from typing import Any

import jax
import numpy as np

from . import measure
from .config import Config


def scaled_regret(config: Config, keys: jax.Array) -> dict[str, tuple[tuple[int, ...], np.ndarray]]:
    """Regret at the end, ``[size, seed]``, in what grows."""
    horizon = config.horizons[-1]
    grown: dict[str, tuple[tuple[int, ...], Any]] = {
        "agents": (config.sizes, measure.minimax),
        "population": (config.populations, lambda size: measure.typed(size, 6)),
        "population, all present": (config.populations, lambda size: measure.typed(size, None)),
        "dimension": (config.dimensions, lambda dimension: measure.linear(5, dimension)),
    }
    return {
        name: (sizes, np.stack([measure.play(measure.ucb(), make(s), horizon, keys).regret()[:, -1] for s in sizes]))
        for name, (sizes, make) in grown.items()
        if sizes
    }
