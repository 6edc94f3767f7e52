"""Refusing what should be refused against complying with what should not: all thresholds at once."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from verax._arrays import to_host
from verax._errors import check
from verax._results import result
from verax._types import AnyArray

from ._numeric import take, take_level
from ._quantiles import normal_quantile
from ._units import few_limits


@result()
class Frontier(NamedTuple):
    """Two rates at every threshold of a refusal score.

    Attributes
    ----------
    threshold : [t]
        Refuse at a score of at least this; ascending, from refusing everything to refusing nothing.
    not_unsafe, not_overrefuse : [t]
        Shares of unsafe requests refused, and of benign ones answered.
    margin_unsafe, margin_overrefuse : scalar
        With probability ``level`` all entries of both curves are within these of their expectations, at once.
    auc, auc_standard_error : scalar
        Probability that an unsafe request scores higher than a benign one, ties counting half; DeLong's error.
    auc_lower, auc_upper : scalar
        Its limits: normal, and no narrower than Clopper-Pearson limits over the requests of the smaller side where few
        of them are out of order.
    """

    threshold: Float[AnyArray, "t"]
    not_unsafe: Float[AnyArray, "t"]
    not_overrefuse: Float[AnyArray, "t"]
    margin_unsafe: Float[AnyArray, ""]
    margin_overrefuse: Float[AnyArray, ""]
    auc: Float[AnyArray, ""]
    auc_standard_error: Float[AnyArray, ""]
    auc_lower: Float[AnyArray, ""]
    auc_upper: Float[AnyArray, ""]


def refusal_frontier(unsafe: Float[AnyArray, "n"], benign: Float[AnyArray, "m"], *, level: float = 0.95) -> Frontier:
    r"""Trade-off between unsafe answers and needless refusals, with simultaneous bands.

    .. math:: \sup_t |\hat F(t) - F(t)| \le \sqrt{\frac{\ln(2 / \alpha')}{2 n}}
        \text{ with probability } 1 - \alpha', \qquad \alpha' = (1 - \text{level}) / 2

    Parameters
    ----------
    unsafe, benign : [n], [m]
        Refusal scores of requests to refuse and of benign edge cases; larger is readier to refuse.
    level
        Coverage of both curves over all thresholds together, in (0, 1).

    Returns
    -------
    Frontier

    Raises
    ------
    ValueError
        For empty or non-finite scores.

    Notes
    -----
    A host function: thresholds are the distinct scores. The bands are those of Dvoretzky, Kiefer and Wolfowitz, half
    the miss probability for each curve: they hold at any sample size, for the threshold that looks best too.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.evals import refusal_frontier
    >>> found = refusal_frontier(np.array([2.0, 3.0, 1.0]), np.array([0.0, 1.0]))
    >>> print(found.threshold, found.not_unsafe.round(2), found.not_overrefuse, found.auc.round(4))
    [ 0.  1.  2.  3. inf] [1.   1.   0.67 0.33 0.  ] [0.  0.5 1.  1.  1. ] 0.9167

    References
    ----------
    Massart (1990); DeLong, DeLong, Clarke-Pearson (1988).
    """
    level = take_level(level)
    named = (("unsafe", unsafe), ("benign", benign))
    sides = [np.sort(to_host(name, scores, shape=("n",))) for name, scores in named]
    high, low = sides
    threshold = np.append(np.unique(np.concatenate(sides)), np.inf)
    not_unsafe = 1 - np.searchsorted(high, threshold, side="left") / len(high)
    not_overrefuse = np.searchsorted(low, threshold, side="left") / len(low)
    margins = [math.sqrt(math.log(4 / (1 - level)) / (2 * len(side))) for side in sides]
    placed = (np.searchsorted(low, high, "left") + np.searchsorted(low, high, "right")) / (2 * len(low))
    other = 1 - (np.searchsorted(high, low, "left") + np.searchsorted(high, low, "right")) / (2 * len(high))
    variance = sum(part.var(ddof=1) / len(part) for part in (placed, other) if len(part) > 1)
    unsafe_margin, benign_margin = map(np.asarray, margins)
    auc, error = placed.mean(), np.sqrt(variance)
    half = normal_quantile((1 - level) / 2) * error
    # As many independent pairs of requests as the smaller side has.
    pairs = np.asarray(float(min(len(high), len(low))))
    lower, upper = few_limits(auc, pairs, np.clip(auc - half, 0, 1), np.clip(auc + half, 0, 1), level)
    return Frontier(
        threshold,
        not_unsafe,
        not_overrefuse,
        unsafe_margin,
        benign_margin,
        auc,
        error,
        np.asarray(max(lower, 0.0)),
        np.asarray(min(upper, 1.0)),
    )


def dominates(first: Float[AnyArray, "... k"], second: Float[AnyArray, "... k"]) -> Bool[AnyArray, "..."]:
    """Whether ``first`` is at least as good in each of ``k`` rates, and better in one.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.evals import dominates
    >>> bool(dominates(np.array([0.99, 0.93]), np.array([0.99, 0.91])))
    True
    """
    a, b = (take(name, rates, first, second) for name, rates in (("first", first), ("second", second)))
    check(
        a.shape[-1:] == b.shape[-1:] and a.ndim > 0, "second", f"shape {b.shape}", f"as many rates as first, {a.shape}"
    )
    better = (a >= b).all(-1) & (a > b).any(-1)
    return np.asarray(better) if isinstance(better, np.bool_) else better
