"""Projection Norm: scores by retraining."""

import functools

import jax
import numpy as np
import optax

import verax.shift as vs

from .config import Retraining
from .scores import function_rows
from .setting import Setting

NORMS = ("parameter", "softmax", "function", "disagreement")
"""Distances between the retrained networks; the paper's is the first."""


@functools.cache  # one object per recipe, so that what is compiled for it serves all sets
def _optimizer(schedule: str, learning_rate: float, steps: int) -> optax.GradientTransformation:
    rate = learning_rate if schedule == "constant" else optax.cosine_decay_schedule(learning_rate, steps)
    return optax.sgd(rate, momentum=0.9)


def retrained(
    setting: Setting, retraining: Retraining, images: list[np.ndarray], key: jax.Array, *, nulls: bool = True
) -> dict[str, np.ndarray]:
    """Distances "value" [norms, S] of sets of images, and their mean over null draws, "null" [norms]."""
    size, apart = len(images[0]), function_rows(setting)
    result = vs.projection_norm(
        setting.network,
        setting.init_params,
        setting.params,
        setting.normalise(setting.reference),
        np.stack([setting.normalise(x) for x in images]),
        steps=retraining.steps,
        batch_size=min(retraining.batch_size, size),
        optimizer=_optimizer(retraining.schedule, retraining.learning_rate, retraining.steps),
        train_apply_fn=setting.train_network,
        holdout_x=setting.normalise(setting.holdout[apart][:500]),
        null_x=setting.normalise(setting.holdout[~apart]),
        norm=NORMS,
        num_references=retraining.num_references if setting.is_small else 1,
        num_nulls=retraining.num_nulls if nulls else 0,
        set_chunk=16 if setting.is_small else None,
        key=key,
    )
    return {"value": np.asarray(result.value), "null": np.asarray(result.null_mean)}
