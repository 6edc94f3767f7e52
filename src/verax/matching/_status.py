"""Status codes of the solvers."""

import enum


class Status(enum.IntEnum):
    """How the solver ended."""

    OK = 0
    INFEASIBLE = 1
    """No solution exists: no perfect matching of the smaller side avoids the forbidden pairs, or no plan moves all."""
    NON_FINITE = 2
    """The input holds NaN, an infinity that does not mean "forbidden", or a number so large that prices overflow."""
    ITERATION_LIMIT = 3
    """The pure-JAX solver ran out of steps; never observed, but its loop is bounded."""


SENTENCES = {
    Status.INFEASIBLE: "no solution avoids the forbidden pairs; allow agents to stay unmatched, or forbid fewer pairs",
    Status.NON_FINITE: "NaN, an infinity of the wrong sign, or numbers so large that sums of them overflow",
    Status.ITERATION_LIMIT: "the solver ran out of steps; please report the problem",
}
