"""Projection Norm: scores by retraining."""

from typing import Any

import jax
import numpy as np
import optax

import verax.shift as vs
from verax.papers._cache import Cache

from .config import Config
from .scores import function_rows
from .setting import Setting


def retrained(
    setting: Setting, config: Config, key: jax.Array, images: list[np.ndarray], cache: Cache, identity: list[Any]
) -> dict[str, np.ndarray]:
    """Excess by retraining, a few sets at a time, each kept when done."""
    is_small = setting.pool.ndim < 4 or setting.pool.shape[1] < 28
    chunk = len(images) if is_small else 5
    optimizer = optax.sgd(config.retrain_learning_rate, momentum=0.9)
    size, apart = len(images[0]), function_rows(setting)
    columns = []
    for start in range(0, len(images), chunk):
        sets = np.stack([setting.normalise(x) for x in images[start : start + chunk]])

        def compute(sets: np.ndarray = sets, first: bool = start == 0) -> dict[str, np.ndarray]:
            result = vs.projection_norm(
                setting.network, setting.init_params, setting.params, setting.normalise(setting.reference), sets,
                steps=config.retrain_steps, batch_size=min(config.retrain_batch, size), optimizer=optimizer,
                train_apply_fn=setting.train_network, holdout_x=setting.normalise(setting.holdout[apart][:500]),
                null_x=setting.normalise(setting.holdout[~apart]), norm=("function", "parameter", "disagreement"),
                num_references=config.num_references if is_small else 1,
                # The null is the same for every chunk of sets.
                num_nulls=config.num_nulls if first else 0, set_chunk=16 if is_small else None, key=key,
            )  # fmt: skip
            return {"value": np.asarray(result.value), "null": np.asarray(result.null_mean)}

        columns.append(cache.get("retrained1", [start, config.retrain_steps, config.retrain_batch, *identity], compute))
    excess = np.concatenate([part["value"] for part in columns], axis=1) - columns[0]["null"][:, None]
    return {
        f"retrained, {norm}": row for norm, row in zip(("function", "parameter", "disagreement"), excess, strict=True)
    }
