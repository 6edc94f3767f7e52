"""Evidence of a change that may be looked at after every chunk: a mixture of bets, started at every chunk.

Under the null hypothesis the evidence is a martingale with mean 1, so that it ever exceeds ``1 / alpha`` with
probability at most ``alpha`` (Ville's inequality), however long the stream.
"""

from typing import Any, NamedTuple, cast

import numpy as np
from scipy import special, stats

# Slopes of the bets on a standardised score. Steeper ones would rest on tails that resampling does not show.
_SLOPES = np.array([0.25, 0.5, 1.0, 1.5])
# Exponents of the bets on p-values, kappa p^(kappa - 1).
_POWERS = np.array([0.2, 0.5, 0.8])
# A chunk's expected count per bin of the label test.
_LEAST_EXPECTED = 5.0


class Evidence(NamedTuple):
    """Logarithms of the wealth of the bets after some chunks."""

    log_wealth: np.ndarray
    num_chunks: int

    def after(self, log_bets: np.ndarray) -> "Evidence":
        r"""Take a chunk's bets into account.

        ``A_b <- (A_b + w_t) e_b`` with :math:`w_t = 1 / (t (t + 1))`: a bet is started at each chunk t with this share
        of the wealth, since the time of a change is unknown.
        """
        number = self.num_chunks + 1
        return Evidence(np.logaddexp(self.log_wealth, -np.log(number * (number + 1))) + log_bets, number)

    @property
    def log10(self) -> float:
        """Decimal logarithm of the evidence: the mean wealth, and the share not yet bet."""
        waiting = -np.log(self.num_chunks + 1)
        total = np.logaddexp(special.logsumexp(self.log_wealth) - np.log(len(self.log_wealth)), waiting)
        return float(total / np.log(10))


def no_evidence(num_bets: int) -> Evidence:
    """Evidence before the first chunk."""
    return Evidence(np.full(num_bets, -np.inf), 0)


NUM_SCORE_BETS, NUM_LABEL_BETS = len(_SLOPES), len(_POWERS)


def score_bets(z: float, null: np.ndarray) -> np.ndarray:
    r"""Logarithms of :math:`e^{\delta z - \psi(\delta)}` for a standardised score.

    :math:`\psi` is the larger of that of the normal distribution and that of standardised scores under the null
    hypothesis, since rates near 0 are skewed.
    """
    observed = special.logsumexp(_SLOPES[:, None] * null[None], axis=1) - np.log(len(null))
    return _SLOPES * z - np.maximum(observed, _SLOPES**2 / 2)


def label_bets(counts: np.ndarray, history: np.ndarray) -> np.ndarray:
    """Logarithms of bets on the p-value of a chi-squared test of a chunk's label counts [K] against those before it."""
    order = np.argsort(history)[::-1]
    counts, history = counts[order], history[order]
    expected = (counts + history) * counts.sum() / (counts.sum() + history.sum())
    common = expected >= _LEAST_EXPECTED
    table = np.stack([np.append(part[common], part[~common].sum()) for part in (counts, history)])
    table = table[:, table.sum(0) > 0]
    if table.shape[1] < 2:
        return np.zeros(len(_POWERS))
    p_value = max(float(cast(Any, stats.chi2_contingency(table, correction=False)).pvalue), 1e-300)
    return np.log(_POWERS) + (_POWERS - 1) * np.log(p_value)
