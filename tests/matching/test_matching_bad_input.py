"""Invalid arguments are answered with the argument's name, what came and what is needed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from verax.matching import check_certificate, linear_sum_assignment, solve_assignment

pytestmark = pytest.mark.bad_input


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((np.zeros(3, np.float32),), {}, r"weights: got shape \(3,\); need \[\.\.\., n, m\]"),
        ((np.float32(1),), {}, r"weights: got shape \(\)"),
        ((np.zeros((2, 2), np.complex64),), {}, "weights: got dtype complex64"),
        ((np.array([["a"]]),), {}, "weights: got dtype <U1; need real numbers"),
        ((np.array([[2**60 + 1]]),), {}, r"weights: got integers beyond 2\*\*53"),
        ((np.zeros((2, 2)),), {"objective": "most"}, "objective: got 'most'; need one of 'value', 'cardinality_then_"),
        ((np.zeros((2, 2)),), {"cost_limit": np.nan}, "cost_limit: got nan; need a number"),
        ((np.zeros((2, 2)),), {"objective": "bottleneck", "prices": "midpoint"}, "prices: got 'midpoint'; need 'any'"),
        ((np.zeros((2, 2)),), {"warm": np.zeros((2, 2))}, "warm: got ndarray; need an Assignment"),
        ((np.zeros((2, 2), np.float32),), {"implementation": "cuda"}, "implementation: got 'cuda'; need one of 'auto'"),
        ((np.zeros((2, 2), np.float32),), {"implementation": None}, "implementation: got None"),
        (
            (np.zeros((2, 3), np.float32),),
            {"row_mask": np.ones(3, bool)},
            r"row_mask: got shape \(3,\); need shape \(2,",
        ),
        ((np.zeros((2, 3), np.float32),), {"column_mask": np.ones(3)}, "column_mask: got dtype float"),
        (
            (np.zeros((2, 3), np.float32),),
            {"warm": solve_assignment(np.zeros((2, 2), np.float32))},
            r"warm.row_of_col: got shape \(2,\); need shape \(3,\)",
        ),
        (
            (np.zeros((1, 1), np.float32),),
            {"warm": solve_assignment(np.zeros((1, 1), np.float32))._replace(col_of_row=np.zeros(1, np.float32))},
            "warm.col_of_row: got dtype float32",
        ),
    ],
)
def test_solve_assignment(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        solve_assignment(*arguments, **options)


@pytest.mark.parametrize(
    ("weights", "changes", "message"),
    [
        (np.zeros(2, np.float32), {}, r"weights: got shape \(2,\)"),
        (np.zeros((2, 3), np.float32), {}, r"assignment.row_of_col: got shape \(2,\); need shape \(3,\)"),
        (np.zeros((2, 2), np.float32), {"row_price": np.zeros(3)}, r"assignment.row_price: got shape \(3,\)"),
        (np.zeros((2, 2), np.float32), {"status": np.zeros(1, int)}, r"assignment.status: got shape \(1,\)"),
    ],
)
def test_check_certificate(weights, changes, message):
    assignment = solve_assignment(np.eye(2, dtype=np.float32))._replace(**changes)
    with pytest.raises(ValueError, match=message):
        check_certificate(weights, assignment)


@pytest.mark.parametrize(
    ("cost", "maximize"),
    [
        ([1, 2], False),
        (5.0, False),
        ([], False),
        (np.zeros((2, 2, 2)), False),
        (np.eye(2) * 1j, False),
        (np.array([["a", "b"], ["c", "d"]]), False),
        (np.array([[1, 2], [3, 4]], object), False),
        ([[np.nan, 1.0]], False),
        ([[-np.inf, 1.0]], False),
        ([[np.inf, 1.0]], True),
        ([[np.inf]], False),
        ([[-np.inf]], True),
        ([[1.0, np.inf], [2.0, np.inf]], False),
    ],
)
def test_linear_sum_assignment_raises_what_scipy_raises(cost, maximize):
    with pytest.raises(Exception) as theirs:  # noqa: PT011
        scipy.optimize.linear_sum_assignment(cost, maximize)
    with pytest.raises(type(theirs.value)) as ours:
        linear_sum_assignment(cost, maximize)
    assert str(ours.value) == str(theirs.value)


@pytest.mark.parametrize("maximize", [False, True])
def test_linear_sum_assignment_of_numbers_near_the_largest(maximize):
    cost = np.array([[1e308, -1e308, 3e307], [1.7e308, -1e308, 2e307], [1e308, np.inf * (1 - 2 * maximize), 1e308]])
    theirs = scipy.optimize.linear_sum_assignment(cost / 16, maximize)  # its own sums overflow
    np.testing.assert_array_equal(linear_sum_assignment(cost, maximize), theirs)


def test_linear_sum_assignment_is_not_traceable():
    with pytest.raises(ValueError, match="cost: got a traced array; need concrete numbers; under jit use solve_assign"):
        jax.jit(linear_sum_assignment)(jnp.eye(2))


def test_a_failure_raises_on_request():
    weights = np.array([[[-np.inf]], [[1.0]]], np.float32)
    failed = solve_assignment(weights, allow_unmatched=False)
    for call in (failed.raise_if_failed, failed.pairs):
        with pytest.raises(ValueError, match=r"Assignment\.status: got INFEASIBLE for 1 of 2, the first at \[0\]"):
            call()
    batch, row, col = solve_assignment(weights).raise_if_failed().pairs()
    assert (batch.tolist(), row.tolist(), col.tolist()) == ([1], [0], [0])
