"""A proof of the lower bound on consistency, and its verifier in exact rational arithmetic."""

import dataclasses
import math
from fractions import Fraction

import numpy as np

from verax._errors import check
from verax._results import result
from verax.online._arguments import check_buy_cost
from verax.online._exact import rounded_down, slack_of

from ._frontier import minimum_robustness


@result()
@dataclasses.dataclass(frozen=True)
class Certificate:
    """A distribution over seasons against which no policy of the given robustness does better than ``bound``.

    Attributes
    ----------
    buy_cost
        Price ``b`` in days of rent.
    robustness
        ``gamma``, the robustness that policies are held to.
    weights : float64 [k]
        Weight ``v_x >= 0`` of a season of ``x = 1..k`` days; the endless season has weight 1.
    bound
        The consistency that is claimed to be unavoidable.
    """

    buy_cost: int
    robustness: float
    weights: np.ndarray
    bound: float


def lower_bound_certificate(robustness: float, buy_cost: int) -> Certificate:
    r"""Prove that no policy of this robustness is more consistent than :func:`consistency_lower_bound`.

    .. math:: v_x = \frac{q^{k - x}}{b - 1}, \quad x = 1..k, \qquad q = \frac{b}{b - 1}

    By weak duality any ``v >= 0`` proves ``beta >= (min_j L_j - gamma sum_x v_x min(x, b)) / b``, where ``L_j`` is the
    weighted cost of buying at the start of day ``j``; these weights attain the optimum.

    Parameters
    ----------
    robustness
        ``gamma``, at least :func:`minimum_robustness`.
    buy_cost
        Price ``b`` in days of rent.

    Returns
    -------
    Certificate
        Its ``bound`` is what the weights prove in exact arithmetic, rounded down.

    Raises
    ------
    ValueError
        For a robustness that no policy attains; the message gives the least there is.

    Notes
    -----
    O(b) rational operations.

    Examples
    --------
    >>> from verax.online.ski_rental import lower_bound_certificate, verify
    >>> certificate = lower_bound_certificate(2.0, 5)
    >>> round(certificate.bound, 9), verify(certificate) >= 0
    (1.246875, True)

    References
    ----------
    Wei, Zhang (2020), Optimal robustness-consistency trade-offs for learning-augmented online algorithms.
    """
    buy_cost, gamma = check_buy_cost(buy_cost), float(robustness)
    least = minimum_robustness(buy_cost)
    attained = math.isfinite(gamma) and gamma >= least * (1 - 1e-15)
    check(
        attained, "robustness", robustness, f"a finite number of at least {least:.17g}, the smallest that is attained"
    )
    if buy_cost == 1:
        weights = np.zeros(0)
    else:
        growth = -math.log1p(-1 / buy_cost)
        steps = min(buy_cost, math.floor(-math.log1p(-1 / gamma) / growth)) if gamma > 1 else buy_cost
        weights = np.exp(growth * (steps - np.arange(1, steps + 1))) / (buy_cost - 1)
    return Certificate(buy_cost, gamma, weights, rounded_down(_proven(buy_cost, gamma, weights)))


def verify(certificate: Certificate) -> float:
    r"""Check a certificate in exact rational arithmetic, trusting nothing that built it.

    Parameters
    ----------
    certificate
        From :func:`lower_bound_certificate`, a file, or another source.

    Returns
    -------
    float
        By how much the weights prove more than the bound claims, rounded to nearest; at least 0.

    Raises
    ------
    ValueError
        If the certificate proves nothing: a negative or non-finite weight, a price or robustness out of range, or a
        claim above what the weights prove.

    Notes
    -----
    Every float is a fraction with a power of two below; sums of them are exact.

    Examples
    --------
    >>> from verax.online.ski_rental import lower_bound_certificate, verify
    >>> import dataclasses
    >>> claim = dataclasses.replace(lower_bound_certificate(2.0, 5), bound=1.3)
    >>> verify(claim)
    Traceback (most recent call last):
    ValueError: certificate: got a bound of 1.3; need at most 1.246875, which is what its weights prove
    """
    buy_cost = check_buy_cost(certificate.buy_cost)
    weights = np.asarray(certificate.weights, np.float64)
    gamma, bound = float(certificate.robustness), float(certificate.bound)
    check(weights.ndim == 1, "certificate", f"weights of shape {weights.shape}", "weights [k]")
    sound = bool(np.isfinite(weights).all() and (weights >= 0).all())
    check(sound, "certificate", "a negative or non-finite weight", "weights that are finite and not negative")
    sane = math.isfinite(gamma) and gamma >= 1
    check(sane, "certificate", f"robustness {gamma}", "a finite number, at least 1")
    return slack_of(bound, _proven(buy_cost, gamma, weights))


def _proven(buy_cost: int, robustness: float, weights: np.ndarray) -> Fraction:
    """The bound that the weights prove. Buying later than a day beyond the last weight only costs more rent."""
    v = [Fraction(weight) for weight in weights.tolist()]
    total, before = (
        sum(v, Fraction(0)),
        Fraction(0),
    )  # weight of the seasons from day j on; rent of those that end before
    least = None
    for day in range(1, len(v) + 2):
        cost = (total + 1) * (buy_cost + day - 1) + before
        least = cost if least is None else min(least, cost)
        if day <= len(v):
            total -= v[day - 1]
            before += v[day - 1] * day
    assert least is not None
    opt = sum((weight * min(day, buy_cost) for day, weight in enumerate(v, start=1)), Fraction(0))
    return (least - Fraction(robustness) * opt) / buy_cost
