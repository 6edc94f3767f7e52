"""Were the features trained on these labels? Fresh examples tell."""

import numpy as np
from scipy.stats import norm

from ._results import IndependenceCheck


def check_independence(
    loo_losses: np.ndarray, fresh_losses: np.ndarray, loo_error: float, fresh_error: float
) -> IndependenceCheck:
    """One-sided test that fresh losses are no larger on average than leave-one-out losses (Welch, normal)."""
    error = float(np.sqrt(loo_losses.var(ddof=1) / len(loo_losses) + fresh_losses.var(ddof=1) / len(fresh_losses)))
    difference = float(fresh_losses.mean() - loo_losses.mean())
    score = difference / error if error > 0 else 0.0 if difference == 0 else np.sign(difference) * np.inf
    return IndependenceCheck(
        p_value=float(norm.sf(score)),
        loo_risk=float(loo_losses.mean()),
        fresh_risk=float(fresh_losses.mean()),
        standard_error=error,
        loo_error=loo_error,
        fresh_error=fresh_error,
        num_fresh=len(fresh_losses),
    )
