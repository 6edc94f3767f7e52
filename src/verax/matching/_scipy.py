"""SciPy's own entry point, served by this package's solver."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from verax import _native
from verax._array_likes import read_array
from verax._errors import check, is_traced

from ._masks import Masks
from ._solve import Options, solve
from ._status import Status


def linear_sum_assignment(cost: ArrayLike, maximize: bool = False) -> tuple[np.ndarray, np.ndarray]:
    r"""Solve one assignment problem as ``scipy.optimize.linear_sum_assignment`` does.

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
        As SciPy: not a matrix; NaN or the other infinity; no finite assignment. Also on a traced matrix: under ``jit``
        use :func:`solve_assignment`.
    TypeError
        As SciPy: an array whose dtype does not safely become float64.

    Notes
    -----
    A host function: not traceable, always in float64, whether or not JAX has 64-bit types enabled. Where several
    assignments are optimal, the one returned may differ from SciPy's. Matrices with entries near the largest number of
    float64 are scaled by a power of two, which rounds nothing above 1e-300 of the largest.

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
    check(not is_traced(cost), "cost", "a traced array", "concrete numbers; under jit use solve_assignment")
    if isinstance(cost, np.ndarray | list | tuple | int | float | bool):
        matrix: Any = np.asarray(cost) if hasattr(cost, "dtype") else np.asarray(cost, np.float64)
    else:
        matrix = np.asarray(read_array("cost", cost))
        if jnp.issubdtype(matrix.dtype, jnp.floating):  # bfloat16 among them
            matrix = matrix.astype(np.float64)
    if matrix.ndim != 2:
        raise ValueError(f"expected a matrix (2-D array), got a {matrix.ndim} array")
    matrix = matrix.astype(np.float64, casting="safe")
    forbidden = -np.inf if maximize else np.inf
    if np.isnan(matrix).any() or (matrix == -forbidden).any():
        raise ValueError("matrix contains invalid numeric entries")
    largest = np.abs(matrix, where=np.isfinite(matrix), out=np.zeros_like(matrix)).max(initial=0)
    limit = np.finfo(np.float64).max / (4 * (min(matrix.shape) + 1))
    if largest > limit:
        matrix = matrix * 2.0 ** -np.ceil(np.log2(4.0 * (min(matrix.shape) + 1)))
    options = Options(bool(maximize), False, "any", "value", None, _native.chosen("auto"))
    with jax.enable_x64(True):
        col_of_row, *_, status = solve(jnp.asarray(matrix), Masks(None, None), None, options)
    if status == Status.INFEASIBLE:
        raise ValueError("cost matrix is infeasible")
    assert status == Status.OK
    matched = np.asarray(col_of_row, np.int64)
    (rows,) = np.nonzero(matched >= 0)
    return rows, matched[rows]
