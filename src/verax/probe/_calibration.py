"""Probabilities from leave-one-out scores: one temperature, fitted on predictions that no example had a part in."""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

_MOST_ROWS = 50_000


def fit_scale(scores: np.ndarray, codes: np.ndarray) -> float:
    """Scale ``a`` of ``softmax(a * scores)`` with the smallest log-loss.

    Targets are smoothed by ``1 / (n + 2)`` as Platt (1999) did, so that classes without an error get a finite scale.
    """
    if len(codes) > _MOST_ROWS:
        chosen = np.random.default_rng(0).choice(len(codes), _MOST_ROWS, replace=False)
        scores, codes = scores[chosen], codes[chosen]
    n, num_classes = scores.shape
    smoothing = 1 / (n + 2)
    own = (1 - smoothing) * scores[np.arange(n), codes] + smoothing / num_classes * scores.sum(1)

    def log_loss(log_scale: float) -> float:
        scale = np.exp(log_scale)
        return float(np.mean(logsumexp(scale * scores, axis=1) - scale * own))

    best = minimize_scalar(log_loss, bounds=(np.log(1e-3), np.log(1e4)), method="bounded")
    return float(np.exp(best.x))


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Softmax over the last axis."""
    return np.exp(logits - logsumexp(logits, axis=1, keepdims=True))
