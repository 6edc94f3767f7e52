"""Exact transport in pure JAX: successive shortest paths among the columns."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from ._status import Status

_PUSHES_PER_ROW = 16


class _State(NamedTuple):
    amount: jax.Array  # [n, m]
    left: jax.Array  # [n] supply that is not placed yet
    room: jax.Array  # [m]
    price: jax.Array  # [m]
    move: jax.Array  # [m, m] cost of the cheapest move of a row from one column to another, infinite where it is empty
    mover: jax.Array  # [m, m] that row
    pushes: jax.Array  # []


def transport_xla(cost: jax.Array, supply: jax.Array, demand: jax.Array) -> tuple[jax.Array, ...]:
    """Solve ``cost [..., n, m]``, n and m >= 1; results as those of ``transport_native``."""
    *batch, n, m = cost.shape
    flat = cost.reshape(-1, n, m), supply.reshape(-1, n), demand.reshape(-1, m)
    plan, row_price, col_price, status = jax.vmap(_solve)(*flat)
    shapes = ((*batch, n, m), (*batch, n), (*batch, m), tuple(batch))
    return tuple(x.reshape(shape) for x, shape in zip((plan, row_price, col_price, status), shapes, strict=True))


def _solve(cost: jax.Array, supply: jax.Array, demand: jax.Array) -> tuple[jax.Array, ...]:
    n, m = cost.shape
    finite = jnp.isfinite(cost).all() & jnp.isfinite(supply).all() & jnp.isfinite(demand).all()
    # What rounding of the given amounts can explain; the last rows and columns bear it.
    tolerance = supply.sum() * jnp.finfo(cost.dtype).eps * (n + m)
    feasible = (supply >= 0).all() & (demand >= 0).all() & (jnp.abs(supply.sum() - demand.sum()) <= tolerance)
    start = finite & feasible
    none = (cost[0] * 0)[:, None] + cost[0] * 0
    state = _State(
        amount=jnp.zeros_like(cost),
        left=jnp.where(start, supply, 0),
        room=jnp.where(start, demand, 0),
        price=jnp.zeros_like(demand),
        move=none + jnp.inf,
        mover=none.astype(jnp.int32),
        pushes=jnp.zeros((), jnp.int32),
    )
    limit = _PUSHES_PER_ROW * (n + m) * m

    def go_on(state: _State) -> jax.Array:
        return (state.left > 0).any() & (state.pushes < limit)

    state = lax.while_loop(go_on, lambda s: _push(s, cost), state)
    status = jnp.where((state.left > 0).any(), Status.ITERATION_LIMIT, Status.OK)
    status = jnp.where(feasible, status, Status.INFEASIBLE)
    status = jnp.where(finite, status, Status.NON_FINITE).astype(jnp.int32)
    row_price = (cost - state.price).min(1)
    nan = jnp.where(status == Status.OK, 0, jnp.nan).astype(cost.dtype)
    return state.amount + nan, row_price + nan, state.price + nan, status


def _push(state: _State, cost: jax.Array) -> _State:
    """Send what one row has left along a shortest path, as far as it goes."""
    m = cost.shape[1]
    row = jnp.argmax(state.left > 0).astype(jnp.int32)
    lengths = jnp.maximum(state.move + state.price[:, None] - state.price, 0)

    def relax(_: jax.Array, found: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        distance, previous = found
        through = distance[:, None] + lengths
        nearer = through.min(0) < distance
        return jnp.where(nearer, through.min(0), distance), jnp.where(
            nearer, through.argmin(0).astype(jnp.int32), previous
        )

    direct = cost[row] - state.price
    # A column with room is where a path ends, so none leads on from there.
    lengths = jnp.where(state.room[:, None] > 0, jnp.inf, lengths)
    distance, previous = lax.fori_loop(0, m - 1, relax, (direct, jnp.full(m, -1, jnp.int32)))
    full = ~(state.room > 0).any()  # then what is left is rounding, and may exceed the room
    last = jnp.where(full, jnp.argmin(direct), jnp.argmin(jnp.where(state.room > 0, distance, jnp.inf)))
    last = last.astype(jnp.int32)
    previous = jnp.where(full, -1, previous)
    price = jnp.where(full, state.price, state.price + jnp.minimum(distance - distance[last], 0))

    def narrow(at: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        col, amount = at
        before = previous[col]
        return before, jnp.minimum(amount, state.amount[state.mover[before, col], before])

    most = jnp.where(full, state.left[row], jnp.minimum(state.left[row], state.room[last]))
    first, amount = lax.while_loop(lambda at: previous[at[0]] >= 0, narrow, (last, most))

    def shift(at: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        col, amounts = at
        before = previous[col]
        mover = state.mover[before, col]
        return before, amounts.at[mover, before].add(-amount).at[mover, col].add(amount)

    _, amounts = lax.while_loop(lambda at: previous[at[0]] >= 0, shift, (last, state.amount))
    amounts = amounts.at[row, first].add(amount)

    def survey(
        at: tuple[jax.Array, jax.Array, jax.Array, jax.Array],
    ) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
        col, move, mover, _ = at
        costs = jnp.where(amounts[:, col, None] > 0, cost - cost[:, col, None], jnp.inf)
        move, mover = move.at[col].set(costs.min(0)), mover.at[col].set(costs.argmin(0).astype(jnp.int32))
        return previous[col], move, mover, previous[col] < 0

    at = last, state.move, state.mover, jnp.zeros((), bool)
    _, move, mover, _ = lax.while_loop(lambda at: ~at[3], survey, at)
    return _State(
        amount=amounts,
        left=state.left.at[row].add(-amount),
        room=jnp.maximum(state.room.at[last].add(-amount), 0),
        price=price,
        move=move,
        mover=mover,
        pushes=state.pushes + 1,
    )
