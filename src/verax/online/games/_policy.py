"""Guarantees of a user's own policy in a finite game, in exact rational arithmetic."""

import dataclasses
import math
from fractions import Fraction

import numpy as np

from verax._errors import check, fail
from verax._results import result
from verax.online._exact import rounded_down

from ._certificate import GameCertificate


@result()
@dataclasses.dataclass(frozen=True)
class PolicyCertificate:
    r"""Robustness and consistency of a policy, the instances that attain them, and how far from optimal it is.

    .. math:: \gamma(p) = \max_x \frac{(C p)_x}{o_x}, \qquad \beta(p) = \max_r \sum_x s_{rx} \frac{(C p)_x}{o_x}

    Attributes
    ----------
    robustness
        ``gamma(p)``, rounded up: no instance exceeds it.
    worst_instance
        Index of an instance that attains it.
    consistency
        ``beta(p)``, rounded up.
    worst_predicted
        Index of an instance among the predicted ones that attains it; None for a distribution.
    bound
        No policy of this robustness has a smaller consistency; proved by ``proof``.
    gap
        ``consistency - bound``: zero, up to rounding, on the frontier of the game.
    policy : float64 [a]
        The policy.
    selection : float64 [r, x]
        ``s``: the distributions over instances that the prediction stands for.
    proof
        Weights of instances that prove ``bound``; it holds the game as well.
    """

    robustness: float
    worst_instance: int
    consistency: float
    worst_predicted: int | None
    bound: float
    gap: float
    policy: np.ndarray
    selection: np.ndarray
    proof: GameCertificate

    def verify(self) -> float:
        """Check every claim from the matrix alone, in rational arithmetic.

        Returns
        -------
        float
            By how much ``proof`` proves more than ``bound``, at least 0.

        Raises
        ------
        ValueError
            Naming the claim that does not hold.
        """
        proof = self.proof
        read_policy(self.policy, proof.cost.shape[1])
        negative = bool((self.selection < 0).any())
        check(not negative, "certificate.selection", "a negative weight", "distributions over instances")
        ratios = _ratios(proof.cost, proof.opt, self.policy)
        predicted = _means(self.selection, ratios)
        for name, claim, values, index in (
            ("robustness", self.robustness, ratios, self.worst_instance),
            ("consistency", self.consistency, predicted, None),
        ):
            largest = max(values)
            if claim != _rounded_up(largest):
                fail(f"certificate.{name}", claim, f"{_rounded_up(largest)}, the largest ratio rounded up")
            attained = index is None or (0 <= index < len(values) and values[index] == largest)
            check(attained, "certificate.worst_instance", index, f"an instance of ratio {float(largest)}")
        if self.worst_predicted is not None:
            at, largest = self.worst_predicted, max(predicted)
            inside = 0 <= at < len(ratios) and bool(self.selection[:, at].any()) and ratios[at] == largest
            check(inside, "certificate.worst_predicted", at, f"a predicted instance of ratio {float(largest)}")
        check(_is_mixture(proof.predicted, self.selection), "certificate.proof", "other instances", "those predicted")
        same = proof.robustness == self.robustness and proof.bound == self.bound
        check(same, "certificate.bound", self.bound, f"{proof.bound}, which its proof is about")
        return proof.verify()


def read_policy(policy: np.ndarray, plans: int) -> np.ndarray:
    """Return a distribution over plans in float64."""
    check(policy.shape == (plans,), "policy", f"shape {policy.shape}", f"a probability per plan, ({plans},)")
    least, total = float(policy.min()), float(policy.sum())
    check(least >= 0, "policy", f"a probability of {least:.3g}", "probabilities >= 0")
    check(abs(total - 1) <= 1e-5, "policy", f"a sum of {total:.7g}", "probabilities that sum to 1")
    return policy


def measure(cost: np.ndarray, opt: np.ndarray, policy: np.ndarray, selection: np.ndarray) -> tuple[float, int, float]:
    """Robustness, a worst instance and consistency, exact but for the last rounding up."""
    ratios = _ratios(cost, opt, policy)
    largest = max(ratios)
    return _rounded_up(largest), ratios.index(largest), _rounded_up(max(_means(selection, ratios)))


def worst_of_points(cost: np.ndarray, opt: np.ndarray, policy: np.ndarray, selection: np.ndarray) -> int | None:
    """Worst predicted instance, where every row of the selection is a single instance."""
    if not bool(((selection > 0).sum(1) == 1).all()):
        return None
    points = selection.argmax(1).tolist()
    ratios = _ratios(cost[points], opt[points], policy)
    return points[ratios.index(max(ratios))]


def _ratios(cost: np.ndarray, opt: np.ndarray, policy: np.ndarray) -> list[Fraction]:
    used = np.flatnonzero(policy)
    weights = [Fraction(weight) for weight in policy[used].tolist()]
    total = sum(weights)
    return [
        sum((w * Fraction(c) for w, c in zip(weights, row, strict=True)), Fraction(0)) / (total * Fraction(optimum))
        for row, optimum in zip(cost[:, used].tolist(), opt.tolist(), strict=True)
    ]


def _means(selection: np.ndarray, ratios: list[Fraction]) -> list[Fraction]:
    means = []
    for row in selection.tolist():
        support = [(Fraction(weight), ratio) for weight, ratio in zip(row, ratios, strict=True) if weight]
        means.append(sum((w * r for w, r in support), Fraction(0)) / sum(w for w, _ in support))
    return means


def _rounded_up(value: Fraction) -> float:
    return -rounded_down(-value)


def _is_mixture(weights: np.ndarray, selection: np.ndarray) -> bool:
    """Whether weights are a multiple of one distribution, or lie on the points that several stand for."""
    if len(selection) > 1:
        return not bool(weights[~selection.any(0)].any())
    own = selection[0].tolist()
    total, given = sum(map(Fraction, own)), weights.tolist()
    if not all(math.isfinite(weight) for weight in given):
        return False
    scale = sum(map(Fraction, given))
    return all(Fraction(x) * total == Fraction(y) * scale for x, y in zip(given, own, strict=True))
