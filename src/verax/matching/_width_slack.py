"""Prices whose constraints have slack where utilities are uncertain."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from scipy import optimize, sparse

from ._assignment import Assignment


def width_slack(
    weights: jax.Array, solved: Assignment, customer_width: jax.Array, provider_width: jax.Array
) -> tuple[jax.Array, jax.Array]:
    r"""Optimal prices with the largest total slack, each counted up to the width that could use it up.

    .. math:: \max_p \sum_{(i,j)} \min(p_i + p_j - w_{ij},\; d_i + d_j) + \sum_a \min(p_a, d_a)

    over optimal prices p and the pairs that are not forbidden (minus infinity), with d the width of the interval of an
    agent's matched utility, 0 for unmatched ones. One linear programme per problem, on the host; not differentiable.
    """
    fixed = lax.stop_gradient((weights, solved.col_of_row, solved.row_price, solved.col_price))
    shapes = tuple(jax.ShapeDtypeStruct(jnp.shape(price), price.dtype) for price in fixed[2:])
    widths = lax.stop_gradient((customer_width, provider_width))
    return jax.pure_callback(_every, shapes, *fixed, *widths, vmap_method="broadcast_all")


def _every(*arrays: Any) -> tuple[np.ndarray, np.ndarray]:
    weights, match, row_price, col_price, row_width, col_width = (np.asarray(x) for x in arrays)
    rows, columns = row_price.copy(), col_price.copy()
    for at in np.ndindex(weights.shape[:-2]):
        if np.isfinite(row_price[at]).all():
            own, row, col = (np.asarray(x[at], np.float64) for x in (weights, row_width, col_width))
            rows[at], columns[at] = _one(own, row, col, match[at], rows[at])
    return rows, columns


def _one(
    weights: np.ndarray, row_width: np.ndarray, col_width: np.ndarray, match: np.ndarray, row_price: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    n, m = weights.shape
    (rows,) = np.nonzero(match >= 0)
    if not len(rows):
        return row_price, np.zeros(m)
    columns = match[rows]
    k = len(rows)
    own = weights[rows, columns]
    # Prices in the variables x, those of matched rows: p_i = x_i, and own - x for the column that i is matched to. In
    # the slack of a constraint one variable may be added and one subtracted; -1 is none.
    of_row, of_column, column_own = np.full(n, -1), np.full(m, -1), np.zeros(m)
    of_row[rows], of_column[columns], column_own[columns] = np.arange(k), np.arange(k), own
    paid = np.isfinite(weights)
    paid[rows, columns] = False
    i, j = np.nonzero(paid)
    none = np.full(k, -1)
    added = np.concatenate([of_row[i], np.arange(k), none])
    subtracted = np.concatenate([of_column[j], none, np.arange(k)])
    slack_at_0 = np.concatenate([column_own[j] - weights[i, j], np.zeros(k), own])
    cap = np.concatenate([row_width[i] + col_width[j], row_width[rows], col_width[columns]])
    size = len(cap)
    at, variable = np.tile(np.arange(size), 3), np.concatenate([added, subtracted, k + np.arange(size)])
    sign = np.repeat([-1.0, 1.0, 1.0], size)
    some = variable >= 0
    constraints = sparse.csc_array((sign[some], (at[some], variable[some])), shape=(size, k + size))
    # t <= slack, 0 <= t <= cap: the sum of t counts the slack up to the cap; t >= 0 makes the prices optimal ones.
    solution = optimize.linprog(
        np.concatenate([np.zeros(k), -np.ones(size)]),
        A_ub=constraints,
        b_ub=slack_at_0 + 1e-9,  # rounding of the matching's optimality
        bounds=[(None, None)] * k + [(0, width) for width in cap],
        method="highs",
    )
    if solution.status != 0:
        raise RuntimeError(f"the prices of greatest slack were not found: {solution.message}")
    x = solution.x[:k]
    row, col = np.zeros(n), np.zeros(m)
    row[rows], col[columns] = np.clip(x, 0, own), own - np.clip(x, 0, own)
    return row, col
