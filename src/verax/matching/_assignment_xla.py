"""Exact assignment in pure JAX: a batch of searches that advance together, one step of each an iteration.

A ``vmap`` over a solver with nested loops waits in each loop for its slowest problem. Here one ``while_loop`` runs over
all problems; each keeps its own place in its own search, and the loop ends with the longest of them.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from ._status import Status

_ROUNDS = 64  # of bids


class _State(NamedTuple):
    """One search a problem: [k] problems, n rows, m columns."""

    price: jax.Array  # [k, m]
    col_of_row: jax.Array  # [k, n], -1 = unmatched
    row_of_col: jax.Array  # [k, m]
    start: jax.Array  # [k] free row from which the search started; -1 = finished
    row: jax.Array  # [k] row at the tip of the search
    reached: jax.Array  # [k] distance of the column through which it was reached
    distance: jax.Array  # [k, m] shortest distance to each column so far
    predecessor: jax.Array  # [k, m] the row before each column on that path
    in_tree: jax.Array  # [k, m] columns whose distance is final
    sink: jax.Array  # [k] column still to be rematched along the path that was found; -1 = searching
    status: jax.Array  # [k]
    steps: jax.Array  # []


def assignment_xla(
    weights: jax.Array, warm: tuple[jax.Array, jax.Array] | None, *, allow_unmatched: bool
) -> tuple[jax.Array, ...]:
    """Solve ``weights [..., n, m]``, ``1 <= n <= m``.

    Results as those of ``assignment_native``, less the value.
    """
    *batch, n, m = weights.shape
    k = math.prod(batch)
    start = None if warm is None else (warm[0].reshape(k, n), warm[1].reshape(k, m))
    flat = weights.reshape(k, n, m)
    state = _solve(flat, start, 0.0 if allow_unmatched else -jnp.inf)
    if n == m:  # else the least price, that of an unmatched column, has stayed 0
        state = state._replace(price=state.price - state.price.min(1, keepdims=True))

    ok = (state.status == Status.OK)[:, None]
    matched = jnp.take_along_axis(flat, jnp.maximum(state.col_of_row, 0)[:, :, None], axis=2)[:, :, 0]
    profit = matched - jnp.take_along_axis(state.price, jnp.maximum(state.col_of_row, 0), axis=1)
    keep = ok & (matched > 0 if allow_unmatched else True)  # a pair of weight <= 0 is dissolved
    if allow_unmatched:
        profit = jnp.where(keep, jnp.maximum(profit, 0), 0)
    col_of_row = jnp.where(keep, state.col_of_row, -1)
    row_kept = jnp.take_along_axis(keep & (state.col_of_row >= 0), jnp.maximum(state.row_of_col, 0), axis=1)
    row_of_col = jnp.where(row_kept & (state.row_of_col >= 0), state.row_of_col, -1)
    row_price, col_price = jnp.where(ok, profit, jnp.nan), jnp.where(ok, state.price, jnp.nan)
    return (
        col_of_row.reshape(*batch, n),
        row_of_col.reshape(*batch, m),
        row_price.reshape(*batch, n),
        col_price.reshape(*batch, m),
        state.status.reshape(batch),
    )


def _solve(weights: jax.Array, warm: tuple[jax.Array, jax.Array] | None, floor: float) -> _State:
    n = weights.shape[1]
    # Prices grow to at most 2 n max|w|; beyond this limit they could overflow.
    limit = jnp.finfo(weights.dtype).max / (4 * (n + 1))
    usable = ((jnp.abs(weights) <= limit) | (weights == -jnp.inf)).all((1, 2))
    weights = jnp.where(usable[:, None, None], jnp.maximum(weights, floor), 0)

    def search_from_next_row(state: _State, where: jax.Array) -> _State:
        free = state.col_of_row < 0
        start = jnp.where(free.any(1), jnp.argmax(free, 1).astype(jnp.int32), -1)
        return state._replace(
            start=jnp.where(where, start, state.start),
            row=jnp.where(where, start, state.row),
            reached=jnp.where(where, 0, state.reached),
            distance=jnp.where(where[:, None], jnp.inf, state.distance),
            in_tree=state.in_tree & ~where[:, None],
        )

    def step(state: _State) -> _State:
        searching = (state.start >= 0) & (state.sink < 0)
        state = _search(state, weights, searching)
        state, finished = _rematch(state)
        state = search_from_next_row(state, finished)
        return state._replace(steps=state.steps + 1)

    if warm is None:
        price, (col_of_row, row_of_col) = jnp.zeros_like(weights[:, 0, :]), _first_choices(weights)
    else:
        price, col_of_row, row_of_col = _start_from(weights, *warm, floor)
    price, col_of_row, row_of_col = _bid(weights, price, col_of_row, row_of_col)
    # Zeros made from the weights vary, inside shard_map, over the same axes as they do.
    per_col = jnp.zeros_like(weights[:, 0, :])
    per_problem = jnp.zeros_like(weights[:, 0, 0])
    integer = per_problem.astype(jnp.int32)
    state = _State(
        price=price,
        col_of_row=col_of_row,
        row_of_col=row_of_col,
        start=integer,
        row=integer,
        reached=per_problem,
        distance=per_col,
        predecessor=per_col.astype(jnp.int32),
        in_tree=per_col.astype(bool),
        sink=integer - 1,
        status=jnp.where(usable, Status.OK, Status.NON_FINITE).astype(jnp.int32),
        steps=jnp.zeros((), jnp.int32),
    )
    state = search_from_next_row(state, usable)
    state = state._replace(start=jnp.where(usable, state.start, -1))
    # A search for the k-th match scans at most k rows and rematches at most k columns.
    max_steps = n * (n + 1) + n
    state = lax.while_loop(lambda s: (s.start >= 0).any() & (s.steps < max_steps), step, state)
    return state._replace(status=jnp.where(state.start >= 0, Status.ITERATION_LIMIT, state.status).astype(jnp.int32))


def _first_choices(weights: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Give each column to the first row that likes it best: optimal at prices of zero, and most of the work."""
    n, m = weights.shape[1:]
    best = jnp.argmax(weights, axis=2).astype(jnp.int32)
    possible = weights.max(axis=2) > -jnp.inf
    wants = possible[:, :, None] & (best[:, :, None] == jnp.arange(m, dtype=jnp.int32))
    winner = jnp.where(wants.any(1), jnp.argmax(wants, axis=1).astype(jnp.int32), -1)
    won = jnp.take_along_axis(winner, best, axis=1) == jnp.arange(n, dtype=jnp.int32)
    return jnp.where(won & possible, best, -1), winner


def _bid(
    weights: jax.Array, price: jax.Array, col_of_row: jax.Array, row_of_col: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Let all free rows bid at once for the columns that they like best, for a limited number of rounds.

    A column goes to the highest bid, and its price rises until the second-best column of that row is as good. Every
    pair stays tight and every price feasible, so that it may stop at any point. A round is a few operations on whole
    matrices, in place of a search per row.
    """
    n, m = weights.shape[1:]
    if m == 1:
        return price, col_of_row, row_of_col
    rows, columns = jnp.arange(n, dtype=jnp.int32), jnp.arange(m, dtype=jnp.int32)

    def one_round(state: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        price, col_of_row, row_of_col, _, number = state
        profit = weights - price[:, None, :]
        best, at = profit.max(2), profit.argmax(2).astype(jnp.int32)
        wants = columns == at[:, :, None]
        second = jnp.where(wants, -jnp.inf, profit).max(2)
        held = jnp.take_along_axis(row_of_col, at, axis=1) >= 0
        # A bid of zero for a column that is held could go round in circles; one without a second choice has no limit.
        rise = best - second
        bids = (col_of_row < 0) & (rise < jnp.inf) & ((rise > 0) | ~held)
        offer = jnp.where(wants & bids[:, :, None], rise[:, :, None], -jnp.inf)
        highest = offer.max(1)
        winner = offer.argmax(1).astype(jnp.int32)
        sold = highest > -jnp.inf
        price = jnp.where(sold, price + jnp.maximum(highest, 0), price)
        row_of_col = jnp.where(sold, winner, row_of_col)
        mine = row_of_col[:, None, :] == rows[:, None]
        col_of_row = jnp.where(mine.any(2), mine.argmax(2).astype(jnp.int32), -1)
        return price, col_of_row, row_of_col, sold.any(), number + 1

    # Below this share of free rows a round does little more than a search.
    few = n // 16

    def go_on(state: tuple[jax.Array, ...]) -> jax.Array:
        _, col_of_row, _, sold, number = state
        return sold & (number < _ROUNDS) & ((col_of_row < 0).sum(1) > few).any()

    state = price, col_of_row, row_of_col, (price == price).any(), jnp.zeros((), jnp.int32)
    price, col_of_row, row_of_col, *_ = lax.while_loop(go_on, one_round, state)
    return price, col_of_row, row_of_col


def _start_from(
    weights: jax.Array, col_of_row: jax.Array, price: jax.Array, floor: float
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Keep what is optimal at the given prices: pairs of a column that its row likes best, unmatched columns at 0."""
    n, m = weights.shape[1:]
    # Optimal prices are no larger; much larger ones would swallow the weights' digits.
    bound = jnp.where(jnp.isfinite(weights), jnp.abs(weights), 0).max((1, 2)) * (1 if floor == 0 else 2 * (n + 1))
    price = jnp.where(price >= 0, jnp.minimum(price, bound[:, None]), 0)
    inside = (col_of_row >= 0) & (col_of_row < m)
    at = jnp.where(inside, col_of_row, 0).astype(jnp.int32)
    own = jnp.take_along_axis(weights, at[:, :, None], axis=2)[:, :, 0]
    wants = (inside & (own > -jnp.inf))[:, :, None] & (at[:, :, None] == jnp.arange(m, dtype=jnp.int32))
    first = wants & (jnp.cumsum(wants, axis=1) == 1)  # no column twice

    def content(price: jax.Array, held: jax.Array) -> jax.Array:
        best = (weights - price[:, None, :]).max(2)
        return held & (own - jnp.take_along_axis(price, at, axis=1) >= best)

    def settle(state: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array, jax.Array]:
        price, held, _ = state
        lower = jnp.where((first & held[:, :, None]).any(1), price, 0)
        still = content(lower, held)
        return lower, still, (still != held).any()

    held = content(price, first.any(2))
    if n < m:
        price, held, _ = lax.while_loop(lambda s: s[2], settle, (price, held, held.any() | True))
    pairs = first & held[:, :, None]
    row_of_col = jnp.where(pairs.any(1), jnp.argmax(pairs, axis=1).astype(jnp.int32), -1)
    return price, jnp.where(held, at, -1), row_of_col


def _search(state: _State, weights: jax.Array, searching: jax.Array) -> _State:
    """Scan one row, then move to the nearest column; if that one is free, raise prices and end the search there."""
    row_weights = jnp.take_along_axis(
        weights, jnp.maximum(state.row, 0)[:, None, None], axis=1, mode="promise_in_bounds"
    )[:, 0]
    # A matched pair is tight, so its row is as far as its column; the difference makes up for the row's dual variable.
    via = _at(state.col_of_row, state.row)
    offset = jnp.where(via < 0, 0, state.reached - (_at(state.price, via) - _at(row_weights, via)))
    reduced = (state.price - row_weights) + offset[:, None]
    shorter = searching[:, None] & ~state.in_tree & (reduced < state.distance)
    distance = jnp.where(shorter, reduced, state.distance)
    predecessor = jnp.where(shorter, state.row[:, None], state.predecessor)

    outside = jnp.where(state.in_tree, jnp.inf, distance)
    nearest = outside.min(1)
    possible = nearest < jnp.inf
    # The first of the nearest columns; a free one where there is one, since it ends the search.
    m = outside.shape[1]
    index = jnp.arange(m, dtype=jnp.int32)
    rank = jnp.where(state.row_of_col < 0, index, index + m)
    col = jnp.where(outside == nearest[:, None], rank, 2 * m).min(1) % m
    next_row = _at(state.row_of_col, col)
    found = searching & possible & (next_row < 0)
    go_on = searching & possible & (next_row >= 0)
    rise = jnp.where(found[:, None] & state.in_tree, nearest[:, None] - distance, 0)
    return state._replace(
        price=state.price + rise,
        distance=distance,
        predecessor=predecessor,
        in_tree=state.in_tree | (go_on[:, None] & (index == col[:, None])),
        row=jnp.where(go_on, next_row, state.row),
        reached=jnp.where(go_on, nearest, state.reached),
        sink=jnp.where(found, col, state.sink),
        start=jnp.where(searching & ~possible, -1, state.start),
        status=jnp.where(searching & ~possible, Status.INFEASIBLE, state.status).astype(jnp.int32),
    )


def _rematch(state: _State) -> tuple[_State, jax.Array]:
    """Give the column at the end of a found path to the row before it; the column that this row held comes next."""
    active = state.sink >= 0
    col = jnp.maximum(state.sink, 0)
    row = _at(state.predecessor, col)
    next_col = _at(state.col_of_row, row)
    finished = active & (row == state.start)
    at_row = active[:, None] & (jnp.arange(state.col_of_row.shape[1], dtype=jnp.int32) == row[:, None])
    at_col = active[:, None] & (jnp.arange(state.row_of_col.shape[1], dtype=jnp.int32) == col[:, None])
    state = state._replace(
        col_of_row=jnp.where(at_row, col[:, None], state.col_of_row),
        row_of_col=jnp.where(at_col, row[:, None], state.row_of_col),
        sink=jnp.where(finished, -1, jnp.where(active, next_col, state.sink)),
    )
    return state, finished


def _at(x: jax.Array, index: jax.Array) -> jax.Array:
    """``x[k, index[k]]`` for each k; an index of -1 reads entry 0, which the caller does not use."""
    return jnp.take_along_axis(x, jnp.maximum(index, 0)[:, None], axis=1, mode="promise_in_bounds")[:, 0]
