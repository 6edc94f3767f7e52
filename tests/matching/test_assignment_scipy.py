"""Agreement with SciPy, in float64 through its own entry point and in the precision of the run."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from verax.matching import check_certificate, linear_sum_assignment, solve_assignment

pytestmark = [pytest.mark.reference, pytest.mark.double]


def uniform(rng, n, m):
    return rng.random((n, m))


def geometric(rng, n, m):
    """Distances between points: long chains of rematching, hard for the initial bidding."""
    return np.linalg.norm(rng.normal(size=(n, 1, 2)) - rng.normal(size=(m, 2)), axis=-1)


def ties(rng, n, m):
    return rng.integers(0, 4, (n, m)).astype(float)


def machol_wien(rng, n, m):
    """Products of indices: the worst case of shortest augmenting paths."""
    return np.outer(np.arange(1, n + 1), np.arange(1, m + 1)).astype(float)


def wide_range(rng, n, m):
    return 10.0 ** rng.uniform(-6, 6, (n, m))


def sparse(rng, n, m):
    cost = np.where(rng.random((n, m)) < 0.8, np.inf, rng.normal(size=(n, m)))
    np.fill_diagonal(cost, 3.0)  # feasible
    return cost


FAMILIES = [uniform, geometric, ties, machol_wien, wide_range, sparse]


@pytest.mark.parametrize("family", FAMILIES)
def test_linear_sum_assignment_attains_scipys_total(rng, family):
    for shape in ((60, 60), (40, 90), (90, 40)):
        cost = family(rng, *shape)
        rows, columns = linear_sum_assignment(cost)
        their_rows, their_columns = scipy.optimize.linear_sum_assignment(cost)
        assert rows.dtype == their_rows.dtype
        assert columns.dtype == their_columns.dtype
        assert (np.diff(rows) > 0).all()
        assert len(rows) == min(shape) == len(set(columns.tolist()))
        total, theirs = cost[rows, columns].sum(), cost[their_rows, their_columns].sum()
        np.testing.assert_allclose(total, theirs, rtol=1e-12)


@pytest.mark.parametrize("family", [uniform, geometric, sparse])
def test_maximizing(rng, family):
    gain = -family(rng, 30, 30)
    rows, columns = linear_sum_assignment(gain, maximize=True)
    their_rows, their_columns = scipy.optimize.linear_sum_assignment(gain, maximize=True)
    np.testing.assert_array_equal(rows, their_rows)
    np.testing.assert_array_equal(columns, their_columns)  # continuous weights: one optimum


@pytest.mark.parametrize("cost", [np.zeros((0, 3)), [[]], [[True, False]], [[4, 1, 3], [2, 0, 5], [3, 2, 2]]])
def test_small_and_empty(cost):
    for ours, theirs in zip(linear_sum_assignment(cost), scipy.optimize.linear_sum_assignment(cost), strict=True):
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype


@pytest.mark.parametrize("implementation", ["auto", "xla"])
def test_solve_assignment_attains_scipys_total(rng, implementation):
    """One batch of all families, so that the searches in it have very different lengths."""
    dtype = jnp.zeros(()).dtype
    weights = np.stack([-family(rng, 12, 15) for family in FAMILIES]).astype(dtype)
    result = solve_assignment(weights, allow_unmatched=False, implementation=implementation)
    assert result.status.tolist() == [0] * len(FAMILIES)
    for k, matrix in enumerate(weights.astype(np.float64)):
        rows, columns = scipy.optimize.linear_sum_assignment(matrix, maximize=True)
        scale = np.abs(matrix[np.isfinite(matrix)]).max()
        tolerance = 30 * np.finfo(dtype).eps * scale
        np.testing.assert_allclose(result.value[k], matrix[rows, columns].sum(), atol=tolerance)
    gap = check_certificate(weights, result, allow_unmatched=False).gap
    scales = np.where(np.isfinite(weights), np.abs(weights), 0).max((1, 2))
    assert (np.abs(gap) <= 30 * np.finfo(dtype).eps * scales).all()
