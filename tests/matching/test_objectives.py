"""As many pairs as possible: against a dynamic programme over all matchings."""

import itertools

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from scipy import optimize

from verax.matching import Status, check_certificate, solve_assignment

pytestmark = pytest.mark.double

COUNTED = "cardinality_then_value"


def best_by_enumeration(weights, worst=-np.inf):
    """Most pairs of at least the worst weight, and their best total."""
    reached = {0: (0, 0.0)}
    for row in weights.tolist():
        following = dict(reached)
        for used, (count, total) in reached.items():
            for column, weight in enumerate(row):
                if weight > -np.inf and weight >= worst and not used >> column & 1:
                    key, found = used | 1 << column, (count + 1, total + weight)
                    following[key] = max(following.get(key, found), found)
        reached = following
    return max(reached.values())


def best_bottleneck(weights):
    count = best_by_enumeration(weights)[0]
    for worst in sorted(set(weights[weights > -np.inf].tolist()), reverse=True):
        found, total = best_by_enumeration(weights, worst)
        if found == count:
            return count, worst, total
    return 0, 0.0, 0.0


def problems(rng, shape, num=60):
    """Continuous weights and ties, with shares of forbidden pairs from 0 to 1."""
    weights = rng.normal(size=(num, *shape))
    weights[::3] = rng.integers(-3, 4, weights[::3].shape)
    forbidden = rng.random(weights.shape) < np.linspace(0, 1, num)[:, None, None]
    return np.where(forbidden, -np.inf, weights).astype(np.float32)


@pytest.mark.parametrize("shape", [(4, 4), (3, 6), (6, 3)])
def test_agrees_with_enumeration(rng, shape, implementation):
    if implementation == "xla" and shape != (3, 6):
        pytest.skip("differs from native code only inside the solver, whose own tests have all shapes")
    weights = problems(rng, shape)
    options = {"objective": COUNTED, "implementation": implementation}
    cold = solve_assignment(weights, **options)
    near = solve_assignment(weights + np.float32(0.25), **options)
    expected = [best_by_enumeration(matrix) for matrix in weights]
    for solved in (cold, solve_assignment(weights, warm=near, **options)):
        assert (np.asarray(solved.status) == Status.OK).all()
        np.testing.assert_array_equal((solved.col_of_row >= 0).sum(1), [count for count, _ in expected])
        np.testing.assert_allclose(solved.value, [total for _, total in expected], atol=1e-5)
        np.testing.assert_allclose(solved.row_price.sum(1) + solved.col_price.sum(1), solved.value, atol=1e-5)
        np.testing.assert_allclose(check_certificate(weights, solved, objective=COUNTED).gap, 0, atol=1e-5)
    if implementation == "xla":
        return
    negative = solve_assignment(-weights, maximize=False, **options)
    np.testing.assert_allclose(negative.value, -cold.value, atol=1e-6)
    strict = solve_assignment(weights, allow_unmatched=False, **options)
    complete = np.array([count == min(shape) for count, _ in expected])
    np.testing.assert_array_equal(strict.status, np.where(complete, Status.OK, Status.INFEASIBLE))


def test_bottleneck_agrees_with_enumeration(rng, implementation):
    weights = problems(rng, (4, 5), 40)
    solved = solve_assignment(weights, objective="bottleneck", implementation=implementation)
    expected = [best_bottleneck(matrix) for matrix in weights]
    np.testing.assert_array_equal((solved.col_of_row >= 0).sum(1), [count for count, _, _ in expected])
    np.testing.assert_allclose(solved.value, [worst for _, worst, _ in expected], atol=1e-6)
    at = np.maximum(solved.col_of_row, 0)[..., None]
    total = np.where(solved.col_of_row >= 0, np.take_along_axis(weights, at, 2)[..., 0], 0).sum(1)
    np.testing.assert_allclose(total, [total for _, _, total in expected], atol=1e-5)


def test_certificate_refuses_fewer_pairs_and_worse_totals(rng):
    weights = np.array([[5.0, 1.0], [4.0, -np.inf]], np.float32)
    best = solve_assignment(weights, objective=COUNTED)
    assert best.col_of_row.tolist() == [1, 0]
    alone = best._replace(col_of_row=np.array([0, -1], np.int32), row_of_col=np.array([0, -1], np.int32))
    assert float(check_certificate(weights, alone, objective=COUNTED).gap) == np.inf
    square = rng.normal(size=(3, 3)).astype(np.float32)
    best = solve_assignment(square, objective=COUNTED)
    for order in itertools.permutations(range(3)):
        match = np.array(order, np.int32)
        other = best._replace(col_of_row=match, row_of_col=np.argsort(match).astype(np.int32))
        worse = float(best.value) - square[np.arange(3), match].sum()
        np.testing.assert_allclose(check_certificate(square, other, objective=COUNTED).gap, worse, atol=1e-5)


def test_masks_and_limit(rng, implementation):
    weights = problems(rng, (5, 6), 40)
    row, column = rng.random((40, 5)) < 0.7, rng.random((40, 6)) < 0.7
    options = {"objective": COUNTED, "implementation": implementation}
    garbage = np.where(row[:, :, None] & column[:, None, :], weights, np.float32(np.nan))
    masked = solve_assignment(garbage, row_mask=row, column_mask=column, cost_limit=-0.5, **options)
    plain = np.where(row[:, :, None] & column[:, None, :] & (weights >= -0.5), weights, -np.inf)
    assert (np.asarray(masked.status) == Status.OK).all()
    expected = [best_by_enumeration(matrix) for matrix in plain]
    np.testing.assert_array_equal((masked.col_of_row >= 0).sum(1), [count for count, _ in expected])
    np.testing.assert_allclose(masked.value, [total for _, total in expected], atol=1e-5)
    gap = check_certificate(garbage, masked, objective=COUNTED, cost_limit=-0.5, row_mask=row, column_mask=column).gap
    np.testing.assert_allclose(gap, 0, atol=1e-5)


@pytest.mark.parametrize("objective", ["value", COUNTED, "bottleneck"])
def test_gradient_is_the_matching(rng, objective):
    weights = jnp.asarray(problems(rng, (4, 5), 3)[1])
    solved = solve_assignment(weights, objective=objective)
    chosen = np.asarray(solved.col_of_row)[:, None] == np.arange(5)
    if objective == "bottleneck":
        chosen &= np.asarray(weights == solved.value)
    gradient = jax.jit(jax.grad(lambda w: solve_assignment(w, objective=objective).value))(weights)
    np.testing.assert_array_equal(gradient, chosen)


def test_no_digit_is_lost_to_the_number_of_pairs():
    """Costs that differ in the eighth digit, and no perfect matching."""
    cost = np.array([[0.1, 0.10000001, np.inf], [0.10000001, 0.1, np.inf], [np.inf, 0.3, np.inf]])
    solved = solve_assignment(cost, maximize=False, objective=COUNTED)
    assert solved.col_of_row.tolist() in ([0, -1, 1], [0, 1, -1])  # two pairs, the cheapest two
    assert solved.col_of_row.tolist() == [0, 1, -1]


@pytest.mark.bad_input  # values that no annotation of arrays names: without the run-time type checker
@pytest.mark.parametrize("dtype", [bool, np.int8, np.int32, np.int64, np.float16, ml_dtypes.bfloat16, np.float64])
def test_number_types(rng, dtype, implementation):
    weights = rng.integers(0, 9, (6, 7)).astype(dtype)
    row, col = optimize.linear_sum_assignment(weights.astype(np.float64), maximize=True)
    for array in (weights, jnp.asarray(weights), weights.tolist()):
        solved = solve_assignment(array, allow_unmatched=False, implementation=implementation)
        assert float(solved.value) == weights.astype(np.float64)[row, col].sum()


def test_double_precision_keeps_its_digits_whatever_the_mode(rng, implementation):
    weights = rng.random((30, 30)) + 1e9
    whole = rng.integers(0, 100, (30, 30)) + 2**40
    for matrix in (weights, whole):
        row, col = optimize.linear_sum_assignment(matrix, maximize=True)
        solved = solve_assignment(matrix, allow_unmatched=False, implementation=implementation)
        assert solved.value.dtype == jnp.result_type(float)
        found = matrix[np.arange(30), np.asarray(solved.col_of_row)].sum()
        assert abs(found - matrix[row, col].sum()) < 1e-5


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int32, np.int64])
def test_largest_number_forbids(dtype, implementation):
    largest = np.finfo(dtype).max if np.dtype(dtype).kind == "f" else np.iinfo(dtype).max
    cost = np.array([[largest, 1], [largest, 2]], dtype)
    options = {"maximize": False, "implementation": implementation}
    assert int(solve_assignment(cost, allow_unmatched=False, **options).status) == Status.INFEASIBLE
    solved = solve_assignment(cost, objective=COUNTED, **options)
    assert (solved.col_of_row.tolist(), float(solved.value)) == ([1, -1], 1)
    winning = solve_assignment(np.array([[largest]], dtype), implementation=implementation)
    assert np.dtype(dtype).kind == "i" or int(winning.status) in (Status.NON_FINITE, Status.OK)
