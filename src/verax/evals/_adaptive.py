"""A rate over a bank of items from few of them, chosen by earlier models' scores, with limits valid at any stop."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jax import Array
from jaxtyping import Float, Int

from verax import _special as special
from verax._arrays import to_host, to_number
from verax._errors import check
from verax._numpy_random import numpy_generator
from verax._results import result
from verax._types import AnyArray

from ._numeric import need_key, take_count, take_level

_GRID = 1001
_BOLDEST = 0.75  # share of the wealth that a bet may risk
_REFIT = 10  # answers between updates of the skill


@result()
class AdaptiveRate(NamedTuple):
    """Estimates after each answer.

    Attributes
    ----------
    estimate, lower, upper : [t]
        Mean score over the whole bank. All limits hold at once with probability ``level``, so that any rule may decide
        when to stop.
    items : [t]
        Items that were asked, with repetitions.
    scores : [t]
        Their scores.
    skill : scalar
        Difference of this model's skill from the earlier ones', in logits, as far as it was learned.
    """

    estimate: Float[AnyArray, "t"]
    lower: Float[AnyArray, "t"]
    upper: Float[AnyArray, "t"]
    items: Int[AnyArray, "t"]
    scores: Float[AnyArray, "t"]
    skill: Float[AnyArray, ""]


def adaptive_rate(
    score_fn: Callable[[int], float],
    predicted: Any,
    *,
    budget: int,
    width: float | None = None,
    level: float = 0.95,
    exploration: float = 0.2,
    key: Array | None = None,
) -> AdaptiveRate:
    r"""Mean score over a bank of items, asking those whose answers earlier models leave open.

    Item :math:`i` is drawn with probability :math:`\pi_i`, and with predictions :math:`q_i` for this model

    .. math:: X_t = \frac1N \sum_j q_j + \frac{y_{i_t} - q_{i_t}}{N \pi_{i_t}}, \qquad
        \pi_i \propto (1 - \rho) \sqrt{q_i (1 - q_i)} + \rho\,\text{uniform}

    has the bank's mean as its expectation given the past, however wrong the predictions are. Good predictions make it
    vary little. A mean :math:`m` stays within the limits as long as the capital of two bets against it, that
    :math:`X_t` is larger and that it is smaller, is below :math:`1/\alpha`.

    Parameters
    ----------
    score_fn
        Asks the model one item, given by its index, and returns the score of its answer, in [0, 1].
    predicted : [N] or [model, N]
        Scores of the items in [0, 1]: those of earlier models, or their means.
    budget
        Largest number of answers.
    width
        Stop as soon as ``upper - lower`` is at most this.
    level
        Coverage of all limits together, in (0, 1).
    exploration
        :math:`\rho` in (0, 1]: 1 draws uniformly.
    key
        A ``jax.random.key``.

    Returns
    -------
    AdaptiveRate

    Raises
    ------
    ValueError
        For predictions or scores outside [0, 1].

    Notes
    -----
    The skill of the new model is learned on the way, as a common shift of the predictions' logits. An item that is
    drawn again is asked again; cache answers in ``score_fn`` where they are deterministic.

    Examples
    --------
    >>> import jax, numpy as np
    >>> from verax.evals import adaptive_rate
    >>> rng = np.random.default_rng(1)
    >>> chance = rng.beta(0.3, 0.3, 2000)  # items that most models solve, or most do not
    >>> answers = rng.random(2000) < chance
    >>> found = adaptive_rate(lambda i: answers[i], chance, budget=2000, width=0.1, key=jax.random.key(1))
    >>> bool(found.lower[-1] < answers.mean() < found.upper[-1]), len(found.items) < 500
    (True, True)

    References
    ----------
    Waudby-Smith and Ramdas (2024), Estimating means of bounded random variables by betting; Horvitz, Thompson (1952).
    """
    level, budget = take_level(level), take_count("budget", budget)
    rho = to_number("exploration", exploration, "(0, 1]")
    width = None if width is None else to_number("width", width, "(0, 1]")
    prior = to_host("predicted", predicted, shape=[("item",), ("model", "item")], within="[0, 1]")
    check(callable(score_fn), "score_fn", type(score_fn).__name__, "a function of an item's index")
    num_models = len(prior) if prior.ndim == 2 else 10
    prior = prior.mean(0) if prior.ndim == 2 else prior
    rng, num = numpy_generator(need_key(key, "to draw items")), len(prior)
    logit = special.logit((prior * num_models + 0.5) / (num_models + 1))  # no item is certain
    bets, skill = _Bets(level), 0.0
    items: list[int] = []
    scores: list[float] = []
    limits: list[tuple[float, float, float]] = []
    guess, chance = _design(logit, skill, rho)
    for step in range(budget):
        item = int(rng.choice(num, p=chance))
        score = to_number("score_fn(item)", float(score_fn(item)), "[0, 1]")
        items.append(item)
        scores.append(score)
        value = guess.mean() + (score - guess[item]) / (num * chance[item])
        limits.append(bets.update(value, _reach(guess, chance)))
        if width is not None and limits[-1][2] - limits[-1][1] <= width:
            break
        if step % _REFIT == _REFIT - 1:
            skill = _fit_skill(logit[items], np.array(scores))
            guess, chance = _design(logit, skill, rho)
    estimate, lower, upper = np.array(limits).T
    return AdaptiveRate(estimate, lower, upper, np.array(items), np.array(scores), np.asarray(skill))


def _design(logit: np.ndarray, skill: float, rho: float) -> tuple[np.ndarray, np.ndarray]:
    """Predictions for this model, and the probabilities to draw each item with."""
    guess = special.expit(logit + skill)
    spread = np.sqrt(guess * (1 - guess))
    return guess, (1 - rho) * spread / spread.sum() + rho / len(guess)


def _reach(guess: np.ndarray, chance: np.ndarray) -> float:
    """Largest distance of a value from a mean in [0, 1], before the item is drawn."""
    weight, centre = 1 / (len(guess) * chance), guess.mean()
    above, below = (weight * (1 - guess)).max(), (weight * guess).max()
    return float(max(centre + above, 1 - centre + below))


def _fit_skill(logit: np.ndarray, scores: np.ndarray) -> float:
    """The shift of maximum likelihood, with a standard normal prior; Newton's method."""
    skill = 0.0
    for _ in range(8):
        chance = special.expit(logit + skill)
        slope = (scores - chance).sum() - skill
        skill += float(np.clip(slope / ((chance * (1 - chance)).sum() + 1), -1, 1))
    return skill


class _Bets:
    """Capital of bets against each of a grid of means."""

    def __init__(self, level: float):
        self.means = np.linspace(0, 1, _GRID)
        self.logs = np.zeros((2, _GRID))  # of the capital of bets on more and on less
        self.threshold = math.log(2 / (1 - level))
        self.sum, self.squares, self.number = 0.0, 0.0, 0
        self.lower, self.upper = 0.0, 1.0

    def update(self, value: float, reach: float) -> tuple[float, float, float]:
        """Bet on the value by what was seen before it, and return estimate and limits."""
        variance = (0.25 + self.squares) / (1 + self.number)
        step = self.number + 1
        bold = math.sqrt(2 * self.threshold / (variance * step * math.log(1 + step)))
        stake = min(bold, _BOLDEST / reach)
        self.logs[0] += np.log1p(stake * (value - self.means))
        self.logs[1] += np.log1p(-stake * (value - self.means))
        self.number += 1
        self.sum += value
        estimate = self.sum / self.number
        self.squares += (value - estimate) ** 2
        stays = self.means[self.logs.max(0) < self.threshold]
        if len(stays):
            # One step of the grid outwards, since means between two of it are not tried.
            self.lower = max(self.lower, float(stays[0]) - 1 / (_GRID - 1))
            self.upper = min(self.upper, float(stays[-1]) + 1 / (_GRID - 1))
        return min(max(estimate, self.lower), self.upper), self.lower, self.upper
