"""Projection Norm: a monitored stream."""

import jax
import numpy as np

import verax.shift as vs
from verax._numpy_random import numpy_generator
from verax.shift.corruptions import corrupt

from .config import Config
from .passes import forward
from .setting import Setting


def monitored(setting: Setting, config: Config, key: jax.Array) -> vs.MonitorTable:
    """A stream that is clean for four chunks and then ever more blurred, watched by ATC; labels come later."""
    chunk = min(config.num_holdout // 6, len(setting.pool))
    rng = numpy_generator(key, 2)
    images, labels = [], []
    for severity in (0, 0, 0, 0, *config.severities):
        rows = rng.permutation(len(setting.pool))[:chunk]
        picked = setting.pool[rows]
        one = jax.random.fold_in(key, severity)
        images.append(picked if severity == 0 else corrupt(picked, "motion_blur", severity, key=one))
        labels.append(setting.pool_labels[rows])
    normalise, y = setting.normalise, setting.holdout_labels.astype(np.int32)
    holdout, stream = (
        forward(setting.network, setting.params, normalise(x))[0] for x in (setting.holdout, np.concatenate(images))
    )
    temperature = np.float32(vs.fit_temperature(holdout, y))
    monitor = vs.ShiftMonitor(vs.atc, chunk_size=chunk, num_resamples=20, key=key).fit(holdout / temperature, y)
    return monitor.estimate(stream / temperature).realize(np.concatenate(labels), stream.argmax(1))
