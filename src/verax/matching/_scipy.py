"""SciPy's own entry point, served by this room's solver."""

from typing import Any

import jax
import numpy as np
from numpy.typing import ArrayLike

from ._assignment import solve_assignment
from ._status import Status


def linear_sum_assignment(cost: ArrayLike, maximize: bool = False) -> tuple[np.ndarray, np.ndarray]:
    r"""Solve one assignment problem as :func:`scipy.optimize.linear_sum_assignment` does.

    .. math:: \min_{\text{matchings}} \sum_{i} \text{cost}_{i, \text{col}(i)}

    Parameters
    ----------
    cost
        ``[n, m]`` numbers; plus infinity forbids a pair (minus infinity when maximizing).
    maximize
        Whether to maximize the total instead.

    Returns
    -------
    tuple of numpy.ndarray
        Row indices in increasing order and the column of each, int64, ``min(n, m)`` of them.

    Raises
    ------
    ValueError
        As SciPy: not a matrix; NaN or the other infinity; no finite assignment. Also, beyond SciPy, entries so large
        (above 1e307 / n) that sums of them could overflow.
    TypeError
        As SciPy: an array whose dtype does not safely become float64.

    Notes
    -----
    A host function: not traceable, always in float64, whether or not JAX has 64-bit types enabled. Where several
    assignments are optimal, the one returned may differ from SciPy's.

    References
    ----------
    As :func:`solve_assignment`.

    Examples
    --------
    >>> from verax.matching import linear_sum_assignment
    >>> row, col = linear_sum_assignment([[4, 1, 3], [2, 0, 5], [3, 2, 2]])
    >>> row.tolist(), col.tolist()
    ([0, 1, 2], [1, 0, 2])
    """
    matrix: Any = np.asarray(cost) if hasattr(cost, "dtype") else np.asarray(cost, np.float64)
    if matrix.ndim != 2:
        raise ValueError(f"expected a matrix (2-D array), got a {matrix.ndim} array")
    matrix = matrix.astype(np.float64, casting="safe")
    forbidden = -np.inf if maximize else np.inf
    if np.isnan(matrix).any() or (matrix == -forbidden).any():
        raise ValueError("matrix contains invalid numeric entries")
    with jax.enable_x64(True):
        result = solve_assignment(matrix, maximize=bool(maximize), allow_unmatched=False)
    if result.status == Status.INFEASIBLE:
        raise ValueError("cost matrix is infeasible")
    if result.status != Status.OK:
        raise ValueError(
            f"cost: got entries up to {np.abs(matrix[np.isfinite(matrix)]).max():g}; need sums that fit float64"
        )
    col_of_row = np.asarray(result.col_of_row, np.int64)
    (rows,) = np.nonzero(col_of_row >= 0)
    return rows, col_of_row[rows]
