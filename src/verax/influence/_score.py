"""Linear datamodeling score: whether summed influences predict retrained models."""

from typing import Any

import numpy as np
import scipy.special
import scipy.stats

from verax._arrays import to_host, to_number
from verax._errors import check

from ._results import Estimate, Influence, Status


def linear_datamodeling_score(scores: Any, retrained: Any, subsets: Any, *, level: float = 0.95) -> Estimate:
    r"""Rank correlation between retrained models and the sums of influence scores over their training sets.

    .. math:: \frac1m \sum_t \rho\Bigl( \bigl(f_t(S_k)\bigr)_k,\; \Bigl(\sum_{i \in S_k} s_{ti}\Bigr)_k \Bigr)

    with Spearman's :math:`\rho` over subsets :math:`S_k`.

    Parameters
    ----------
    scores : [m, n] or Influence
        Influence of each of n training examples on each of m test examples, positive where the example helps.
    retrained : [K, m] or [K, R, m]
        Measure of each test example under models trained on each subset, larger where the model does better (a margin
        or the negative loss). With three axes, mean over the R models of a subset.
    subsets : bool [K, n]
        Training examples of each subset; at least four subsets.
    level : float
        Coverage of the interval.

    Returns
    -------
    Estimate
        Mean over test examples. ``.status`` is UNDEFINED where a test example has constant scores or constant measures;
        such examples are left out of the mean.

    Raises
    ------
    ValueError
        For shapes that do not agree, non-finite values, or fewer than four subsets or two test examples.

    Notes
    -----
    Test examples and subsets both vary: the squared standard error adds the variance of the mean over test examples and
    the jackknife variance over subsets. The interval uses Student's t with ``min(m, K) - 1`` degrees of freedom.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.influence import linear_datamodeling_score
    >>> rng = np.random.default_rng(0)
    >>> scores = rng.normal(size=(30, 40))
    >>> subsets = rng.random((60, 40)) < 0.5
    >>> measures = subsets @ scores.T + rng.normal(size=(60, 30))
    >>> found = linear_datamodeling_score(scores, measures, subsets)
    >>> found.value > 0.9, found.lower < found.value < found.upper
    (True, True)

    References
    ----------
    Park, Georgiev, Ilyas, Leclerc, Madry, "TRAK: Attributing Model Behavior at Scale", ICML 2023, definition 2.4.
    """
    s = to_host("scores", scores.scores if isinstance(scores, Influence) else scores, shape=("m", "n"))
    num_tests, n = s.shape
    inside = to_host("subsets", subsets, shape=("K", n), dtype="bool")
    num_subsets = len(inside)
    f = to_host("retrained", retrained, shape=[(num_subsets, num_tests), (num_subsets, "R", num_tests)])
    check(num_subsets >= 4, "subsets", f"{num_subsets} subsets", "at least 4")
    check(num_tests >= 2, "scores", f"{num_tests} test examples", "at least 2")
    level = to_number("level", level, "(0, 1)")
    measured = f.mean(1) if f.ndim == 3 else f
    predicted = inside @ s.T
    rho = _spearman(predicted, measured)
    defined = np.isfinite(rho)
    status = Status.OK if defined.all() else Status.UNDEFINED
    if not defined.any():
        nan = float("nan")
        return Estimate(nan, nan, nan, nan, rho, np.array(status))
    value = float(rho[defined].mean())
    count = int(defined.sum())
    over_tests = float(rho[defined].var(ddof=1) / count) if count > 1 else float("inf")
    left_out = np.array(
        [
            np.nanmean(_spearman(np.delete(predicted[:, defined], k, 0), np.delete(measured[:, defined], k, 0)))
            for k in range(num_subsets)
        ]
    )
    over_subsets = (num_subsets - 1) / num_subsets * float(np.sum((left_out - left_out.mean()) ** 2))
    error = float(np.sqrt(over_tests + over_subsets))
    width = float(scipy.special.stdtrit(max(1, min(count, num_subsets) - 1), (1 + level) / 2)) * error
    lower, upper = max(-1.0, value - width), min(1.0, value + width)
    return Estimate(value, error, lower, upper, rho, np.array(status))


def _spearman(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Rank correlation of matching columns; NaN where a column is constant."""
    ranks = [scipy.stats.rankdata(x, axis=0) for x in (a, b)]
    centred = [r - r.mean(0) for r in ranks]
    norms = [np.sqrt(np.sum(c * c, axis=0)) for c in centred]
    defined = (norms[0] > 0) & (norms[1] > 0)
    product = np.where(defined, norms[0] * norms[1], 1.0)
    return np.where(defined, np.sum(centred[0] * centred[1], axis=0) / product, np.nan)
