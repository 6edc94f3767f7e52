"""A false-positive rate in finite samples for any score that a user brings."""

import math
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from verax import _special as special
from verax._arrays import to_host, to_number
from verax._results import raise_if_failed, result
from verax._types import AnyArray

from ._indicators import proportion
from ._interval import SENTENCES, Interval, Status
from ._numeric import take_level


@result(SENTENCES)
class ScoreThreshold(NamedTuple):
    """A threshold on a score, from scores of units without the property that it looks for.

    Attributes
    ----------
    threshold : scalar
        Flag a score above it; infinity where ``status`` is not OK.
    alpha : float
        False-positive rate that is not exceeded.
    reference : [n]
        Sorted scores of the reference units.
    status : scalar
        ``OK``, or ``TOO_FEW``: fewer reference units than this rate needs, so that nothing is flagged.
    """

    threshold: Float[AnyArray, ""]
    alpha: float
    reference: Float[AnyArray, "n"]
    status: Int[AnyArray, ""]
    raise_if_failed = raise_if_failed

    def flag(self, scores: Any) -> Bool[AnyArray, "..."]:
        """Whether each score is above the threshold."""
        return to_host("scores", scores, finite=False) > self.threshold

    def p_value(self, scores: Any) -> Float[AnyArray, "..."]:
        """Share of the reference units and the new one that score at least as high: a valid p-value of each score."""
        values = to_host("scores", scores)
        num = len(self.reference)
        return (1 + num - np.searchsorted(self.reference, values, side="left")) / (num + 1)

    def true_positive_rate(self, scores: Any, *, level: float = 0.95) -> Interval:
        """Share of units with the property that are flagged, with Clopper-Pearson limits; [0, 1] where unresolved."""
        flags = self.flag(to_host("scores", scores, shape=("n",)))
        found = proportion(int(flags.sum()), len(flags), level=level)
        if int(self.status) == Status.OK:
            return found
        zero, one = np.asarray(0.0), np.asarray(1.0)
        return found._replace(estimate=np.asarray(np.nan), lower=zero, upper=one, status=self.status)


def control_false_positives(reference: Any, *, alpha: float = 0.01, confidence: float | None = None) -> ScoreThreshold:
    r"""Threshold on any score with a false-positive rate of at most ``alpha``.

    With the scores :math:`s_{(1)} \le \dots \le s_{(n)}` of reference units, and a new one exchangeable with them,

    .. math:: P(s > s_{(r)}) \le \alpha, \qquad r = \lceil (n + 1)(1 - \alpha) \rceil

    whatever the distribution of the score; there is no such r for :math:`n < 1/\alpha - 1`.

    Parameters
    ----------
    reference : [n]
        Scores of units without the property, such as benign runs of an agent; larger is more suspicious. Units have to
        be independent: one score per job, conversation or document, not per step.
    alpha
        False-positive rate, in (0, 1).
    confidence
        By default the rate holds on average over reference sets. With a confidence such as 0.95 it holds for this very
        set with that probability, which needs more units (299 instead of 99 for a rate of 1 %).

    Returns
    -------
    ScoreThreshold
        With ``.flag``, ``.p_value`` and ``.true_positive_rate`` of further scores.

    Raises
    ------
    ValueError
        For scores that are not finite, or rates outside (0, 1).

    Notes
    -----
    The guarantee ends where new units are no longer like the reference: a changed model, task or logging format. Ties
    are not flagged, so that the rate stays below ``alpha``.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.evals import control_false_positives
    >>> rng = np.random.default_rng(0)
    >>> guard = control_false_positives(rng.normal(size=199), alpha=0.05)
    >>> found = guard.true_positive_rate(rng.normal(3, 1, size=40))
    >>> print(guard.threshold.round(2), found.estimate, found.lower.round(2), found.upper.round(2))
    1.58 0.875 0.73 0.96

    References
    ----------
    Vovk, Gammerman, Shafer (2005), Algorithmic learning in a random world; Vovk (2012) for the conditional guarantee.
    """
    scores = np.sort(to_host("reference", reference, shape=("n",)))
    alpha, num = to_number("alpha", alpha, "(0, 1)"), len(scores)
    if confidence is None:
        rank = math.ceil((num + 1) * (1 - alpha) - 1e-9)
    else:
        # The rate above the r-th of n scores is Beta(n - r + 1, r) for a continuous score.
        ranks = np.arange(1, num + 1)
        sound = special.betainc(num - ranks + 1, ranks, alpha) >= take_level(confidence)
        rank = int(ranks[sound][0]) if sound.any() else num + 1
    resolved = rank <= num
    threshold = np.asarray(scores[rank - 1] if resolved else np.inf)
    status = np.asarray(int(Status.OK if resolved else Status.TOO_FEW), np.int32)
    return ScoreThreshold(threshold, alpha, scores, status)
