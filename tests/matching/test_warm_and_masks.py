"""Warm starts change nothing but the time; masks are smaller problems; prices under a rule have gradients."""

import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy import optimize

from verax.matching import Status, check_certificate, solve_assignment

pytestmark = pytest.mark.double

BATCH = 40


def problems(rng, n, m):
    """Continuous weights, ties, and forbidden pairs, one third each."""
    weights = rng.normal(size=(BATCH, n, m))
    weights[::3] = rng.integers(-3, 4, weights[::3].shape)
    weights[1::3] = np.where(rng.random(weights[1::3].shape) < 0.3, -np.inf, weights[1::3])
    return weights.astype(jnp.zeros(()).dtype)


def assert_optimal(weights, solved, **options):
    ok = np.asarray(solved.status) == 0
    tolerance = 200 * np.finfo(weights.dtype).eps
    np.testing.assert_allclose(np.asarray(check_certificate(weights, solved, **options).gap)[ok], 0, atol=tolerance)
    for partner, price in ((solved.row_of_col, solved.col_price), (solved.col_of_row, solved.row_price)):
        np.testing.assert_allclose(np.asarray(price)[ok][np.asarray(partner)[ok] < 0], 0, atol=tolerance)


@pytest.mark.costly
@pytest.mark.parametrize(
    ("shape", "allow_unmatched"), [((5, 5), True), ((5, 5), False), ((3, 6), True), ((6, 3), False)]
)
def test_any_start_gives_the_same_answer(rng, shape, allow_unmatched, implementation):
    weights = problems(rng, *shape)
    nearby = weights + 0.05 * rng.normal(size=weights.shape).astype(weights.dtype)
    options = {"allow_unmatched": allow_unmatched}
    cold = solve_assignment(nearby, **options, implementation=implementation)
    before = solve_assignment(weights, **options, implementation=implementation)
    size = 10.0 ** rng.integers(-3, 30, BATCH)[:, None]
    nonsense = before._replace(
        col_of_row=rng.integers(-3, 9, before.col_of_row.shape).astype(np.int32),
        row_of_col=rng.integers(-3, 9, before.row_of_col.shape).astype(np.int32),
        row_price=(size * rng.normal(size=before.row_price.shape)).astype(weights.dtype),
        col_price=(size * rng.normal(size=before.col_price.shape)).astype(weights.dtype),
    )
    for start in (before, nonsense):
        warm = solve_assignment(nearby, **options, implementation=implementation, warm=start)
        np.testing.assert_array_equal(warm.status, cold.status)
        np.testing.assert_allclose(warm.value, cold.value, rtol=1e-5, atol=1e-5)
        assert_optimal(nearby, warm, **options)


@pytest.mark.costly
@pytest.mark.parametrize("allow_unmatched", [True, False])
@pytest.mark.parametrize("shape", [(4, 4), (3, 6), (6, 3)])
def test_masked_problem_is_the_smaller_one(rng, shape, allow_unmatched, implementation):
    weights = problems(rng, *shape)
    rows, columns = rng.random((BATCH, shape[0])) < 0.7, rng.random((BATCH, shape[1])) < 0.7
    there = rows[:, :, None] & columns[:, None, :]
    options = {"allow_unmatched": allow_unmatched, "row_mask": rows, "column_mask": columns}
    masked = solve_assignment(np.where(there, weights, np.nan), **options, implementation=implementation)
    assert_optimal(np.where(there, weights, 9), masked, **options)
    assert (np.asarray(masked.col_of_row)[~rows] == -1).all()
    for k in range(BATCH):
        small = weights[k][rows[k]][:, columns[k]]
        try:
            row, col = optimize.linear_sum_assignment(np.maximum(small, 0) if allow_unmatched else small, maximize=True)
        except ValueError:
            assert int(masked.status[k]) == Status.INFEASIBLE
        else:
            assert int(masked.status[k]) == Status.OK
            value = np.maximum(small[row, col], 0 if allow_unmatched else -np.inf).sum()
            np.testing.assert_allclose(masked.value[k], value, rtol=1e-5, atol=1e-5)


@pytest.mark.costly
def test_masked_start(rng, implementation):
    weights = problems(rng, 4, 6)
    rows = rng.random((BATCH, 4)) < 0.7
    options = {"allow_unmatched": False, "row_mask": rows, "implementation": implementation}
    cold = solve_assignment(weights, **options)
    warm = solve_assignment(weights, **options, warm=cold)
    np.testing.assert_array_equal(warm.status, cold.status)
    np.testing.assert_allclose(warm.value, cold.value, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("prices", ["row_optimal", "column_optimal", "midpoint"])
def test_prices_are_differentiable(rng, x64, prices):
    if not x64:
        pytest.skip("finite differences need double precision")
    weights = jnp.asarray(rng.normal(size=(4, 6)))

    def total(weights):
        solved = solve_assignment(weights, prices=prices)
        return jnp.sin(solved.row_price).sum() + (solved.col_price**2).sum()

    check_grads(total, (weights,), order=1, modes=["fwd", "rev"], eps=1e-6)


def test_row_optimal_prices_are_marginal_products(rng):
    weights = jnp.asarray(rng.normal(size=(5, 4)).astype(np.float32))
    solved = solve_assignment(weights, prices="row_optimal")
    without = [solve_assignment(weights, row_mask=jnp.arange(5) != i).value for i in range(5)]
    np.testing.assert_allclose(solved.row_price, solved.value - jnp.stack(without), atol=1e-5)
