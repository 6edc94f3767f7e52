"""Status codes of this room."""

import enum


class Status(enum.IntEnum):
    """What became of one problem."""

    OK = 0
    INFEASIBLE = 1
    """No perfect matching of the smaller side avoids the forbidden pairs."""
    NON_FINITE = 2
    """The weights hold NaN, an infinity that does not mean "forbidden", or a number so large that prices overflow."""
    ITERATION_LIMIT = 3
    """The pure-JAX solver ran out of steps; never seen, but its loop is bounded."""
