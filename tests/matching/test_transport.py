"""Exact transport against a linear programme, and its own certificate."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize, sparse

from verax.matching import Status, solve_transport

pytestmark = pytest.mark.double


def highs(cost, supply, demand):
    n, m = cost.shape
    rows = sparse.kron(sparse.eye_array(n), np.ones((1, m)))
    columns = sparse.kron(np.ones((1, n)), sparse.eye_array(m)).tocsr()[:-1]
    amounts = np.concatenate([supply, demand[:-1]])
    return optimize.linprog(cost.ravel(), A_eq=sparse.vstack([rows, columns]), b_eq=amounts, method="highs").fun


def problems(rng, n, m):
    """Real amounts and costs; counts with ties; softmax rows of equal mass."""
    cost = np.stack([rng.normal(size=(n, m)), rng.integers(0, 4, (n, m)), 1 - rng.dirichlet(np.full(m, 0.3), n)])
    supply = np.stack([rng.random(n), np.ones(n), np.full(n, 1 / n)])
    demand = np.stack([rng.random(m), rng.multinomial(n, np.full(m, 1 / m)), rng.dirichlet(np.ones(m))])
    demand *= supply.sum(1, keepdims=True) / demand.sum(1, keepdims=True)
    return cost, supply, demand


@pytest.mark.costly
@pytest.mark.parametrize("shape", [(1, 1), (40, 5), (4, 30)])
def test_agrees_with_linear_programme(rng, shape, implementation):
    dtype = jnp.zeros(()).dtype
    cost, supply, demand = (x.astype(dtype) for x in problems(rng, *shape))
    moved = solve_transport(cost, supply, demand, implementation=implementation)
    tolerance = 100 * np.finfo(dtype).eps * supply.sum(1).max()
    assert (np.asarray(moved.status) == Status.OK).all()
    assert (np.asarray(moved.plan) >= 0).all()
    np.testing.assert_allclose(moved.plan.sum(2), supply, atol=tolerance)
    np.testing.assert_allclose(moved.plan.sum(1), demand, atol=tolerance)
    slack = cost - moved.row_price[:, :, None] - moved.col_price[:, None, :]
    assert slack.min() >= -tolerance
    dual = (moved.row_price * supply).sum(1) + (moved.col_price * demand).sum(1)
    np.testing.assert_allclose(dual, moved.value, atol=10 * tolerance)
    expected = [highs(*(np.asarray(x[k], np.float64) for x in (cost, supply, demand))) for k in range(3)]
    np.testing.assert_allclose(moved.value, expected, rtol=1e-4, atol=10 * tolerance)


def test_status(implementation):
    cost = np.zeros((4, 2, 2), np.float32)
    cost[3, 0, 0] = np.nan
    supply = np.array([[1, 1], [1, 1], [-1, 3], [1, 1]], np.float32)
    demand = np.array([[1, 1], [1, 1.1], [1, 1], [1, 1]], np.float32)
    moved = solve_transport(cost, supply, demand, implementation=implementation)
    expected = [Status.OK, Status.INFEASIBLE, Status.INFEASIBLE, Status.NON_FINITE]
    assert np.asarray(moved.status).tolist() == expected
    assert np.isnan(moved.value[1:]).all()
    assert np.isnan(moved.plan[1:]).all()
    assert float(moved.value[0]) == 0


def test_gradient_is_plan_and_prices(rng):
    cost, supply, demand = (jnp.asarray(x[0], jnp.float32) for x in problems(rng, 6, 3))
    moved = solve_transport(cost, supply, demand)
    gradients = jax.grad(lambda *problem: solve_transport(*problem).value, (0, 1, 2))(cost, supply, demand)
    for ours, theirs in zip(gradients, (moved.plan, moved.row_price, moved.col_price), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_nothing_to_move():
    empty = solve_transport(np.zeros((0, 3), np.float32), np.zeros(0, np.float32), np.zeros(3, np.float32))
    assert (float(empty.value), int(empty.status)) == (0, Status.OK)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("cost", "supply", "message"),
    [
        (np.zeros(2, np.float32), np.ones(2, np.float32), r"cost: got shape \(2,\)"),
        (np.zeros((2, 2), int), np.ones(2, np.float32), "cost: got dtype int"),
        (np.zeros((2, 2), np.float16), np.ones(2, np.float16), "cost: got dtype float16"),
        (np.zeros((2, 2), np.float32), np.ones(3, np.float32), r"supply: got float32 \(3,\); need float32 \(2,\)"),
        (np.zeros((2, 2), np.float32), np.ones(2, np.float16), "supply: got float16"),
    ],
)
def test_bad_input(cost, supply, message):
    with pytest.raises(ValueError, match=message):
        solve_transport(cost, supply, np.ones(2, np.float32))
