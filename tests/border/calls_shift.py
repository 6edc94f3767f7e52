"""Valid calls of verax.shift."""

import jax
import numpy as np

from support.border import call
from verax import shift
from verax.models import mlp
from verax.shift import corruptions

KEY = jax.random.key(0)
VAL = np.array([[2.0, -1, 0.5], [-1.5, 2, 0], [0.25, 0, 2], [1.0, 0.5, -1], [0, 1.5, 1], [2, 1, 0.25]])
LABELS = np.array([0, 1, 2, 0, 1, 1])
TARGET = np.array([[1.5, 0, -1], [0.5, 1.0, -0.25], [0, 0.25, 1.5], [1, -1, 2]])
FEATURES, OTHER = VAL[:, :2] + 1, TARGET[:, :2] - 0.5
ZERO = {"minus infinity": "the logarithm of a probability of zero"}
LOGITS = {"val_logits": ZERO, "target_logits": ZERO}
MODELS = np.stack([VAL, VAL[:, [1, 0, 2]] + 0.5, VAL * [1, 0.5, 2], -VAL[:, ::-1]])
MODELS_TARGET = np.stack([TARGET, TARGET[:, [1, 0, 2]] + 0.5, TARGET * [1, 0.5, 2], -TARGET[:, ::-1]])
