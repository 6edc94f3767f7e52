"""Assignment to columns that take several rows each."""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int, Real

from verax._arrays import to_host
from verax._errors import check
from verax._results import raise_if_failed, result
from verax._types import AnyArray

from ._assignment import solve_assignment
from ._read import read_weights
from ._status import SENTENCES


@result(SENTENCES)
class ManyToOne(NamedTuple):
    """An optimal assignment to columns with capacities."""

    col_of_row: Int[AnyArray, "*b n"]
    """Column of each row, -1 = unmatched."""
    row_price: Float[AnyArray, "*b n"]
    """Optimal dual variables of the rows."""
    col_price: Float[AnyArray, "*b m"]
    """Optimal dual variables of one more place in each column."""
    value: Float[AnyArray, "*b"]
    """Total weight of the matched pairs, in the caller's sign; differentiable in the weights."""
    status: Int[AnyArray, "*b"]
    """:class:`Status` of each problem."""

    raise_if_failed = raise_if_failed


def solve_many_to_one(
    weights: Real[AnyArray, "*b n m"],
    capacity: Int[AnyArray, " m"] | Sequence[int],
    *,
    maximize: bool = True,
    allow_unmatched: bool = True,
    objective: str = "value",
    cost_limit: float | None = None,
    implementation: str = "auto",
) -> ManyToOne:
    r"""Assign each row to at most one column, and to each column at most as many rows as it has places.

    .. math:: \max_{x} \sum_{ij} w_{ij} x_{ij} \quad\text{subject to}\quad
        \sum_j x_{ij} \le 1,\; \sum_i x_{ij} \le c_j

    Parameters
    ----------
    weights
        ``[*b, n, m]``, as for :func:`solve_assignment`.
    capacity
        ``[m]`` places of each column, whole numbers from 0; concrete, the same for the whole batch.
    maximize, allow_unmatched, objective, cost_limit, implementation
        As for :func:`solve_assignment`; without ``allow_unmatched`` all rows are matched, or all places filled if
        there are fewer.

    Returns
    -------
    ManyToOne
        ``row_price.sum() + (capacity * col_price).sum()`` is ``value`` under ``objective="value"`` with
        ``allow_unmatched``.

    Raises
    ------
    ValueError
        As :func:`solve_assignment`, and on capacities that are not ``[m]`` whole numbers from 0.

    Notes
    -----
    Each column stands as often as it has places, at most n times: O(n^2 sum(min(c, n))) operations.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.matching import solve_many_to_one
    >>> preference = np.array([[3.0, 1.0], [2.0, 1.0], [4.0, 0.0]])
    >>> placed = solve_many_to_one(preference, [2, 1])
    >>> placed.col_of_row.tolist(), float(placed.value), placed.col_price.tolist()
    ([0, 1, 0], 8.0, [1.0, 0.0])
    """
    read = read_weights("weights", weights)
    n, m = read.array.shape[-2:]
    places = to_host("capacity", capacity, shape=(m,), dtype="integer", empty=True)
    check(bool((places >= 0).all()), "capacity", f"{places.min(initial=0)}", "whole numbers from 0")
    columns = np.repeat(np.arange(m), np.minimum(places, n))
    copies = read.array[..., columns]
    options = {"maximize": maximize, "allow_unmatched": allow_unmatched, "objective": objective}
    solved = solve_assignment(copies, **options, cost_limit=cost_limit, implementation=implementation)
    match = jnp.asarray(solved.col_of_row)
    table = jnp.asarray(np.append(columns, 0).astype(np.int32))
    match = jnp.where(match >= 0, table[match], -1)
    # Copies of a column cost the same where all are taken, and nothing where one is free: the least price is theirs.
    price = jnp.asarray(solved.col_price)
    own = columns == np.arange(m)[:, None]
    col_price = jnp.where(own, price[..., None, :], jnp.inf).min(-1, initial=jnp.inf)
    col_price = jnp.where(jnp.isinf(col_price), 0, col_price)
    return ManyToOne(match, solved.row_price, col_price, solved.value, solved.status)
