"""Status codes of the games' linear programmes."""

import enum


class Status(enum.IntEnum):
    """How the solver ended."""

    OK = 0
    INFEASIBLE = 1
    """No policy keeps the robustness that was asked for; the game's minimax ratio is the least there is."""
    NOT_CONVERGED = 2
    """Policy and lower bound are further apart than the tolerance: the bound holds, the policy may be bettered."""


SENTENCES = {
    Status.INFEASIBLE: "no policy keeps this robustness: allow at least the game's minimax ratio, minimax().robustness",
    Status.NOT_CONVERGED: "policy and lower bound are further apart than the tolerance: enable 64-bit types",
}
