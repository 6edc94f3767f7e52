"""The result of every statistic of this package: an estimate with limits and a status."""

import enum
from typing import NamedTuple

from jaxtyping import Float, Int

from verax._results import raise_if_failed, result
from verax._types import AnyArray


class Status(enum.IntEnum):
    """Condition of one estimate."""

    OK = 0
    NO_VERDICT = 1
    """No unit has a verdict: the estimate is NaN and the limits are 0 and 1."""
    ONE_UNIT = 2
    """A single prompt or cluster says nothing about the variation between them: the limits are 0 and 1."""
    LOWER_ONLY = 3
    """One sample per cell bounds goodness from below only: the upper bound is 1."""
    NOT_IDENTIFIED = 4
    """The judge is no better than chance, or calls fewer responses BAD than its own false-positive rate."""
    NOT_CONVERGED = 5
    """An iterative fit has stopped before its gradient vanished."""
    SEPARATED = 6
    """One side always wins: its strength has no finite estimate."""
    TOTALS_ONLY = 7
    """Only totals over outputs are known: the limits take outputs for independent, and are too narrow where several
    outputs belong to one prompt."""
    TOO_FEW = 8
    """Fewer reference units than the false-positive rate needs: nothing is flagged."""


SENTENCES = {
    Status.NO_VERDICT: "no prompt has a verdict",
    Status.ONE_UNIT: "one prompt or cluster says nothing about the variation between them: more of them are needed",
    Status.LOWER_ONLY: "one sample per cell bounds goodness from below only",
    Status.NOT_IDENTIFIED: "the judge is no better than chance, or calls fewer responses BAD than its own error rate",
    Status.NOT_CONVERGED: "the fit has not converged: more data or samples are needed",
    Status.SEPARATED: "some side always wins or never does, so that its strength has no finite estimate",
    Status.TOO_FEW: "fewer reference units than the false-positive rate needs, so that nothing is flagged",
    Status.TOTALS_ONLY: "only totals over outputs are known, so that the limits may be too narrow",
}


@result(SENTENCES)
class Interval(NamedTuple):
    """An estimate and its limits, often one per model and attack.

    Attributes
    ----------
    estimate
        NaN where there is nothing to estimate it from, as ``status`` tells.
    lower, upper
        Limits of the requested level, for proportions within [0, 1].
    standard_error
        Standard error of the estimate.
    num_units
        Number of independent units: prompts, or clusters of them.
    status
        A :class:`Status`.
    """

    estimate: Float[AnyArray, "..."]
    lower: Float[AnyArray, "..."]
    upper: Float[AnyArray, "..."]
    standard_error: Float[AnyArray, "..."]
    num_units: Int[AnyArray, "..."]
    status: Int[AnyArray, "..."]

    raise_if_failed = raise_if_failed
