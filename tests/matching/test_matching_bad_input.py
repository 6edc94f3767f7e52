"""Invalid arguments are answered with the argument's name, what came and what is needed."""

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
        ((np.zeros((2, 2), np.int32),), {}, "weights: got dtype int32; need a real floating-point dtype"),
        ((np.zeros((2, 2), bool),), {}, "weights: got dtype bool"),
        ((np.zeros((2, 2), np.complex64),), {}, "weights: got dtype complex64"),
        ((jnp.zeros((2, 2), jnp.bfloat16),), {}, "weights: got dtype bfloat16; need float32 or float64"),
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
        (np.zeros((2, 2), np.int32), {}, "weights: got dtype int32"),
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


def test_linear_sum_assignment_refuses_sums_that_overflow():
    with pytest.raises(ValueError, match="need sums that fit float64"):
        linear_sum_assignment([[1e308, -1e308], [1e308, -1e308]])
