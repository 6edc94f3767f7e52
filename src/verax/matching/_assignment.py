"""Exact assignment with optimal dual prices, batched and differentiable."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, Real

from verax import _native
from verax._array_likes import read_array
from verax._errors import check, check_option
from verax._results import raise_if_failed, result
from verax._types import AnyArray

from ._masks import read_masks
from ._objective import OBJECTIVES
from ._price_rules import PRICES
from ._read import in_double, read_limit, read_weights
from ._solve import Options, Start, solve
from ._status import SENTENCES
from ._status import Status as Status


@result(SENTENCES)
class Assignment(NamedTuple):
    """An optimal assignment and the prices that prove it."""

    col_of_row: Int[AnyArray, "*b n"]
    """Column of each row, -1 = unmatched; do not index with it before looking at ``status`` and the sign."""
    row_of_col: Int[AnyArray, "*b m"]
    """Row of each column, -1 = unmatched."""
    row_price: Float[AnyArray, "*b n"]
    """Optimal dual variables of the rows."""
    col_price: Float[AnyArray, "*b m"]
    """Optimal dual variables of the columns."""
    value: Float[AnyArray, "*b"]
    """Total weight of the matched pairs (of the worst pair under ``"bottleneck"``), in the caller's sign;
    differentiable in the weights."""
    status: Int[AnyArray, "*b"]
    """:class:`Status` of each problem."""

    raise_if_failed = raise_if_failed

    def pairs(self) -> tuple[np.ndarray, ...]:
        """Matched pairs as index arrays, rows in increasing order: ``(row, col)``, or ``(*batch, row, col)``.

        Raises
        ------
        ValueError
            If a problem failed, as :meth:`raise_if_failed`.
        """
        self.raise_if_failed()
        match = np.asarray(self.col_of_row)
        at = np.nonzero(match >= 0)
        return *at, match[at]


def solve_assignment(
    weights: Real[AnyArray, "*b n m"],
    *,
    maximize: bool = True,
    allow_unmatched: bool = True,
    objective: str = "value",
    cost_limit: float | None = None,
    row_mask: Bool[AnyArray, "*b n"] | None = None,
    column_mask: Bool[AnyArray, "*b m"] | None = None,
    warm: Assignment | None = None,
    prices: str = "any",
    implementation: str = "auto",
) -> Assignment:
    r"""Solve the assignment problem exactly, with optimal dual prices.

    .. math:: \max_{x} \sum_{ij} w_{ij} x_{ij} \quad\text{subject to}\quad
        \sum_j x_{ij} \le 1,\; \sum_i x_{ij} \le 1,\; x_{ij} \in \{0, 1\}.

    Parameters
    ----------
    weights
        ``[*b, n, m]`` real numbers, any batch of rectangular problems. Minus infinity forbids a pair (plus infinity
        when minimizing), and so does the largest finite number of the dtype with that sign.
    maximize
        If False, solve the problem of ``-weights``; prices are those of that problem, ``value`` has the caller's sign.
    allow_unmatched
        If True, agents may stay unmatched at weight 0. If False, every agent of the smaller side must be matched.
    objective
        ``"value"``: the best total. ``"cardinality_then_value"``: as many pairs as possible, and of these matchings
        the best total. ``"bottleneck"``: as many pairs as possible, then the best worst pair, then the best total.
    cost_limit
        No pair may be worse than this: cost above it when minimizing, weight below it when maximizing. None: no limit.
    row_mask, column_mask
        Agents that are present, for batches of problems of different sizes; None: all. Weights of absent agents are
        not looked at; they stay unmatched at price 0.
    warm
        The result for similar weights, to start from: what is still optimal at its prices is kept. It changes the time
        that is needed and which of several optima is found, nothing else, whatever it contains.
    prices
        Which of the optimal prices: ``"any"``, ``"row_optimal"`` (the highest of all rows at once, which are the lowest
        of all columns), ``"column_optimal"`` or the ``"midpoint"`` of both. Other than ``"any"`` only with
        ``allow_unmatched`` and the objective ``"value"``: otherwise prices have no extremes.
    implementation
        ``"native"`` (compiled, CPU), ``"xla"`` (pure JAX), or ``"auto"``: native on a CPU where it is built, else xla.

    Returns
    -------
    Assignment
        Prices satisfy ``row_price[i] + col_price[j] >= weights[i, j]`` (with equality on matched pairs), are 0 for
        unmatched agents, and add up to the total weight, all up to rounding. With ``allow_unmatched`` they are
        non-negative. Otherwise those of the smaller side may have either sign (in square problems those of the rows).
        Under ``"cardinality_then_value"`` the inequality holds for the pairs that some maximum matching may use, and
        the agents that every maximum matching must match may have prices of either sign; ``"bottleneck"`` is the same
        problem without the pairs below the threshold.
        Where ``status`` is not ``Status.OK`` nothing is matched, and prices, value and its gradient are NaN;
        ``result.raise_if_failed()`` turns that into an exception, and ``result.pairs()`` lists matched pairs only.

    Raises
    ------
    ValueError
        On arrays that are not ``[..., n, m]`` of real numbers, on masks and a warm start that do not fit them, on
        an unknown implementation, objective or price rule, and on a price rule that the problem does not have.
    RuntimeError
        If ``implementation="native"`` and native code is not in use; the message says why.

    Notes
    -----
    At most O(n m min(n, m)) operations per problem, usually far fewer; memory O(n m). Native code computes prices in
    float64 whatever the dtype, pure JAX in that of the weights. Bool, integers, float16 and bfloat16 are widened.
    Concrete float64 and integer weights are solved in double precision where single precision would round them, also
    with 64-bit types disabled; only the results are then rounded. NaN, the other infinity, and weights so large that
    prices could overflow give ``Status.NON_FINITE``.

    ``"cardinality_then_value"`` solves three problems: a maximum matching, whose least cover says which agents every
    maximum matching uses, and the assignment among the pairs that leave none of these out. No large number stands for
    a pair, so no digit of the weights is lost. ``"bottleneck"`` adds a bisection among the weights.

    Traceable: ``jit``, ``vmap``, ``grad``. The derivative of ``value`` is the matching itself (envelope theorem; a
    subgradient where optimal matchings tie), second derivatives are zero. Prices under a rule have the derivatives of
    marginal products, almost everywhere; prices under ``"any"`` are treated as constants. Inside
    ``jit`` on a sharded batch wrap the call in ``jax.shard_map``, or it runs on the gathered array. To export for
    CPU by ``jax.export``, choose ``"xla"``: native code is not portable.

    References
    ----------
    R. Jonker and A. Volgenant, "A shortest augmenting path algorithm for dense and sparse linear assignment problems",
    Computing 38 (1987), 325-340. L. S. Shapley and M. Shubik, "The assignment game I: the core", International Journal
    of Game Theory 1 (1971), 111-130: the prices are the stable outcomes of the market. A. L. Dulmage and N. S.
    Mendelsohn, "Coverings of bipartite graphs", Canadian Journal of Mathematics 10 (1958), 517-534: covers.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.matching import solve_assignment
    >>> weights = np.array([[4.0, 1.0, 3.0], [2.0, 0.0, 5.0], [3.0, 2.0, -1.0]], np.float32)
    >>> result = solve_assignment(weights)
    >>> result.col_of_row.tolist(), float(result.value), int(result.status)
    ([0, 2, 1], 11.0, 0)
    >>> float(result.row_price.sum() + result.col_price.sum())
    11.0

    Distances between tracks and detections, of which those above 2 are no match:

    >>> distance = np.array([[0.5, 1.9, 9.0], [0.4, 7.0, 9.0]])
    >>> tracks = solve_assignment(distance, maximize=False, objective="cardinality_then_value", cost_limit=2.0)
    >>> [index.tolist() for index in tracks.pairs()], round(float(tracks.value), 3)
    ([[0, 1], [1, 0]], 2.3)
    """
    read = read_weights("weights", weights)
    implementation = _native.chosen(implementation)
    check_option("prices", prices, PRICES)
    check_option("objective", objective, OBJECTIVES)
    extremes = allow_unmatched and objective == "value"
    check(extremes or prices == "any", "prices", repr(prices), "'any' unless allow_unmatched and objective='value'")
    masks = read_masks(read.array, row_mask, column_mask)
    limit = read_limit("cost_limit", cost_limit)
    options = Options(bool(maximize), bool(allow_unmatched), prices, objective, limit, implementation)

    def run(array: jax.Array) -> Assignment:
        start = None if warm is None else _read_warm(array, warm)
        return Assignment(*solve(array, masks, start, options))

    return in_double(read, run, masks, warm)


def _read_warm(weights: jax.Array, warm: Any) -> Start:
    *batch, n, m = weights.shape
    given = isinstance(warm, tuple) and hasattr(warm, "_fields") and len(warm) >= len(Start._fields)
    check(given, "warm", type(warm).__name__, "an Assignment, or None")
    start = []
    for name, value, size in zip(Start._fields, warm, (n, m, n, m), strict=False):
        field = read_array(f"warm.{name}", value)
        shape = (*batch, size)
        check(field.shape == shape, f"warm.{name}", f"shape {field.shape}", f"shape {shape}")
        index = name.endswith(("row", "col"))
        kind = jnp.signedinteger if index else jnp.floating
        check(jnp.issubdtype(field.dtype, kind), f"warm.{name}", f"dtype {field.dtype}", "that of an Assignment")
        start.append(jnp.asarray(field).astype(jnp.int32 if index else weights.dtype))
    return Start(*start)
