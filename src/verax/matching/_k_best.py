"""The k best assignments, by Murty's partition of the assignments that are left."""

import heapq
import itertools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int, Real

from verax import _native
from verax._arrays import to_integer
from verax._errors import check, is_traced
from verax._results import result
from verax._types import AnyArray

from ._masks import Masks
from ._read import Weights, in_double, read_weights
from ._solve import Options, solve
from ._status import Status


@result()
class KBest(NamedTuple):
    """Assignments from the best on."""

    col_of_row: Int[AnyArray, "k n"]
    """Column of each row, -1 = unmatched."""
    value: Float[AnyArray, " k"]
    """Total weight of each, in the caller's sign."""


def k_best_assignments(
    weights: Real[AnyArray, "n m"],
    k: int,
    *,
    maximize: bool = True,
    allow_unmatched: bool = True,
    implementation: str = "auto",
) -> KBest:
    r"""The k assignments of largest total weight, no two alike.

    .. math:: x^{(1)}, \dots, x^{(k)} \text{ distinct matchings with } \sum_{ij} w_{ij} x^{(1)}_{ij} \ge
        \sum_{ij} w_{ij} x^{(2)}_{ij} \ge \dots

    Parameters
    ----------
    weights
        ``[n, m]`` real numbers; minus infinity forbids a pair (plus infinity when minimizing).
    k
        At least 1. Where fewer assignments exist, all of them are returned.
    maximize, allow_unmatched, implementation
        As for :func:`solve_assignment`. With ``allow_unmatched`` leaving an agent out makes another assignment, also
        where its pair weighs 0.

    Returns
    -------
    KBest
        At most k assignments.

    Raises
    ------
    ValueError
        On weights that are not one matrix, NaN or the other infinity among them, a k below 1, and where no assignment
        exists. On traced weights: the search runs on the host.

    Notes
    -----
    At most k min(n, m) assignment problems, in k batches: each assignment found splits what is left into problems that
    keep some of its pairs and forbid one.

    References
    ----------
    K. G. Murty, "An algorithm for ranking all the assignments in order of increasing cost", Operations Research 16
    (1968), 682-687.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.matching import k_best_assignments
    >>> best = k_best_assignments(np.array([[4.0, 1.0], [2.0, 3.0]]), 3, allow_unmatched=False)
    >>> best.col_of_row.tolist(), best.value.tolist()
    ([[0, 1], [1, 0]], [7.0, 3.0])
    """
    check(not is_traced(weights), "weights", "a traced array", "a concrete one: the search runs on the host")
    read = read_weights("weights", weights)
    check(read.array.ndim == 2, "weights", f"shape {read.array.shape}", "[n, m]")
    k = to_integer("k", k, minimum=1)
    implementation = _native.chosen(implementation)
    matrix = np.asarray(read.array)
    signed = matrix if maximize else -matrix
    check(not (np.isnan(signed) | (signed == np.inf)).any(), "weights", "NaN or the infinity that wins", "numbers")
    turned = signed.shape[0] > signed.shape[1]
    wide = signed.T if turned else signed
    if allow_unmatched:  # a column of its own for each row that stays unmatched
        alone = np.where(np.eye(len(wide), dtype=bool), 0, -np.inf).astype(wide.dtype)
        wide = np.concatenate([wide, alone], axis=1)
    found = _ranked(Weights(wide, read.double, "weights"), k, implementation)
    check(len(found) > 0, "weights", "a matrix without any assignment", "fewer forbidden pairs, or allow_unmatched")
    matches = np.stack(found)
    matches = np.where(matches < max(signed.shape) if turned else matches < signed.shape[1], matches, -1)
    if turned:
        matches = np.stack([_inverse(match, len(signed)) for match in matches])
    rows = np.arange(len(signed))
    picked = matrix[rows, np.maximum(matches, 0)].astype(np.float64)
    value = np.where(matches >= 0, picked, 0).sum(1)
    return KBest(jnp.asarray(matches, jnp.int32), jnp.asarray(value, jnp.result_type(float)))


def _ranked(weights: Weights, k: int, implementation: str) -> list[np.ndarray]:
    """Matches of all rows, best first."""
    options = Options(True, False, "any", "value", None, implementation)

    def solved(problems: list[np.ndarray]) -> tuple[np.ndarray, ...]:
        def run(batch: jax.Array) -> Any:
            col_of_row, _, _, _, value, status = solve(batch, Masks(None, None), None, options)
            return col_of_row, value, status

        return tuple(np.asarray(x) for x in in_double(weights._replace(array=np.stack(problems)), run))

    order = itertools.count()  # equal totals in the order in which they were found
    heap: list[tuple[float, int, np.ndarray, np.ndarray, int]] = []

    def offer(problems: list[np.ndarray], fixed: list[int]) -> None:
        if not problems:
            return
        matches, values, statuses = solved(problems)
        for problem, match, value, status, rows in zip(problems, matches, values, statuses, fixed, strict=True):
            if status == Status.OK:
                heapq.heappush(heap, (-float(value), next(order), match, problem, rows))

    offer([weights.array], [0])
    found: list[np.ndarray] = []
    while heap and len(found) < k:
        _, _, match, problem, fixed = heapq.heappop(heap)
        found.append(match)
        if len(found) == k:
            break
        problems, kept = [], problem
        for row in range(fixed, len(problem)):
            other = kept.copy()
            other[row, match[row]] = -np.inf
            problems.append(other)
            kept = kept.copy()  # the rows up to this one keep their columns
            kept[row, np.arange(kept.shape[1]) != match[row]] = -np.inf
        # Rows before `row` are decided in its problem, so that only later ones are split again.
        offer(problems, list(range(fixed, len(problem))))
    return found


def _inverse(col_of_row: np.ndarray, num_columns: int) -> np.ndarray:
    row_of_col = np.full(num_columns, -1)
    (rows,) = np.nonzero(col_of_row >= 0)
    row_of_col[col_of_row[rows]] = rows
    return row_of_col
