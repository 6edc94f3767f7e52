"""Squared risk of the best ridge at every number of samples, from the part of one spectrum that may be believed.

``B(kappa) + sigma^2``, the risk without its sampling variance, is estimated at the effective ridges that the sample's
own ridges reach. Its error grows as ``1 / (1 - df2 / n)``: near interpolation the estimate dips by chance, and a search
for the best ridge finds the dip. So only ridges with ``df2 <= n / 2`` count, and the estimate is made monotone, as the
true function is.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from sklearn.isotonic import isotonic_regression

from verax.spectral import RiskPath

MAX_SHARE = 0.5
"""Largest ``df2 / n`` at which a sample's estimates are believed; twice the standard error of the ridgeless limit's."""


class RiskCurve(NamedTuple):
    """Population quantities at the trusted effective ridges, ascending; each [L]."""

    df1: np.ndarray
    df2: np.ndarray
    bias_plus_noise: np.ndarray
    complete: bool
    """Whether the sample shows the population down to effective ridge 0: many more examples than dimensions."""


def trusted(path: RiskPath) -> np.ndarray:
    """Ridges [L] at which the path's estimates are believed; at least the one of the smallest ``df2``."""
    share = path.df2 / path.spectrum.num_samples
    return share <= max(MAX_SHARE, float(share.min()))


def best_ridge(path: RiskPath, risks: np.ndarray) -> float:
    """Ridge of the smallest of these risks [L] among the trusted ones."""
    return float(path.ridge[np.argmin(np.where(trusted(path), risks, np.inf))])


def risk_curve(path: RiskPath) -> RiskCurve:
    """Take the trusted part of a path, with a monotone ``B + sigma^2``."""
    chosen = np.flatnonzero(trusted(path))
    chosen = chosen[np.argsort(path.effective_ridge[chosen])]
    bias = isotonic_regression(path.bias_plus_noise[chosen])
    # With a gap below the smallest eigenvalue the smallest ridge is as good as none.
    smallest = float(path.ridge[chosen[0]])
    complete = path.spectrum.null_count > 0 and smallest <= float(path.spectrum.eigenvalues[-1])
    return RiskCurve(path.df1[chosen], path.df2[chosen], np.asarray(bias), complete)


def tuned_risk(curve: RiskCurve, num_samples: Sequence[float] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Smallest ``(B + sigma^2) / (1 - df2 / n')`` per size ``n'`` [S], and whether it is at the end of what is trusted.

    An effective ridge can be had from ``n'`` samples where ``df1 < n'``.
    """
    sizes = np.asarray(num_samples, np.float64)[:, None]
    room = 1 - curve.df2 / sizes
    possible = (curve.df1 < sizes) & (room > 0)
    possible[:, -1] = True  # the largest ridge: the mean alone
    risks = np.where(possible, curve.bias_plus_noise / np.maximum(room, 1e-3), np.inf)
    best = np.argmin(risks, axis=1)
    return risks[np.arange(len(risks)), best], (best == 0) & (not curve.complete)
