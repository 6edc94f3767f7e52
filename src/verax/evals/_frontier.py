"""Refusing what should be refused against complying with what should not: all thresholds at once."""

import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from verax._errors import check, check_finite, is_traced
from verax._types import AnyArray

from ._units import check_level


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
    """

    threshold: Float[AnyArray, "t"]
    not_unsafe: Float[AnyArray, "t"]
    not_overrefuse: Float[AnyArray, "t"]
    margin_unsafe: Float[AnyArray, ""]
    margin_overrefuse: Float[AnyArray, ""]
    auc: Float[AnyArray, ""]
    auc_standard_error: Float[AnyArray, ""]


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
    check_level(level)
    sides = []
    for name, scores in (("unsafe", unsafe), ("benign", benign)):
        check(not is_traced(scores), name, "a traced value", "concrete scores: thresholds are those that occur")
        values = np.asarray(scores, np.float64)
        check(values.ndim == 1 and values.size > 0, name, f"shape {values.shape}", "scores [n], at least one")
        check_finite(name, values)
        sides.append(np.sort(values))
    high, low = sides
    threshold = np.append(np.unique(np.concatenate(sides)), np.inf)
    not_unsafe = 1 - np.searchsorted(high, threshold, side="left") / len(high)
    not_overrefuse = np.searchsorted(low, threshold, side="left") / len(low)
    margins = [math.sqrt(math.log(4 / (1 - level)) / (2 * len(side))) for side in sides]
    placed = (np.searchsorted(low, high, "left") + np.searchsorted(low, high, "right")) / (2 * len(low))
    other = 1 - (np.searchsorted(high, low, "left") + np.searchsorted(high, low, "right")) / (2 * len(high))
    variance = sum(part.var(ddof=1) / len(part) for part in (placed, other) if len(part) > 1)
    unsafe_margin, benign_margin = map(np.asarray, margins)
    return Frontier(
        threshold, not_unsafe, not_overrefuse, unsafe_margin, benign_margin, placed.mean(), np.sqrt(variance)
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
    a, b = jnp.asarray(first), jnp.asarray(second)
    check(a.shape[-1:] == b.shape[-1:] and a.ndim > 0, "second", f"shape {b.shape}", f"as many rates as {a.shape}")
    return (a >= b).all(-1) & (a > b).any(-1)
