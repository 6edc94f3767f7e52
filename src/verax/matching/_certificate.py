"""Proof of optimality by weak duality."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Real

from verax._array_likes import read_array
from verax._errors import check, check_option
from verax._results import result
from verax._types import AnyArray

from ._assignment import Assignment
from ._masks import Masks, present, read_masks
from ._objective import Cover, least_cover
from ._read import in_double, read_limit, read_weights
from ._solve import allowed_weights
from ._status import Status


@result()
class Certificate(NamedTuple):
    """Bounds that enclose the optimum."""

    primal: Float[AnyArray, "*b"]
    """Total weight of the matching as given."""
    dual: Float[AnyArray, "*b"]
    """Bound that no matching can exceed (fall below, when minimizing), proved by the prices."""
    gap: Float[AnyArray, "*b"]
    """Distance of the two, non-negative up to rounding: the matching is at most this far from optimal."""


def check_certificate(
    weights: Real[AnyArray, "*b n m"],
    assignment: Assignment,
    *,
    maximize: bool = True,
    allow_unmatched: bool = True,
    objective: str = "value",
    cost_limit: float | None = None,
    row_mask: Bool[AnyArray, "*b n"] | None = None,
    column_mask: Bool[AnyArray, "*b m"] | None = None,
) -> Certificate:
    r"""Check an assignment against its own prices, trusting neither.

    .. math:: \text{primal} = \sum_{i} w_{i, \text{col}(i)}, \qquad \text{dual} = \sum_i u_i + \sum_j p_j,
        \qquad u_i = \max(\text{row\_price}_i, \max_j (w_{ij} - p_j))

    Raising a price to where it is feasible keeps the dual value a bound for any prices whatever, so a small gap proves
    that the matching is optimal and the prices are, too, however they were computed.

    Parameters
    ----------
    weights
        ``[*b, n, m]``, as given to :func:`solve_assignment`.
    assignment
        Its result, or anything of that form.
    maximize, allow_unmatched, cost_limit, row_mask, column_mask
        As given to :func:`solve_assignment`.
    objective
        ``"value"`` or ``"cardinality_then_value"``. For the latter the matching itself proves that it has as many pairs
        as possible, by the least cover that alternating paths from its unmatched rows give; the bound is on the total
        of matchings with as many pairs.

    Returns
    -------
    Certificate
        The gap is infinite if the matching is not valid: a forbidden pair, an agent matched twice, or left out although
        ``allow_unmatched`` is False, or fewer pairs than possible although the objective counts them. It is NaN where
        ``assignment.status`` is not OK.

    Raises
    ------
    ValueError
        If the shapes do not fit each other, and on an unknown objective.

    Notes
    -----
    O(n m) operations, in the dtype of ``weights``; rounding leaves a gap of about ``n * eps * max|w|``.

    References
    ----------
    A. Schrijver, "Combinatorial Optimization" (2003), chapter 17.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.matching import check_certificate, solve_assignment
    >>> weights = np.array([[3.0, 1.0], [2.0, 4.0]], np.float32)
    >>> certificate = check_certificate(weights, solve_assignment(weights))
    >>> float(certificate.primal), float(certificate.dual), float(certificate.gap)
    (7.0, 7.0, 0.0)
    """
    read = read_weights("weights", weights)
    check_option("objective", objective, ("value", "cardinality_then_value"))
    *batch, n, m = read.array.shape
    shapes = ((*batch, n), (*batch, m), (*batch, n), (*batch, m), tuple(batch), tuple(batch))
    given = isinstance(assignment, tuple) and len(assignment) == len(shapes)
    check(given, "assignment", type(assignment).__name__, "an Assignment")
    fields = []
    for name, value, shape in zip(Assignment._fields, assignment, shapes, strict=True):
        field = read_array(f"assignment.{name}", value)
        check(field.shape == shape, f"assignment.{name}", f"shape {field.shape}", f"shape {shape}")
        fields.append(field)
    masks = read_masks(read.array, row_mask, column_mask)
    limit = read_limit("cost_limit", cost_limit)

    def certify(array: jax.Array) -> Certificate:
        parts = [
            jnp.asarray(field).astype(array.dtype if jnp.issubdtype(field.dtype, jnp.floating) else jnp.int32)
            for field in fields
        ]
        allow = bool(allow_unmatched)
        return _certify(array, Assignment(*parts), masks, bool(maximize), allow, objective, limit)

    return in_double(read, certify, masks, fields)


@functools.partial(jax.jit, static_argnums=(3, 4, 5, 6))
def _certify(
    weights: jax.Array,
    assignment: Assignment,
    masks: Masks,
    maximize: bool,
    allow_unmatched: bool,
    objective: str,
    cost_limit: float | None,
) -> Certificate:
    allowed = allowed_weights(weights, masks, maximize=maximize, cost_limit=cost_limit)
    signed = allowed if maximize else -allowed
    row, column = present(masks, weights)
    primal = _attained(signed, assignment, row, column, allow_unmatched)
    if objective == "value":
        dual = _bound(signed, assignment, row, column, allow_unmatched)
    else:
        cover = least_cover(signed > -jnp.inf, jnp.asarray(assignment.col_of_row), jnp.asarray(assignment.row_of_col))
        largest = cover.row.sum(-1) + cover.column.sum(-1) == (assignment.col_of_row >= 0).sum(-1)
        primal = jnp.where(largest | jnp.isnan(primal), primal, -jnp.inf)
        dual = _bound_of_largest(signed, assignment, cover)
    sign = 1 if maximize else -1
    return Certificate(sign * primal, sign * dual, dual - primal)


def _bound_of_largest(signed: jax.Array, assignment: Assignment, cover: Cover) -> jax.Array:
    """Bound on the total of matchings with as many pairs as possible.

    They match every agent of the cover, whose price may thus have either sign, and to an agent outside of it.
    """
    inner, outer = cover.row[..., :, None], cover.column[..., None, :]
    pairs = jnp.where(inner != outer, signed, -jnp.inf)
    free_row, free_col = (
        jnp.where(covered, 0, jnp.maximum(price, 0))
        for covered, price in ((cover.row, assignment.row_price), (cover.column, assignment.col_price))
    )
    row_price = (pairs - free_col[..., None, :]).max(-1, initial=-jnp.inf)
    col_price = (pairs - free_row[..., :, None]).max(-2, initial=-jnp.inf)
    of_rows = jnp.where(cover.row, row_price, free_row).sum(-1)
    return of_rows + jnp.where(cover.column, col_price, free_col).sum(-1)


def _attained(
    signed: jax.Array, assignment: Assignment, row: jax.Array, column: jax.Array, allow_unmatched: bool
) -> jax.Array:
    n, m = signed.shape[-2:]
    col_of_row, row_of_col = assignment.col_of_row, assignment.row_of_col
    chosen = col_of_row[..., :, None] == jnp.arange(m, dtype=col_of_row.dtype)
    mirrored = row_of_col[..., None, :] == jnp.arange(n, dtype=row_of_col.dtype)[:, None]
    valid = (chosen == mirrored).all((-1, -2))  # each names the other: no agent is matched twice
    valid &= ((col_of_row >= -1) & (col_of_row < m)).all(-1) & ((row_of_col >= -1) & (row_of_col < n)).all(-1)
    if not allow_unmatched:
        valid &= chosen.sum((-1, -2)) == jnp.minimum(row.sum(-1), column.sum(-1))
    total = jnp.where(chosen, signed, 0).sum((-1, -2))
    total = jnp.where(valid, total, -jnp.inf)
    return jnp.where(assignment.status == Status.OK, total, jnp.nan)


def _bound(
    signed: jax.Array, assignment: Assignment, row: jax.Array, column: jax.Array, allow_unmatched: bool
) -> jax.Array:
    num_rows, num_columns = row.sum(-1, keepdims=True), column.sum(-1, keepdims=True)
    # Agents that may stay unmatched need prices of at least 0: all of them, or those of the larger side.
    row_free = allow_unmatched | (num_rows > num_columns)
    col_free = allow_unmatched | (num_rows < num_columns)
    row_price, col_price = (
        jnp.where(free, jnp.maximum(price, 0), price)
        for free, price in ((row_free, assignment.row_price), (col_free, assignment.col_price))
    )
    # Raising the prices of the smaller side, which may have either sign, is enough.
    raised_row = jnp.maximum(row_price, (signed - col_price[..., None, :]).max(-1, initial=-jnp.inf))
    raised_col = jnp.maximum(col_price, (signed - row_price[..., :, None]).max(-2, initial=-jnp.inf))
    rows_smaller = allow_unmatched | (num_rows <= num_columns)
    row_price = jnp.where(rows_smaller, raised_row, row_price)
    col_price = jnp.where(rows_smaller, col_price, raised_col)
    return jnp.where(row, row_price, 0).sum(-1) + jnp.where(column, col_price, 0).sum(-1)
