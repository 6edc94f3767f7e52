"""Identities of the assignment solver, for every implementation."""

import functools
import itertools

import hypothesis
import hypothesis.extra.numpy as hypothesis_numpy
import hypothesis.strategies as strategies
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from verax.matching import Assignment, Status, check_certificate, solve_assignment

pytestmark = pytest.mark.double


@pytest.fixture
def solve(implementation):
    return functools.partial(solve_assignment, implementation=implementation)


def brute_force(weights, allow_unmatched):
    """The optimum by enumeration, or None if there is no perfect matching of the smaller side."""
    wide = weights if weights.shape[0] <= weights.shape[1] else weights.T
    if allow_unmatched:
        wide = np.maximum(wide, 0)
    rows = np.arange(len(wide))
    best = max(wide[rows, list(columns)].sum() for columns in itertools.permutations(range(wide.shape[1]), len(wide)))
    return None if best == -np.inf else best


def some_weights(rng, batch, n, m):
    weights = rng.normal(size=(batch, n, m))
    weights[::2] = rng.integers(-2, 3, (len(weights[::2]), n, m))  # ties
    weights[::3] = np.where(rng.random((len(weights[::3]), n, m)) < 0.5, -np.inf, weights[::3])
    return jnp.asarray(weights, jnp.zeros(()).dtype)


@pytest.mark.costly
@pytest.mark.parametrize(
    ("shape", "allow_unmatched"), [((4, 4), True), ((4, 4), False), ((3, 5), False), ((5, 3), True), ((5, 3), False)]
)
def test_optimal_prices_and_matching(solve, rng, shape, allow_unmatched):
    weights = some_weights(rng, 40, *shape)
    result = jax.tree.map(np.asarray, solve(weights, allow_unmatched=allow_unmatched))
    n, m = shape
    tolerance = 50 * np.finfo(weights.dtype).eps
    feasible = 0
    for k, matrix in enumerate(np.asarray(weights, np.float64)):
        one = Assignment(*(field[k] for field in result))
        best = brute_force(matrix, allow_unmatched)
        if best is None:
            assert one.status == Status.INFEASIBLE
            assert (one.col_of_row == -1).all()
            assert (one.row_of_col == -1).all()
            assert np.isnan([*one.row_price, *one.col_price, one.value]).all()
            continue
        feasible += 1
        assert one.status == Status.OK
        np.testing.assert_allclose(one.value, best, rtol=tolerance, atol=tolerance)
        rows = np.flatnonzero(one.col_of_row >= 0)
        columns = one.col_of_row[rows]
        np.testing.assert_array_equal(one.row_of_col[columns], rows)
        assert (one.row_of_col >= 0).sum() == len(rows)
        np.testing.assert_allclose(matrix[rows, columns].sum(), one.value, rtol=tolerance, atol=tolerance)
        # Duality: feasible prices, tight on pairs, zero for those who stay alone.
        slack = one.row_price[:, None] + one.col_price - matrix
        assert slack.min() > -tolerance
        np.testing.assert_allclose(slack[rows, columns], 0, atol=tolerance)
        np.testing.assert_allclose(one.row_price.sum() + one.col_price.sum(), one.value, atol=4 * tolerance)
        assert (one.row_price[one.col_of_row < 0] == 0).all()
        assert (one.col_price[one.row_of_col < 0] == 0).all()
        if allow_unmatched:
            assert one.row_price.min() >= 0
            assert one.col_price.min() >= 0
            assert (matrix[rows, columns] > 0).all()
        else:
            assert len(rows) == min(n, m)
    assert feasible > 20  # the cases above are not all infeasible


def test_minimizing_is_maximizing_the_negative(solve, rng):
    weights = some_weights(rng, 40, 4, 4)
    most, least = solve(weights, allow_unmatched=False), solve(-weights, maximize=False, allow_unmatched=False)
    np.testing.assert_array_equal(least.value, -most.value)
    for name in ("col_of_row", "row_of_col", "row_price", "col_price", "status"):
        np.testing.assert_array_equal(getattr(least, name), getattr(most, name))


def test_order_of_agents_does_not_matter(solve, rng):
    weights = np.asarray(rng.normal(size=(40, 4, 4)), jnp.zeros(()).dtype)
    rows, columns = rng.permutation(4), rng.permutation(4)
    before, after = solve(weights), solve(weights[:, rows][:, :, columns])
    tolerance = 20 * np.finfo(weights.dtype).eps
    np.testing.assert_allclose(after.value, before.value, rtol=tolerance, atol=tolerance)
    # Continuous weights have one optimum, so the matching moves with the labels.
    moved = np.where(after.col_of_row >= 0, columns[after.col_of_row], -1)
    np.testing.assert_array_equal(moved, np.asarray(before.col_of_row)[:, rows])


def test_batch_is_many_single_problems(solve, rng):
    weights = some_weights(rng, 40, 4, 4)
    together = solve(weights)
    mapped = jax.vmap(solve)(weights.reshape(2, 20, 4, 4))
    for name in Assignment._fields:
        field = np.asarray(getattr(together, name))
        np.testing.assert_array_equal(field.reshape(2, 20, *field.shape[1:]), getattr(mapped, name))
    one = solve(weights[7])
    for field, single in zip(together, one, strict=True):
        np.testing.assert_array_equal(field[7], single)


def test_derivative_of_value_is_the_matching(solve, rng):
    weights = jnp.asarray(rng.normal(size=(5, 4, 4)), jnp.zeros(()).dtype)

    def value(w):
        result = solve(w, maximize=False, allow_unmatched=False)
        return result.value.sum(), result.col_of_row

    gradient, col_of_row = jax.jit(jax.grad(value, has_aux=True))(weights)
    np.testing.assert_array_equal(gradient, np.asarray(col_of_row)[:, :, None] == np.arange(4))


def test_failed_problem_has_no_finite_gradient(solve):
    weights = jnp.array([[jnp.nan, 1.0], [0.0, 1.0]])
    value, gradient = jax.value_and_grad(lambda w: solve(w).value)(weights)
    assert np.isnan(value)
    assert np.isnan(gradient).any()


def test_unusable_entries_are_a_status(solve, rng):
    weights = np.asarray(rng.normal(size=(40, 4, 4)), jnp.zeros(()).dtype)
    weights[:4, 2, 3] = [np.nan, np.inf, np.finfo(weights.dtype).max, -np.finfo(weights.dtype).max / 2]
    bad = np.arange(40) < 4
    result = jax.tree.map(np.asarray, jax.jit(solve)(weights))
    np.testing.assert_array_equal(result.status, np.where(bad, Status.NON_FINITE, Status.OK))
    np.testing.assert_array_equal(np.isnan(result.value), bad)
    np.testing.assert_array_equal(np.isnan(result.row_price).all(1), bad)
    np.testing.assert_array_equal(np.isnan(result.col_price).any(1), bad)
    assert (result.col_of_row[bad] == -1).all()


def test_minus_infinity_is_unusable_when_minimizing(solve):
    weights = jnp.eye(4).at[0, 1].set(-jnp.inf)
    assert int(solve(weights, maximize=False).status) == Status.NON_FINITE
    assert int(solve(weights).status) == Status.OK


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0), (2, 0, 4), (0, 3, 4)])
def test_nobody_to_match(solve, shape):
    result = solve(jnp.zeros(shape))
    batch, (n, m) = shape[:-2], shape[-2:]
    assert [x.shape for x in result] == [(*batch, n), (*batch, m), (*batch, n), (*batch, m), batch, batch]
    assert (np.asarray(result.value) == 0).all()
    assert (np.asarray(result.status) == 0).all()
    assert (np.asarray(result.row_of_col) == -1).all()


def test_ties_everywhere_terminate(solve):
    result = solve(jnp.zeros((4, 4)), allow_unmatched=False)
    assert sorted(result.col_of_row.tolist()) == [0, 1, 2, 3]
    result = solve(jnp.zeros((4, 4)))
    assert (np.asarray(result.col_of_row) == -1).all()  # a pair of weight 0 is no better than staying alone


@hypothesis.settings(max_examples=40, deadline=None, derandomize=True)
@hypothesis.given(
    hypothesis_numpy.arrays(np.int8, (4, 4), elements=strategies.integers(-4, 4)),
    strategies.lists(strategies.integers(0, 15), max_size=10),
)
def test_certificate_closes_on_small_integers(matrix, forbidden):
    """Integers of float32 make every sum exact, so primal and dual must agree to the last bit."""
    weights = matrix.astype(np.float32)
    weights.flat[forbidden] = -np.inf
    for allow_unmatched in (True, False):
        result = solve_assignment(weights, allow_unmatched=allow_unmatched)
        best = brute_force(weights, allow_unmatched)
        if best is None:
            assert int(result.status) == Status.INFEASIBLE
            continue
        certificate = check_certificate(weights, result, allow_unmatched=allow_unmatched)
        assert float(certificate.primal) == float(certificate.dual) == best
