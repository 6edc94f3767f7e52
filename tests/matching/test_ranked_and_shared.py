"""The k best assignments and columns with places, against enumeration; markets from rank lists."""

import itertools

import jax
import numpy as np
import pytest

from verax.matching import (
    Status,
    deferred_acceptance,
    from_rankings,
    k_best_assignments,
    solve_many_to_one,
)


def every_match(n, m):
    """All matchings of n rows and m columns as columns of rows."""
    for match in itertools.product(range(-1, m), repeat=n):
        used = [column for column in match if column >= 0]
        if len(used) == len(set(used)):
            yield match


@pytest.mark.parametrize("shape", [(3, 4), (4, 3)])
@pytest.mark.parametrize("allow_unmatched", [True, False])
def test_k_best_are_the_best_of_all(rng, shape, allow_unmatched):
    weights = rng.normal(size=shape)
    weights[rng.random(shape) < 0.2] = -np.inf
    totals = []
    for match in every_match(*shape):
        pairs = [(row, column) for row, column in enumerate(match) if column >= 0]
        if allow_unmatched or len(pairs) == min(shape):
            totals.append(sum(weights[pair] for pair in pairs))
    expected = sorted((total for total in totals if total > -np.inf), reverse=True)
    for k in (1, 7, len(totals) + 5):
        best = k_best_assignments(weights, k, allow_unmatched=allow_unmatched)
        np.testing.assert_allclose(best.value, expected[:k], atol=1e-5)
        assert len({tuple(match) for match in best.col_of_row.tolist()}) == len(best.value)
    cheapest = k_best_assignments(-weights, 5, maximize=False, allow_unmatched=allow_unmatched)
    np.testing.assert_allclose(cheapest.value, np.negative(expected[:5]), atol=1e-5)


def test_places_are_not_exceeded_and_the_total_is_best(rng, implementation):
    weights = rng.integers(-3, 6, (5, 3)).astype(np.float32)
    capacity = np.array([2, 0, 1])
    placed = solve_many_to_one(weights, capacity, implementation=implementation)
    allowed = [
        match
        for match in itertools.product(range(-1, 3), repeat=5)
        if all(match.count(column) <= capacity[column] for column in range(3))
    ]
    totals = [sum(weights[row, column] for row, column in enumerate(match) if column >= 0) for match in allowed]
    match = placed.col_of_row.tolist()
    assert tuple(match) in allowed
    assert float(placed.value) == max(totals)
    np.testing.assert_allclose(
        placed.row_price.sum() + (capacity * np.asarray(placed.col_price)).sum(), placed.value, rtol=1e-6
    )
    slack = np.asarray(placed.row_price)[:, None] + np.asarray(placed.col_price) - weights
    assert slack[:, capacity > 0].min() >= -1e-5
    gradient = jax.grad(lambda w: solve_many_to_one(w, capacity, implementation=implementation).value)(weights)
    np.testing.assert_array_equal(gradient, np.asarray(match)[:, None] == np.arange(3))
    none = solve_many_to_one(weights, [0, 0, 0])
    assert (none.col_of_row.tolist(), int(none.status)) == ([-1] * 5, Status.OK)


def test_rank_lists():
    market = from_rankings([[2, 0], [0, 1, 2], np.array([1, -1, -1])], [[1], [1, 2], [0, 1, 2]])
    np.testing.assert_allclose(market.customer_utility, [[2 / 3, -1, 1], [1, 2 / 3, 1 / 3], [-1, 1, -1]], rtol=1e-6)
    np.testing.assert_allclose(market.provider_utility.T, [[-1, 1, -1], [-1, 1, 2 / 3], [1, 2 / 3, 1 / 3]], rtol=1e-6)
    assert deferred_acceptance(market).tolist() == [2, 0, 1]


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda: from_rankings([[0, 0]], [[0]]), r"customer_rankings\[0\]: got \[0, 0\]; need each partner once"),
        (lambda: from_rankings([[0], [1]], [[0]]), r"customer_rankings\[1\]: got \[1\]; need indices"),
        (lambda: from_rankings([["a"]], [[0]]), r"customer_rankings\[0\]: got text"),
        (lambda: k_best_assignments(np.eye(2), 0), "k: got 0; need an integer >= 1"),
        (
            lambda: k_best_assignments(np.full((2, 2), -np.inf), 1, allow_unmatched=False),
            "without any",
        ),
        (lambda: solve_many_to_one(np.eye(2), [1, -1]), "capacity: got -1; need whole numbers from 0"),
        (lambda: solve_many_to_one(np.eye(2), [1]), r"capacity: got shape \(1,\)"),
    ],
)
def test_bad_input(function, message):
    with pytest.raises(ValueError, match=message):
        function()
