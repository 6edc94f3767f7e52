"""Exact transport of real amounts, fast where one side is small."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Float, Int, Real

from verax import _native
from verax._errors import check
from verax._results import raise_if_failed, result
from verax._types import AnyArray

from ._read import in_double, read_weights
from ._status import SENTENCES, Status
from ._transport_native import transport_native
from ._transport_xla import accurate_sum, transport_xla

MASS_TOLERANCE = 1e-5
"""Imbalance, as a share of the total, up to which demands are scaled to the supplies."""


_SENTENCES = SENTENCES | {
    Status.INFEASIBLE: "a negative amount, totals that differ by more than rounding, or forbidden routes"
    " that leave no plan; normalise both sides, give the mass to move, or forbid fewer routes"
}


@result(_SENTENCES)
class Transport(NamedTuple):
    """An optimal plan and the prices that prove it."""

    plan: Float[AnyArray, "*b n m"]
    """Amount moved from each row to each column."""
    row_price: Float[AnyArray, "*b n"]
    """Optimal dual variables of the supplies."""
    col_price: Float[AnyArray, "*b m"]
    """Optimal dual variables of the demands."""
    value: Float[AnyArray, "*b"]
    """Total cost; differentiable in costs and amounts."""
    status: Int[AnyArray, "*b"]
    """:class:`Status` of each problem."""
    imbalance: Float[AnyArray, "*b"]
    """Total supply less total demand, as a share of the larger; demands were scaled to make up for it."""

    raise_if_failed = raise_if_failed


def solve_transport(
    cost: Real[AnyArray, "*b n m"],
    supply: Real[AnyArray, "*b n"],
    demand: Real[AnyArray, "*b m"],
    *,
    mass: Real[AnyArray, "*b"] | float | None = None,
    implementation: str = "auto",
) -> Transport:
    r"""Move amounts from rows to columns at least total cost, exactly.

    .. math:: \min_{x \ge 0} \sum_{ij} c_{ij} x_{ij} \quad\text{subject to}\quad
        \sum_j x_{ij} = s_i,\; \sum_i x_{ij} = d_j

    or, with a given mass, at most :math:`s_i` and :math:`d_j` and :math:`\sum_{ij} x_{ij} = \text{mass}`.

    Parameters
    ----------
    cost
        ``[*b, n, m]`` real numbers of any sign; plus infinity forbids a route.
    supply, demand
        ``[*b, n]`` and ``[*b, m]``, non-negative. Without ``mass`` their totals must agree up to 1e-5 of the larger;
        demands are scaled to the total of the supplies, and ``imbalance`` reports by how much.
    mass
        ``[*b]`` or one number: the amount to move (partial, or unbalanced, transport), at most the smaller total. None
        moves everything.
    implementation
        As for :func:`solve_assignment`.

    Returns
    -------
    Transport
        Prices satisfy ``row_price[i] + col_price[j] <= cost[i, j]``, with equality where something is moved, up to
        rounding; with ``mass`` they are those of moving a little more or less from a row or to a column. Everything
        is NaN where ``status`` is not ``Status.OK``: ``INFEASIBLE`` for negative amounts, totals that differ by more
        than 1e-5, a mass above the smaller total, or where forbidden routes leave more than 1e-6 of the total
        unmoved; ``NON_FINITE`` for NaN and minus infinity; ``ITERATION_LIMIT``.

    Raises
    ------
    ValueError
        On arrays that are not real numbers of fitting shapes, and an unknown implementation.
    RuntimeError
        As :func:`solve_assignment`.

    Notes
    -----
    With K the smaller side and n the larger, successive shortest paths in a graph of K nodes: about n searches of
    O(K^2) each, memory O(n K). Amounts and costs are counted in whole units (native code: 2^-60 of the total and
    2^-52 of the largest difference of costs; pure JAX in single precision: 2^-30, and 2^-22 at K = 50), so that the
    number of steps is bounded whatever the sizes of the amounts. Native code computes in float64 whatever the dtype;
    precision is chosen as in :func:`solve_assignment`. Traceable: ``jit``, ``vmap``, ``grad`` (envelope theorem: the
    plan by costs, the prices by amounts, up to a constant that balanced changes do not see).

    References
    ----------
    R. K. Ahuja, T. L. Magnanti, J. B. Orlin, "Network Flows" (1993), section 9.7.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.matching import solve_transport
    >>> cost = np.array([[0.0, 1.0], [0.2, 0.5], [0.9, 0.0]], np.float32)
    >>> moved = solve_transport(cost, np.ones(3, np.float32), np.array([0.5, 2.5], np.float32))
    >>> np.asarray(moved.plan).round(3).tolist(), round(float(moved.value), 3)
    ([[0.5, 0.5], [0.0, 1.0], [0.0, 1.0]], 1.0)

    Half of it, along the cheapest routes:

    >>> partial = solve_transport(cost, np.ones(3, np.float32), np.array([0.5, 2.5], np.float32), mass=1.5)
    >>> np.asarray(partial.plan).round(3).tolist(), round(float(partial.value), 3)
    ([[0.5, 0.0], [0.0, 0.0], [0.0, 1.0]], 0.0)
    """
    reads = [read_weights("cost", cost)]
    *batch, n, m = reads[0].array.shape
    for name, amounts, shape in (("supply", supply, (*batch, n)), ("demand", demand, (*batch, m))):
        read = read_weights(name, amounts, 1, need=f"shape {shape}")
        check(read.array.shape == shape, name, f"shape {read.array.shape}", f"shape {shape}")
        reads.append(read)
    if mass is not None:
        read = read_weights("mass", mass, 0)
        check(read.array.shape in ((), tuple(batch)), "mass", f"shape {read.array.shape}", f"shape {tuple(batch)}")
        reads.append(read)
    implementation = _native.chosen(implementation)

    def solve(*arrays: jax.Array) -> Transport:
        return _solve(*arrays, implementation) if len(arrays) == 3 else _solve_partial(*arrays, implementation)

    return in_double(reads, solve)


@functools.partial(jax.jit, static_argnums=4)
def _solve_partial(
    cost: jax.Array, supply: jax.Array, demand: jax.Array, mass: jax.Array, implementation: str
) -> Transport:
    """Move a given mass: what stays goes to one more column, and what is not received comes from one more row."""
    mass = jnp.broadcast_to(mass, cost.shape[:-2])
    supplied, demanded = accurate_sum(supply), accurate_sum(demand)
    unsent, unmet = supplied - mass, demanded - mass
    # The two extra agents must not serve one another.
    widened = jnp.pad(cost, [(0, 0)] * (cost.ndim - 2) + [(0, 1), (0, 1)])
    widened = widened.at[..., -1, -1].set(jnp.inf)
    slack = -MASS_TOLERANCE * jnp.maximum(supplied, demanded)
    possible = (mass >= 0) & (unsent >= slack) & (unmet >= slack)
    more_supply, more_demand = (
        jnp.concatenate([amounts, jnp.maximum(extra, 0)[..., None]], -1)
        for amounts, extra in ((supply, unmet), (demand, unsent))
    )
    moved = _solve(widened, more_supply, more_demand, implementation)
    status = jnp.where((moved.status == Status.OK) & ~possible, Status.INFEASIBLE, moved.status).astype(jnp.int32)
    nan = jnp.where(status == Status.OK, 0, jnp.nan).astype(cost.dtype)
    # Prices are fixed up to a constant: with that of the extra column at 0 they count from not moving anything.
    shift = moved.col_price[..., -1:]
    row_price, col_price = moved.row_price[..., :-1] + shift, moved.col_price[..., :-1] - shift
    return Transport(
        moved.plan[..., :-1, :-1] + nan[..., None, None],
        row_price + nan[..., None],
        col_price + nan[..., None],
        moved.value + nan,
        status,
        moved.imbalance,
    )


@functools.partial(jax.jit, static_argnums=3)
def _solve(cost: jax.Array, supply: jax.Array, demand: jax.Array, implementation: str) -> Transport:
    n, m = cost.shape[-2:]
    supplied, demanded = accurate_sum(supply), accurate_sum(demand)
    larger = jnp.maximum(supplied, demanded)
    imbalance = lax.stop_gradient((supplied - demanded) / jnp.where(larger > 0, larger, 1))
    if n == 0 or m == 0:  # nothing can be moved
        empty = (supply == 0).all(-1) & (demand == 0).all(-1)
        nan = jnp.where(empty, 0, jnp.nan).astype(cost.dtype)
        status = jnp.where(empty, Status.OK, Status.INFEASIBLE).astype(jnp.int32)
        prices = supply * 0 + nan[..., None], demand * 0 + nan[..., None]
        return Transport(jnp.zeros_like(cost), *prices, nan, status, imbalance)
    turned = n < m
    problem = (jnp.swapaxes(cost, -1, -2), demand, supply) if turned else (cost, supply, demand)
    problem = lax.stop_gradient(problem)
    if implementation == "native":
        outputs = transport_native(*problem)
    elif implementation == "auto":
        outputs = lax.platform_dependent(*problem, cpu=transport_native, default=transport_xla)
    else:
        outputs = transport_xla(*problem)
    plan, row_price, col_price, status = outputs
    if turned:
        # The solver scales what are here the supplies; both sides are scaled to the total of the supplies.
        scale = jnp.where(demanded > 0, supplied / jnp.where(demanded > 0, demanded, 1), 1)
        plan, row_price, col_price = jnp.swapaxes(plan, -1, -2) * scale[..., None, None], col_price, row_price
    balanced = jnp.abs(imbalance) <= MASS_TOLERANCE
    status = jnp.where((status == Status.OK) & ~balanced, Status.INFEASIBLE, status).astype(jnp.int32)
    nan = jnp.where(status == Status.OK, 0, jnp.nan).astype(cost.dtype)
    plan, row_price, col_price = plan + nan[..., None, None], row_price + nan[..., None], col_price + nan[..., None]
    value = _differentiable_value(cost, supply, demand, plan, row_price, col_price)
    return Transport(plan, row_price, col_price, value, status, imbalance)


@jax.custom_jvp
def _differentiable_value(
    cost: jax.Array,
    supply: jax.Array,
    demand: jax.Array,
    plan: jax.Array,
    row_price: jax.Array,
    col_price: jax.Array,
) -> jax.Array:
    """Total cost of the plan; its derivatives are the plan and the prices."""
    del supply, demand, row_price, col_price
    # Nothing is moved along a forbidden route, whose cost is infinite; NaN is that of a failed problem.
    return jnp.where(plan == 0, 0, cost * plan).sum((-1, -2))


@_differentiable_value.defjvp
def _envelope(primals: Any, tangents: Any) -> tuple[jax.Array, jax.Array]:
    *_, plan, row_price, col_price = primals
    by_cost = (plan * tangents[0]).sum((-1, -2))
    by_amounts = (row_price * tangents[1]).sum(-1) + (col_price * tangents[2]).sum(-1)
    return _differentiable_value(*primals), by_cost + by_amounts
