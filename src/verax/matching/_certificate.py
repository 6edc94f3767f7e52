"""Proof of optimality by weak duality."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float

from verax._errors import check, check_floating
from verax._types import AnyArray

from ._assignment import Assignment
from ._masks import Masks, forbid, present, read_masks
from ._status import Status


class Certificate(NamedTuple):
    """Bounds that enclose the optimum."""

    primal: Float[AnyArray, "*b"]
    """Total weight of the matching as given: what it attains."""
    dual: Float[AnyArray, "*b"]
    """What no matching can exceed (fall below, when minimizing), proved by the prices."""
    gap: Float[AnyArray, "*b"]
    """Distance of the two, non-negative up to rounding: the matching is at most this far from optimal."""


def check_certificate(
    weights: Float[AnyArray, "*b n m"],
    assignment: Assignment,
    *,
    maximize: bool = True,
    allow_unmatched: bool = True,
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
    maximize, allow_unmatched, row_mask, column_mask
        As given to :func:`solve_assignment`.

    Returns
    -------
    Certificate
        The gap is infinite if the matching is not one: a forbidden pair, an agent matched twice or left out although
        ``allow_unmatched`` is False. It is NaN where ``assignment.status`` is not OK.

    Raises
    ------
    ValueError
        If the shapes do not fit each other.

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
    weights = jnp.asarray(weights)
    check_floating("weights", weights)
    check(weights.ndim >= 2, "weights", f"shape {weights.shape}", "[..., n, m]")
    *batch, n, m = weights.shape
    shapes = ((*batch, n), (*batch, m), (*batch, n), (*batch, m), tuple(batch), tuple(batch))
    for name, field, shape in zip(Assignment._fields, assignment, shapes, strict=True):
        check(jnp.shape(field) == shape, f"assignment.{name}", f"shape {jnp.shape(field)}", f"shape {shape}")
    masks = read_masks(weights, row_mask, column_mask)
    return _certify(weights, assignment, masks, bool(maximize), bool(allow_unmatched))


@functools.partial(jax.jit, static_argnums=(3, 4))
def _certify(
    weights: jax.Array, assignment: Assignment, masks: Masks, maximize: bool, allow_unmatched: bool
) -> Certificate:
    signed = forbid(weights if maximize else -weights, masks, maximize=True)
    row, column = present(masks, weights)
    primal = _attained(signed, assignment, row, column, allow_unmatched)
    dual = _bound(signed, assignment, row, column, allow_unmatched)
    sign = 1 if maximize else -1
    return Certificate(sign * primal, sign * dual, dual - primal)


def _attained(
    signed: jax.Array, assignment: Assignment, row: jax.Array, column: jax.Array, allow_unmatched: bool
) -> jax.Array:
    n, m = signed.shape[-2:]
    col_of_row, row_of_col = assignment.col_of_row, assignment.row_of_col
    chosen = col_of_row[..., :, None] == jnp.arange(m, dtype=col_of_row.dtype)
    mirrored = row_of_col[..., None, :] == jnp.arange(n, dtype=row_of_col.dtype)[:, None]
    valid = (chosen == mirrored).all((-1, -2))  # each names the other: nobody is matched twice
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
