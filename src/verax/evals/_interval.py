"""What every statistic of this room returns: an estimate with limits and a status."""

import enum
from typing import NamedTuple

from jaxtyping import Float, Int

from verax._types import AnyArray


class Status(enum.IntEnum):
    """What became of one estimate."""

    OK = 0
    NO_VERDICT = 1
    """No unit has a verdict: the estimate is NaN and the limits are 0 and 1."""
    ONE_UNIT = 2
    """A single prompt or cluster says nothing of the variation between them: the limits are 0 and 1."""
    LOWER_ONLY = 3
    """One sample a cell bounds goodness from below only: the upper bound is 1."""
    NOT_IDENTIFIED = 4
    """The judge is no better than chance, or reads less than its own false-positive rate."""
    NOT_CONVERGED = 5
    """An iterative fit has stopped before its gradient vanished."""
    SEPARATED = 6
    """One side always wins: its strength has no finite estimate."""


class Interval(NamedTuple):
    """An estimate and its limits, often one a model and attack.

    Attributes
    ----------
    estimate
        NaN where there is nothing to estimate it from, which ``status`` says.
    lower, upper
        Limits of the named level, for proportions within [0, 1].
    standard_error
        Of the estimate.
    num_units
        Independent units that it rests on: prompts, or clusters of them.
    status
        A :class:`Status`.
    """

    estimate: Float[AnyArray, "..."]
    lower: Float[AnyArray, "..."]
    upper: Float[AnyArray, "..."]
    standard_error: Float[AnyArray, "..."]
    num_units: Int[AnyArray, "..."]
    status: Int[AnyArray, "..."]
