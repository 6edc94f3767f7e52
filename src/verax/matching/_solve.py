"""The compiled core of :func:`solve_assignment`: objectives, masks and implementations around one exact solver."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ._assignment_native import assignment_native
from ._assignment_xla import assignment_xla
from ._masks import Masks, embed, forbid, present
from ._objective import bottleneck_threshold, least_cover
from ._prices import differentiable, priced
from ._status import Status


class Start(NamedTuple):
    """The part of an assignment that a warm start uses."""

    col_of_row: jax.Array
    row_of_col: jax.Array
    row_price: jax.Array
    col_price: jax.Array


class Options(NamedTuple):
    """Static arguments of the core."""

    maximize: bool
    allow_unmatched: bool
    prices: str
    objective: str
    cost_limit: float | None
    implementation: str


@functools.partial(jax.jit, static_argnums=3)
def solve(weights: jax.Array, masks: Masks, start: Start | None, options: Options) -> tuple[jax.Array, ...]:
    """Solve ``weights [*b, n, m]``: the fields of an :class:`Assignment`."""
    *batch, n, m = weights.shape
    if n == 0 or m == 0:  # the smaller side is empty: nothing can be matched
        none = jnp.full((*batch, n), -1, jnp.int32), jnp.full((*batch, m), -1, jnp.int32)
        free = jnp.zeros((*batch, n), weights.dtype), jnp.zeros((*batch, m), weights.dtype)
        zero = jnp.zeros(tuple(batch), weights.dtype)
        return *none, *free, zero, jnp.zeros(tuple(batch), jnp.int32)
    maximize, allow_unmatched = options.maximize, options.allow_unmatched
    allowed = allowed_weights(weights, masks, maximize=maximize, cost_limit=options.cost_limit)
    signed = allowed if maximize else -allowed
    if options.objective != "value":
        outputs = _as_many_as_possible(*lax.stop_gradient((signed, masks, start)), options)
    elif allow_unmatched or masks == (None, None):
        outputs = run(*lax.stop_gradient((allowed, start)), options)
    else:
        row, column = present(masks, weights)
        rows_fewer = (row.sum(-1) <= column.sum(-1))[..., None]
        outputs = _required(*lax.stop_gradient((signed, row & rows_fewer, column & ~rows_fewer, start)), options)
    col_of_row, row_of_col, row_price, col_price, value, status = outputs
    if options.prices != "any":
        row_price, col_price = differentiable(options.prices, signed, col_of_row, row_of_col, row_price, col_price)
    counted = col_of_row if options.objective != "bottleneck" else _worst_pair(signed, col_of_row)
    value = _differentiable_value(weights, counted, status, value)
    return col_of_row, row_of_col, row_price, col_price, value, status


def allowed_weights(weights: jax.Array, masks: Masks, *, maximize: bool, cost_limit: float | None) -> jax.Array:
    """Weights in which every forbidden pair has the infinity of the losing sign."""
    # The largest number of the dtype, of the losing sign, is a common way to write "no pair".
    largest = {float(jnp.finfo(weights.dtype).max), float(np.finfo(np.float32).max)}
    losing = -weights if maximize else weights
    stand_in = functools.reduce(jnp.logical_or, [losing == np.asarray(x, weights.dtype) for x in sorted(largest)])
    if cost_limit is not None:
        stand_in = stand_in | (losing > np.asarray(-cost_limit if maximize else cost_limit, weights.dtype))
    weights = jnp.where(stand_in, np.asarray(-np.inf if maximize else np.inf, weights.dtype), weights)
    return forbid(weights, masks, maximize=maximize)


def _required(
    signed: jax.Array, row: jax.Array, column: jax.Array, start: Start | None, options: Options
) -> tuple[jax.Array, ...]:
    """Match all marked rows and columns to partners that are not marked; others where it helps."""
    square, extract = embed(signed, row, column)
    padded = None if start is None else extract.pad(start)
    perfect = options._replace(maximize=True, allow_unmatched=False, prices="any")
    *solved, _, status = run(square, padded, perfect)
    col_of_row, row_of_col, row_price, col_price = solved
    fields = extract(col_of_row, row_of_col, row_price, col_price, status)
    value = matched_weight(signed, fields[0], status)
    return *fields, value if options.maximize else -value, status


def _as_many_as_possible(
    signed: jax.Array, masks: Masks, start: Start | None, options: Options
) -> tuple[jax.Array, ...]:
    """A maximum matching gives a least cover; the best maximum matchings are those that match each of its agents.

    So the second stage has only comparisons of weights, and no large number stands for a pair.
    """
    usable = ((jnp.abs(signed) <= weight_limit(signed)) | (signed == -jnp.inf)).all((-1, -2))
    signed = jnp.where(usable[..., None, None], signed, -jnp.inf)
    counting = options._replace(maximize=True, allow_unmatched=True, prices="any")

    def match(possible: jax.Array, before: tuple[jax.Array, jax.Array] | None) -> tuple[jax.Array, jax.Array]:
        ones = possible.astype(jnp.float32)
        free = jnp.zeros_like(ones[..., 0]), jnp.zeros_like(ones[..., 0, :])
        col_of_row, row_of_col, *_ = run(ones, None if before is None else Start(*before, *free), counting)
        return col_of_row, row_of_col

    possible = signed > -jnp.inf
    best = match(possible, None if start is None else (start.col_of_row, start.row_of_col))
    if options.objective == "bottleneck":
        threshold = bottleneck_threshold(signed, possible, match, best)
        signed = jnp.where(signed >= threshold[..., None, None], signed, -jnp.inf)
        possible = signed > -jnp.inf
        best = match(possible, best)
    cover = least_cover(possible, *best)
    *fields, value, status = _required(signed, cover.row, cover.column, start, options)
    if not options.allow_unmatched:
        row, column = present(masks, signed)
        complete = (best[0] >= 0).sum(-1) == jnp.minimum(row.sum(-1), column.sum(-1))
        status = jnp.where(complete, status, Status.INFEASIBLE).astype(jnp.int32)
    status = jnp.where(usable, status, Status.NON_FINITE).astype(jnp.int32)
    failed = status != Status.OK
    nan = jnp.where(failed, np.nan, 0).astype(signed.dtype)
    col_of_row, row_of_col = (jnp.where(failed[..., None], -1, x) for x in fields[:2])
    row_price, col_price = (x + nan[..., None] for x in fields[2:])
    if options.objective == "bottleneck":
        own = matched_entries(signed, col_of_row)
        value = jnp.where((col_of_row >= 0).any(-1), jnp.where(col_of_row >= 0, own, jnp.inf).min(-1), 0)
        value = value if options.maximize else -value
    return col_of_row, row_of_col, row_price, col_price, value + nan, status


def weight_limit(weights: jax.Array) -> float:
    """Largest weight for which prices, at most 2 n max|w| for the smaller side n, cannot overflow."""
    return float(jnp.finfo(weights.dtype).max) / (4 * (min(weights.shape[-2:]) + 1))


def _worst_pair(signed: jax.Array, col_of_row: jax.Array) -> jax.Array:
    """The match with all but its worst pair taken out."""
    matched = col_of_row >= 0
    at = jnp.where(matched, matched_entries(signed, col_of_row), jnp.inf).argmin(-1)
    keep = at[..., None] == jnp.arange(col_of_row.shape[-1], dtype=at.dtype)
    return jnp.where(keep & matched, col_of_row, -1)


def run(weights: jax.Array, start: Start | None, options: Options) -> tuple[jax.Array, ...]:
    """Solve for the total value: ``(col_of_row, row_of_col, row_price, col_price, value, status)``."""
    maximize, allow_unmatched, prices = options.maximize, options.allow_unmatched, options.prices
    n, m = weights.shape[-2:]
    turned = n > m
    wide = jnp.swapaxes(weights, -1, -2) if turned else weights
    rule = {"row_optimal": "column_optimal", "column_optimal": "row_optimal"}.get(prices, prices) if turned else prices
    warm = None
    if start is not None:
        warm = (start.row_of_col, start.row_price) if turned else (start.col_of_row, start.col_price)

    def native(wide: jax.Array, warm: Any) -> tuple[jax.Array, ...]:
        return assignment_native(wide, warm, maximize=maximize, allow_unmatched=allow_unmatched, prices=rule)

    def portable(wide: jax.Array, warm: Any) -> tuple[jax.Array, ...]:
        signed = wide if maximize else -wide
        solved = assignment_xla(signed, warm, allow_unmatched=allow_unmatched)
        col_of_row, row_of_col, row_price, col_price, status = solved
        if rule != "any":
            row_price, col_price = (
                jnp.where((status == Status.OK)[..., None], price, np.nan)
                for price in priced(signed, col_of_row, row_of_col, rule)
            )
        value = matched_weight(wide, col_of_row, status)
        return col_of_row, row_of_col, row_price, col_price, value, status

    if options.implementation == "native":
        outputs = native(wide, warm)
    elif options.implementation == "auto":
        outputs = lax.platform_dependent(wide, warm, cpu=native, default=portable)
    else:
        outputs = portable(wide, warm)
    if turned:
        row_of_col, col_of_row, col_price, row_price, value, status = outputs
        return col_of_row, row_of_col, row_price, col_price, value, status
    return tuple(outputs)


@jax.custom_jvp
def _differentiable_value(weights: jax.Array, col_of_row: jax.Array, status: jax.Array, value: jax.Array) -> jax.Array:
    """Value as given; its derivative in the weights, with the matching held fixed, is the matching."""
    del weights, col_of_row, status
    return value


@_differentiable_value.defjvp
def _envelope(primals: Any, tangents: Any) -> tuple[jax.Array, jax.Array]:
    _, col_of_row, status, value = primals
    return value, matched_weight(tangents[0], col_of_row, status)


def matched_entries(weights: jax.Array, col_of_row: jax.Array) -> jax.Array:
    """Weight of the pair of each row; that of column 0 where it has none, which the caller does not use."""
    return jnp.take_along_axis(weights, jnp.maximum(col_of_row, 0)[..., None], axis=-1)[..., 0]


def matched_weight(weights: jax.Array, col_of_row: jax.Array, status: jax.Array) -> jax.Array:
    """Total weight of the matched pairs."""
    failed = status != Status.OK
    # A failed problem lets one column through, so that its NaN reaches the gradient as well as the value.
    total = jnp.where((col_of_row >= 0) | failed[..., None], matched_entries(weights, col_of_row), 0).sum(-1)
    return total * jnp.where(failed, np.nan, 1).astype(weights.dtype)
