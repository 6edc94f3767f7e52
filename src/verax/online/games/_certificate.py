"""A proof of a lower bound in a finite game, checked in exact rational arithmetic."""

import dataclasses
from fractions import Fraction

import numpy as np

from verax._errors import check
from verax._results import result
from verax.online._exact import rounded_down, slack_of


@result()
@dataclasses.dataclass(frozen=True)
class GameCertificate:
    r"""Weights of instances that prove a lower bound on the consistency of every policy of a given robustness.

    .. math:: \beta \ge \min_a \sum_x (u_x + v_x) \frac{C_{xa}}{o_x} - \gamma \sum_x v_x

    Attributes
    ----------
    cost : float64 [x, a]
    opt : float64 [x]
        The game.
    robustness
        ``gamma``.
    predicted : float64 [x]
        ``u``, a distribution over the instances that the prediction allows.
    weights : float64 [x]
        ``v >= 0``.
    bound
        The claim.
    """

    cost: np.ndarray
    opt: np.ndarray
    robustness: float
    predicted: np.ndarray
    weights: np.ndarray
    bound: float

    def verify(self) -> float:
        """Return by how much the weights prove more than the claim, at least 0; raise if they do not prove it.

        Returns
        -------
        float

        Raises
        ------
        ValueError
            For negative or non-finite weights, or a claim above what they prove.
        """
        sound = all(bool(np.isfinite(w).all() and (w >= 0).all()) for w in (self.predicted, self.weights))
        check(sound, "certificate", "a negative or non-finite weight", "weights that are finite and not negative")
        check(float(self.predicted.sum()) > 0, "certificate", "no weight on the prediction", "a distribution")
        return slack_of(self.bound, _proven(self))


def certify(
    cost: np.ndarray, opt: np.ndarray, robustness: float, predicted: np.ndarray, weights: np.ndarray
) -> GameCertificate:
    """Build the certificate whose bound is what the weights prove, rounded down."""
    draft = GameCertificate(
        cost.astype(np.float64), opt.astype(np.float64), robustness, predicted, np.maximum(weights, 0), 0.0
    )
    return dataclasses.replace(draft, bound=rounded_down(_proven(draft)))


def _proven(certificate: GameCertificate) -> Fraction:
    total = sum(map(Fraction, certificate.predicted.tolist()))
    v = [Fraction(weight) for weight in certificate.weights.tolist()]
    both = [
        (Fraction(u) / total + weight) / Fraction(opt)
        for u, weight, opt in zip(certificate.predicted.tolist(), v, certificate.opt.tolist(), strict=True)
    ]
    costs = (
        sum(weight * Fraction(entry) for weight, entry in zip(both, column, strict=True) if weight)
        for column in certificate.cost.T.tolist()
    )
    return min(costs) - Fraction(certificate.robustness) * sum(v)
