"""Exact transport of real amounts, fast where one side is small."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Float, Int

from verax import _native
from verax._errors import check, check_floating
from verax._types import AnyArray

from ._status import Status
from ._transport_native import transport_native
from ._transport_xla import accurate_sum, transport_xla

MASS_TOLERANCE = 1e-5
"""Imbalance, as a share of the total, up to which demands are scaled to the supplies."""


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


def solve_transport(
    cost: Float[AnyArray, "*b n m"],
    supply: Float[AnyArray, "*b n"],
    demand: Float[AnyArray, "*b m"],
    *,
    implementation: str = "auto",
) -> Transport:
    r"""Move amounts from rows to columns at least total cost, exactly.

    .. math:: \min_{x \ge 0} \sum_{ij} c_{ij} x_{ij} \quad\text{subject to}\quad
        \sum_j x_{ij} = s_i,\; \sum_i x_{ij} = d_j.

    Parameters
    ----------
    cost
        ``[*b, n, m]``, float32 or float64, finite, of any sign.
    supply, demand
        ``[*b, n]`` and ``[*b, m]`` of the same dtype, non-negative, with equal totals.
    implementation
        As for :func:`solve_assignment`.

    Returns
    -------
    Transport
        Prices satisfy ``row_price[i] + col_price[j] <= cost[i, j]``, with equality where something is moved, up to
        rounding. Everything is NaN where ``status`` is not ``Status.OK``: ``INFEASIBLE`` for amounts that are negative
        or whose totals differ by more than rounding explains, ``NON_FINITE``, or ``ITERATION_LIMIT``.

    Raises
    ------
    ValueError
        On shapes and dtypes that do not fit, and an unknown implementation.
    RuntimeError
        As :func:`solve_assignment`.

    Notes
    -----
    With K the smaller side and n the larger, successive shortest paths in a graph of K nodes: about n searches of
    O(K^2) each, memory O(n K). Native code computes in float64 whatever the dtype. Traceable: ``jit``, ``vmap``,
    ``grad`` (envelope theorem: the plan by costs, the prices by amounts, up to a constant that balanced changes do not
    see).

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
    """
    cost, supply, demand = (jnp.asarray(x) for x in (cost, supply, demand))
    check(cost.ndim >= 2, "cost", f"shape {cost.shape}", "[..., n, m]")
    check_floating("cost", cost)
    check(cost.dtype in (jnp.float32, jnp.float64), "cost", f"dtype {cost.dtype}", "float32 or float64")
    *batch, n, m = cost.shape
    for name, amounts, size in (("supply", supply, n), ("demand", demand, m)):
        got, need = f"{amounts.dtype} {amounts.shape}", f"{cost.dtype} {(*batch, size)}"
        check(got == need, name, got, need)
    implementation = _native.chosen(implementation)
    return _solve(cost, supply, demand, implementation)


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
