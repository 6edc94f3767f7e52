"""Exact assignment with optimal dual prices, batched and differentiable."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Bool, Float, Int

from verax import _native
from verax._errors import check, check_floating, check_option
from verax._types import AnyArray

from ._assignment_native import assignment_native
from ._assignment_xla import assignment_xla
from ._masks import Masks, embed, forbid, read_masks
from ._price_rules import PRICES
from ._prices import differentiable, priced
from ._status import Status as Status


class Assignment(NamedTuple):
    """An optimal assignment and the prices that prove it."""

    col_of_row: Int[AnyArray, "*b n"]
    """Column of each row, -1 = unmatched."""
    row_of_col: Int[AnyArray, "*b m"]
    """Row of each column, -1 = unmatched."""
    row_price: Float[AnyArray, "*b n"]
    """Optimal dual variables of the rows."""
    col_price: Float[AnyArray, "*b m"]
    """Optimal dual variables of the columns."""
    value: Float[AnyArray, "*b"]
    """Total weight of the matched pairs, in the caller's sign; differentiable in the weights."""
    status: Int[AnyArray, "*b"]
    """:class:`Status` of each problem."""


def solve_assignment(
    weights: Float[AnyArray, "*b n m"],
    *,
    maximize: bool = True,
    allow_unmatched: bool = True,
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
        ``[*b, n, m]``, float32 or float64, any batch of rectangular problems. Minus infinity forbids a pair (plus
        infinity when minimizing).
    maximize
        If False, solve the problem of ``-weights``; prices are those of that problem, ``value`` has the caller's sign.
    allow_unmatched
        If True, agents may stay unmatched at weight 0. If False, every agent of the smaller side must be matched.
    row_mask, column_mask
        Who is there, for batches of problems of different sizes; None: everybody. What ``weights`` says of others is
        not looked at; they stay unmatched at price 0.
    warm
        The result for similar weights, to start from: what is still optimal at its prices is kept. It changes the time
        that is needed and which of several optima is found, nothing else, whatever it contains.
    prices
        Which of the optimal prices: ``"any"``, ``"row_optimal"`` (the highest of all rows at once, which are the lowest
        of all columns), ``"column_optimal"`` or the ``"midpoint"`` of both. Other than ``"any"`` only with
        ``allow_unmatched``: without, prices have no extremes.
    implementation
        ``"native"`` (compiled, CPU), ``"xla"`` (pure JAX), or ``"auto"``: native on a CPU where it is built, else xla.

    Returns
    -------
    Assignment
        Prices satisfy ``row_price[i] + col_price[j] >= weights[i, j]`` (with equality on matched pairs), are 0 for
        unmatched agents, and add up to ``value``, all up to rounding. With ``allow_unmatched`` they are non-negative.
        Otherwise those of the smaller side may have either sign (in square problems those of the rows).
        Where ``status`` is not ``Status.OK`` nothing is matched, and prices, value and its gradient are NaN.

    Raises
    ------
    ValueError
        On arrays that are not ``[..., n, m]`` of float32 or float64, on masks and a warm start that do not fit them, on
        an unknown implementation or price rule, and on a price rule other than ``"any"`` without ``allow_unmatched``.
    RuntimeError
        If ``implementation="native"`` and native code is not in use; the message says why.

    Notes
    -----
    At most O(n m min(n, m)) operations a problem, usually far fewer; memory O(n m). Native code computes prices in
    float64 whatever the dtype, pure JAX in that of the weights. NaN, the other infinity, and weights so large that
    prices could overflow give ``Status.NON_FINITE``.

    Traceable: ``jit``, ``vmap``, ``grad``. The derivative of ``value`` is the matching itself (envelope theorem; a
    subgradient where optimal matchings tie), second derivatives are zero. Prices under a rule have the derivatives of
    marginal products, almost everywhere; prices under ``"any"`` are treated as constants. Inside
    ``jit`` on a sharded batch wrap the call in :func:`jax.shard_map`, or it runs on the gathered array. To export for
    CPU by :mod:`jax.export`, choose ``"xla"``: native code is not portable.

    References
    ----------
    R. Jonker and A. Volgenant, "A shortest augmenting path algorithm for dense and sparse linear assignment problems",
    Computing 38 (1987), 325-340. L. S. Shapley and M. Shubik, "The assignment game I: the core", International Journal
    of Game Theory 1 (1971), 111-130: the prices are the stable outcomes of the market.

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
    """
    if not isinstance(weights, jax.Array):
        weights = jnp.asarray(weights)
    check(weights.ndim >= 2, "weights", f"shape {weights.shape}", "[..., n, m]")
    check_floating("weights", weights)
    check(weights.dtype in (jnp.float32, jnp.float64), "weights", f"dtype {weights.dtype}", "float32 or float64")
    implementation = _native.chosen(implementation)
    check_option("prices", prices, PRICES)
    check(allow_unmatched or prices == "any", "prices", repr(prices), "'any' where allow_unmatched is False")
    masks = read_masks(weights, row_mask, column_mask)
    start = None if warm is None else _read_warm(weights, warm)
    return _solve(weights, masks, start, bool(maximize), bool(allow_unmatched), prices, implementation)


class _Start(NamedTuple):
    """What a warm start keeps of an assignment."""

    col_of_row: jax.Array
    row_of_col: jax.Array
    row_price: jax.Array
    col_price: jax.Array


def _read_warm(weights: jax.Array, warm: Assignment) -> _Start:
    *batch, n, m = weights.shape
    start = _Start(*(jnp.asarray(field) for field in warm[:4]))
    for name, field, size in zip(_Start._fields, start, (n, m, n, m), strict=True):
        shape = (*batch, size)
        check(field.shape == shape, f"warm.{name}", f"shape {field.shape}", f"shape {shape}")
        kind = jnp.signedinteger if name.endswith(("row", "col")) else jnp.floating
        check(jnp.issubdtype(field.dtype, kind), f"warm.{name}", f"dtype {field.dtype}", "that of an Assignment")
    return _Start(*(x.astype(jnp.int32) for x in start[:2]), *(x.astype(weights.dtype) for x in start[2:]))


@functools.partial(jax.jit, static_argnums=(3, 4, 5, 6))
def _solve(
    weights: jax.Array,
    masks: Masks,
    start: _Start | None,
    maximize: bool,
    allow_unmatched: bool,
    prices: str,
    implementation: str,
) -> Assignment:
    *batch, n, m = weights.shape
    if n == 0 or m == 0:  # nothing to match, whatever the entries; the smaller side has nobody
        none = jnp.full((*batch, n), -1, jnp.int32), jnp.full((*batch, m), -1, jnp.int32)
        free = jnp.zeros((*batch, n), weights.dtype), jnp.zeros((*batch, m), weights.dtype)
        zero = jnp.zeros(tuple(batch), weights.dtype)
        return Assignment(*none, *free, zero, jnp.zeros(tuple(batch), jnp.int32))
    allowed = forbid(weights, masks, maximize=maximize)
    signed = allowed if maximize else -allowed
    if allow_unmatched or masks == (None, None):
        outputs = _run(*lax.stop_gradient((allowed, start)), maximize, allow_unmatched, prices, implementation)
        col_of_row, row_of_col, row_price, col_price, value, status = outputs
    else:
        # What is added is worth 0.
        square, extract = embed(lax.stop_gradient(signed), masks)
        padded = None if start is None else extract.pad(start)
        outputs = _run(square, lax.stop_gradient(padded), True, False, prices, implementation)
        col_of_row, row_of_col, row_price, col_price, value, status = outputs
        col_of_row, row_of_col, row_price, col_price = extract(col_of_row, row_of_col, row_price, col_price, status)
        value = value if maximize else -value
    if prices != "any":
        row_price, col_price = differentiable(prices, signed, col_of_row, row_of_col, row_price, col_price)
    value = _differentiable_value(weights, col_of_row, status, value)
    return Assignment(col_of_row, row_of_col, row_price, col_price, value, status)


def _run(
    weights: jax.Array,
    start: _Start | None,
    maximize: bool,
    allow_unmatched: bool,
    prices: str,
    implementation: str,
) -> tuple[jax.Array, ...]:
    """Solve: ``(col_of_row, row_of_col, row_price, col_price, value, status)``."""
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
        value = _matched_weight(wide, col_of_row, status)
        return col_of_row, row_of_col, row_price, col_price, value, status

    if implementation == "native":
        outputs = native(wide, warm)
    elif implementation == "auto":
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
    return value, _matched_weight(tangents[0], col_of_row, status)


def _matched_weight(weights: jax.Array, col_of_row: jax.Array, status: jax.Array) -> jax.Array:
    """Total weight of the matched pairs."""
    failed = status != Status.OK
    picked = jnp.take_along_axis(weights, jnp.maximum(col_of_row, 0)[..., None], axis=-1)[..., 0]
    # A failed problem lets one column through, so that its NaN reaches the gradient as well as the value.
    total = jnp.where((col_of_row >= 0) | failed[..., None], picked, 0).sum(-1)
    return total * jnp.where(failed, np.nan, 1).astype(weights.dtype)
