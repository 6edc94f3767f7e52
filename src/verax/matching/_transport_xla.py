"""Exact transport in pure JAX: successive shortest paths among the columns, in whole numbers.

Amounts and costs are counted in small units, so that no step rounds: a push empties a row, a column or a cell exactly,
distances never fall, and of equally short paths the one of fewest moves is taken. The number of pushes is thus bounded
whatever the sizes of the amounts, in every precision.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ._status import Status

STRANDED_SHARE = 1e-6
"""Share of the total that may stay where no route leads on, as rounding of the given amounts."""

_PUSHES_PER_ROW = 16


class _State(NamedTuple):
    amount: jax.Array  # [n, m], in units
    left: jax.Array  # [n] supply that is not placed yet
    room: jax.Array  # [m]
    price: jax.Array  # [m], in units of cost
    move: jax.Array  # [m, m] cost of the cheapest move of a row from one column to another, forbidden where it is empty
    mover: jax.Array  # [m, m] that row
    stranded: jax.Array  # []
    pushes: jax.Array  # []


def transport_xla(cost: jax.Array, supply: jax.Array, demand: jax.Array) -> tuple[jax.Array, ...]:
    """Solve ``cost [..., n, m]``, n and m >= 1; results as those of ``transport_native``."""
    *batch, n, m = cost.shape
    flat = cost.reshape(-1, n, m), supply.reshape(-1, n), demand.reshape(-1, m)
    plan, row_price, col_price, status = jax.vmap(_solve)(*flat)
    shapes = ((*batch, n, m), (*batch, n), (*batch, m), tuple(batch))
    return tuple(x.reshape(shape) for x, shape in zip((plan, row_price, col_price, status), shapes, strict=True))


def accurate_sum(x: jax.Array) -> jax.Array:
    """Sum over the last axis by halves, whose rounding grows with the logarithm of its length."""
    size = x.shape[-1]
    x = jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, (1 << max(size - 1, 0).bit_length()) - size)])
    while x.shape[-1] > 1:
        half = x.shape[-1] // 2
        x = x[..., :half] + x[..., half:]
    return x[..., 0]


def _solve(cost: jax.Array, supply: jax.Array, demand: jax.Array) -> tuple[jax.Array, ...]:
    n, m = cost.shape
    integer = jnp.int64 if cost.dtype == jnp.float64 else jnp.int32
    total, balance = accurate_sum(supply), accurate_sum(demand)
    finite = (cost > -jnp.inf).all() & jnp.isfinite(total) & jnp.isfinite(balance)
    feasible = (supply >= 0).all() & (demand >= 0).all() & ((total > 0) == (balance > 0))
    usable = finite & feasible & (total > 0)
    left, room, units = _whole_amounts(jnp.where(usable, supply, 0), jnp.where(usable, demand, 0), integer)
    length, unit_cost = _whole_costs(cost, integer)
    forbidden = _forbidden(integer)
    none = (length[0] * 0)[:, None] + length[0] * 0
    state = _State(
        amount=jnp.zeros_like(length),
        left=left,
        room=room,
        price=jnp.zeros_like(room),
        move=none + forbidden,
        mover=none.astype(jnp.int32),
        stranded=jnp.zeros_like(left[0]),
        pushes=jnp.zeros((), jnp.int32),
    )
    limit = _PUSHES_PER_ROW * (n + m) * m
    most_stranded = jnp.asarray(units * STRANDED_SHARE + n + m, integer)

    def go_on(state: _State) -> jax.Array:
        return (state.left > 0).any() & (state.pushes < limit) & (state.stranded <= most_stranded)

    state = lax.while_loop(go_on, lambda s: _push(s, length), state)
    status = jnp.where((state.left > 0).any(), Status.ITERATION_LIMIT, Status.OK)
    status = jnp.where(feasible & (state.stranded <= most_stranded), status, Status.INFEASIBLE)
    status = jnp.where(finite, status, Status.NON_FINITE).astype(jnp.int32)
    col_price = state.price.astype(cost.dtype) * unit_cost
    row_price = (cost - col_price).min(1)
    row_price = jnp.where(row_price < jnp.inf, row_price, 0)  # of a row with nothing to send and no route
    plan = _real_amounts(state.amount, supply, total / units, jnp.argmin(length - state.price, axis=1))
    nan = jnp.where(status == Status.OK, 0, jnp.nan).astype(cost.dtype)
    return plan + nan, row_price + nan, col_price + nan, status


def _forbidden(integer: type) -> int:
    # Twice as much does not overflow.
    return int(np.iinfo(integer).max) // 2


def _whole_amounts(supply: jax.Array, demand: jax.Array, integer: type) -> tuple[jax.Array, jax.Array, float]:
    """Amounts of both sides in units with equal totals, and the number of units in the total."""
    units = 2.0 ** (np.iinfo(integer).bits - 2)

    def whole(amounts: jax.Array) -> jax.Array:
        total = accurate_sum(amounts)
        share = amounts / jnp.where(total > 0, total, 1)
        # Below 1 by enough that the sum of the rounded numbers does not overflow.
        return jnp.rint(share * (units * (1 - 2e-5))).astype(integer)

    supply, demand = whole(supply), whole(demand)
    # Rounding leaves a small difference: most of it is spread in proportion, the rest over the largest amounts.
    short = supply.sum(dtype=integer) - demand.sum(dtype=integer)
    scale = short.astype(jnp.float32) / jnp.maximum(demand.sum(dtype=integer), 1).astype(jnp.float32)
    demand = jnp.maximum(demand + jnp.rint(demand.astype(jnp.float32) * scale).astype(integer), 0)
    short = supply.sum(dtype=integer) - demand.sum(dtype=integer)
    each, rest = short // demand.shape[0], short % demand.shape[0]
    rank = jnp.argsort(jnp.argsort(-demand)).astype(integer)
    used = demand > 0
    demand = demand + jnp.where(used, each, 0) + jnp.where(used & (rank < rest), 1, 0)
    # What unused columns did not take goes to the largest.
    largest = rank == 0
    demand = demand + jnp.where(largest, supply.sum(dtype=integer) - demand.sum(dtype=integer), 0)
    return supply, demand, units * (1 - 2e-5)


def _whole_costs(cost: jax.Array, integer: type) -> tuple[jax.Array, jax.Array]:
    """Costs above the least of their row in units, and the unit."""
    # No path, of at most one move per column, is as long as a forbidden one.
    bits = np.iinfo(integer).bits - 3 - (2 * cost.shape[1]).bit_length()
    units = 2.0 ** min(bits, np.finfo(np.float64).nmant)
    halved = cost / 2  # so that differences of huge costs do not overflow
    allowed = halved < jnp.inf
    least = halved.min(1, keepdims=True)
    above = jnp.where(allowed, halved - jnp.where(least < jnp.inf, least, 0), 0)
    most = above.max()
    length = jnp.rint(above / jnp.where(most > 0, most, 1) * units).astype(integer)
    return jnp.where(allowed, length, _forbidden(integer)), most / units * 2


def _real_amounts(amount: jax.Array, supply: jax.Array, unit: jax.Array, cheapest: jax.Array) -> jax.Array:
    """The plan in the user's amounts: the largest cell of each row takes up what rounding to units left over."""
    plan = amount.astype(supply.dtype) * unit
    at = jnp.where((amount > 0).any(1), jnp.argmax(amount, axis=1), cheapest)
    own = at[:, None] == jnp.arange(amount.shape[1])
    rest = supply - jnp.where(own, 0, plan).sum(1)
    return jnp.where(own, jnp.maximum(rest, 0)[:, None], plan)


def _push(state: _State, length: jax.Array) -> _State:
    """Send what one row has left along a shortest path, as far as it goes."""
    m = length.shape[1]
    forbidden = _forbidden(length.dtype.type)
    row = jnp.argmax(state.left > 0).astype(jnp.int32)
    lengths = jnp.where(state.move < forbidden, state.move + state.price[:, None] - state.price, forbidden)
    # A column with room is where a path ends, so none leads on from there.
    lengths = jnp.where(state.room[:, None] > 0, forbidden, lengths)

    def relax(_: jax.Array, found: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        distance, previous = found
        through = distance[:, None] + lengths
        # Round k finds the paths of k moves, so that of equally short paths that of fewest moves stays.
        nearer = through.min(0) < distance
        return jnp.where(nearer, through.min(0), distance), jnp.where(
            nearer, through.argmin(0).astype(jnp.int32), previous
        )

    direct = jnp.where(length[row] < forbidden, length[row] - state.price, forbidden)
    distance, previous = lax.fori_loop(0, m - 1, relax, (direct, jnp.full(m, -1, jnp.int32)))
    to_room = jnp.where(state.room > 0, distance, forbidden)
    # No column with room can be reached: rounding of the amounts, or no solution.
    stuck = to_room.min() >= forbidden
    last = jnp.where(stuck, jnp.argmin(direct), jnp.argmin(to_room)).astype(jnp.int32)
    previous = jnp.where(stuck, -1, previous)
    price = jnp.where(stuck, state.price, state.price + jnp.minimum(distance - distance[last], 0))

    def narrow(at: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        col, amount = at
        before = previous[col]
        return before, jnp.minimum(amount, state.amount[state.mover[before, col], before])

    most = jnp.where(stuck, state.left[row], jnp.minimum(state.left[row], state.room[last]))
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
        possible = (amounts[:, col, None] > 0) & (length < forbidden)
        costs = jnp.where(possible, length - length[:, col, None], forbidden)
        move, mover = move.at[col].set(costs.min(0)), mover.at[col].set(costs.argmin(0).astype(jnp.int32))
        return previous[col], move, mover, previous[col] < 0

    at = last, state.move, state.mover, jnp.zeros((), bool)
    _, move, mover, _ = lax.while_loop(lambda at: ~at[3], survey, at)
    wrong_way = stuck & (direct.min() >= forbidden)
    lost = jnp.where(wrong_way, jnp.iinfo(length.dtype).max, state.stranded + amount)
    return _State(
        amount=amounts,
        left=state.left.at[row].add(-amount),
        room=jnp.maximum(state.room.at[last].add(-amount), 0),
        price=price,
        move=move,
        mover=mover,
        stranded=jnp.where(stuck, lost, state.stranded),
        pushes=state.pushes + 1,
    )
