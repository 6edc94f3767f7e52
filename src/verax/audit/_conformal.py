"""Conformal p-values against benign jobs, and their combination."""

from typing import Any

import numpy as np
import scipy.stats
from jaxtyping import Float

from verax._arrays import to_host
from verax._errors import check, check_option
from verax._types import AnyArray


def conformal_p_value(scores: Float[AnyArray, " n"], reference: Float[AnyArray, " m"]) -> Float[np.ndarray, " n"]:
    r"""Return the rank of each score among those of benign jobs.

    .. math:: p = \frac{1 + \#\{j : r_j \ge s\}}{m + 1}.

    If a benign job is exchangeable with the reference jobs, ``P(p <= a) <= a`` for every ``a``, whatever the score.

    Parameters
    ----------
    scores
        [n], larger is more suspicious; -inf or NaN where nothing was determined.
    reference
        [m], scores of jobs that are known to be benign and were used for nothing else; -inf or NaN for those of them
        that were left undetermined.

    Returns
    -------
    p_value
        float64 [n], at least ``1 / (m + 1)``; 1 where nothing was determined.

    Raises
    ------
    ValueError
        For no reference, other ranks, or values of +inf.

    Notes
    -----
    An undetermined job ranks below all determined ones, in the reference as among the new: the bound holds for the rate
    at which benign jobs are flagged, undetermined ones included.

    Examples
    --------
    >>> import numpy as np
    >>> conformal_p_value(np.array([0.9, 0.1]), np.array([0.0, 0.1, 0.2]))
    array([0.25, 0.75])
    """
    scores, reference = to_scores("scores", scores), to_scores("reference", reference)
    below = np.searchsorted(np.sort(reference), scores, side="left")
    return (1 + reference.size - below) / (reference.size + 1)


def to_scores(argument: str, scores: Any) -> np.ndarray:
    """Return scores of jobs as float64 [n], -inf where nothing was determined."""
    values = to_host(argument, scores, shape=("n",), finite=False)
    values = np.where(np.isnan(values), -np.inf, values)
    check(not bool((values == np.inf).any()), argument, "+inf", "numbers, and -inf or NaN where nothing was determined")
    return values


def combine_p_values(p_values: Float[AnyArray, "k *b"], *, method: str = "fisher") -> Float[np.ndarray, "*b"]:
    r"""Combine the p-values of ``k`` detectors into one.

    ``"fisher"``: :math:`P(\chi^2_{2k} \ge -2 \sum_i \ln p_i)`, valid for independent detectors only.
    ``"e_merge"``: each p-value becomes the e-value :math:`\tfrac12 p^{-1/2}`; their mean is an e-value under any
    dependence, and :math:`\min(1, 1 / \bar e)` is a p-value. Detectors that look at the same job depend on each other.

    Parameters
    ----------
    p_values
        [k, ...] in (0, 1].
    method
        ``"fisher"`` or ``"e_merge"``.

    Returns
    -------
    p_value
        float64 [...].

    Raises
    ------
    ValueError
        For values outside (0, 1], or another method.

    References
    ----------
    V. Vovk, R. Wang, E-values: calibration, combination and applications, Annals of Statistics 49 (2021).

    Examples
    --------
    >>> import numpy as np
    >>> p_values = np.array([0.01, 0.04])
    >>> print(combine_p_values(p_values).round(5), combine_p_values(p_values, method="e_merge").round(3))
    0.00353 0.267
    """
    check_option("method", method, ("fisher", "e_merge"))
    p = to_host("p_values", p_values, within="(0, 1]")
    check(p.ndim > 0, "p_values", "shape ()", "at least one detector on the first axis")
    if method == "fisher":
        return np.asarray(scipy.stats.chi2.sf(-2 * np.log(p).sum(axis=0), 2 * len(p)))
    return np.asarray(np.minimum(1.0, 1.0 / (0.5 * p**-0.5).mean(axis=0)))
