"""Results of influence functions, and their statuses."""

import enum
from typing import NamedTuple

import numpy as np

from verax._errors import check_integer, fail
from verax._results import raise_if_failed, result


class Status(enum.IntEnum):
    """Status of a result.

    OK: complete. NON_FINITE: some scores are not finite, because a gradient or a loss is not. UNDEFINED: some rank
    correlations do not exist, because a row of scores or of retrained measures is constant; they are left out of the
    mean.
    """

    OK = 0
    NON_FINITE = 1
    UNDEFINED = 2


_SENTENCES = {
    Status.NON_FINITE: "some scores are not finite: a gradient of a training or a test example overflows or is NaN",
    Status.UNDEFINED: "a rank correlation is undefined: the scores or the measures of a test example are constant",
}


@result(_SENTENCES)
class Influence(NamedTuple):
    """Effect of every training example, or group of examples, on every test example.

    A positive score is helpful: without the example the loss on the test example is higher, or the measure lower.

    Attributes
    ----------
    scores : [n_test, n] or [n_test, G]
        One column per training example, or per group.
    standard_error : [n_test, n] or []
        Standard error over independently trained models; 0 for exact results, NaN with a single model.
    status : int
        `Status`.
    prediction_change : [n_test, G, C], [n_test, G] or None
        Prediction without the group minus the prediction with it (exact influence only).
    groups : [G] or None
        Names of the columns; None for one column per example.
    ridge : float or None
        Regularisation that the scores used.
    """

    scores: np.ndarray
    standard_error: np.ndarray
    status: np.ndarray
    prediction_change: np.ndarray | None = None
    groups: np.ndarray | None = None
    ridge: float | None = None

    raise_if_failed = raise_if_failed


@result(_SENTENCES)
class Estimate(NamedTuple):
    """A rank correlation with its interval.

    Attributes
    ----------
    value, standard_error, lower, upper : float
        Mean over test examples.
    per_example : [n_test]
        Rank correlation over subsets for each test example; NaN where it does not exist.
    status : int
        `Status`.
    """

    value: float
    standard_error: float
    lower: float
    upper: float
    per_example: np.ndarray
    status: np.ndarray

    raise_if_failed = raise_if_failed


@result()
class Ranking(NamedTuple):
    """The most influential training examples of each test example.

    Attributes
    ----------
    helpful, harmful : int [n_test, k]
        Columns with the largest scores, largest first, and with the smallest scores, smallest first.
    helpful_scores, harmful_scores : [n_test, k]
        Their scores.
    """

    helpful: np.ndarray
    harmful: np.ndarray
    helpful_scores: np.ndarray
    harmful_scores: np.ndarray


def top(influence: Influence, k: int) -> Ranking:
    """The k most helpful and the k most harmful columns for each test example.

    Parameters
    ----------
    influence : Influence
        Scores ``[n_test, n]``.
    k : int
        Number of columns of each kind, at most n.

    Returns
    -------
    Ranking
        Ties keep the order of the columns.

    Raises
    ------
    ValueError
        For ``k`` outside 1 to n, and for non-finite scores.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.influence import Influence, top
    >>> scores = np.array([[0.2, -0.5, 0.9, 0.1]])
    >>> best = top(Influence(scores, np.zeros(()), np.array(0)), 2)
    >>> best.helpful.tolist(), best.harmful.tolist()
    ([[2, 0]], [[1, 3]])
    """
    if not isinstance(influence, Influence):
        fail("influence", type(influence).__name__, "an Influence")
    scores = np.asarray(influence.scores)
    check_integer("k", k, minimum=1)
    if k > scores.shape[1]:
        fail("k", k, f"at most {scores.shape[1]}, the number of columns")
    if not np.isfinite(scores).all():
        fail("influence", f"{int((~np.isfinite(scores)).sum())} non-finite scores", "finite scores")
    order = np.argsort(-scores, axis=1, kind="stable")
    helpful = order[:, :k]
    harmful = np.argsort(scores, axis=1, kind="stable")[:, :k]
    taken = np.take_along_axis
    return Ranking(helpful, harmful, taken(scores, helpful, 1), taken(scores, harmful, 1))
