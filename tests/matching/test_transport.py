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
    cost = np.zeros((6, 2, 2), np.float32)
    cost[3, 0, 0] = np.nan
    cost[4, 0, 0] = -np.inf
    cost[5] = [[np.inf, 0], [np.inf, 0]]
    supply = np.array([[1, 1], [1, 1], [-1, 3], [1, 1], [1, 1], [1, 1]], np.float32)
    demand = np.array([[1, 1], [1, 1.001], [1, 1], [1, 1], [1, 1], [1, 1]], np.float32)
    moved = solve_transport(cost, supply, demand, implementation=implementation)
    failed = [Status.INFEASIBLE, Status.INFEASIBLE, Status.NON_FINITE, Status.NON_FINITE, Status.INFEASIBLE]
    assert np.asarray(moved.status).tolist() == [Status.OK, *failed]
    assert np.isnan(moved.value[1:]).all()
    assert np.isnan(moved.plan[1:]).all()
    assert float(moved.value[0]) == 0
    with pytest.raises(ValueError, match=r"Transport\.status: got INFEASIBLE for 5 of 6.*totals"):
        moved.raise_if_failed()


@pytest.mark.parametrize("kind", ["softmax", "dirichlet", "forbidden"])
def test_peaked_masses_and_forbidden_routes(rng, implementation, kind):
    """Amounts of very different sizes: smaller than the rounding of those that they are taken from."""
    cost = rng.random((12, 12, 7)).astype(np.float32)
    if kind == "softmax":
        supply, demand = (np.exp(10 * rng.normal(size=(12, k)).astype(np.float32)) for k in (12, 7))
    elif kind == "dirichlet":
        supply, demand = (rng.dirichlet(np.full(k, 0.02), 12).astype(np.float32) for k in (12, 7))
    else:
        cost[rng.random(cost.shape) < 0.4] = np.inf
        supply, demand = np.ones((12, 12), np.float32), np.full((12, 7), 12 / 7, np.float32)
    supply, demand = (x / x.sum(1, keepdims=True) for x in (supply, demand))
    moved = solve_transport(cost, supply, demand, implementation=implementation)
    for k in range(12):
        masses = supply[k].astype(np.float64), demand[k].astype(np.float64)
        ratio = masses[0].sum() / masses[1].sum()
        expected = highs(np.where(np.isfinite(cost[k]), cost[k], 1e3).astype(np.float64), masses[0], masses[1] * ratio)
        if expected is None or expected > 2:  # no solution without a forbidden route
            assert kind == "forbidden" or expected is None
            assert expected is None or int(moved.status[k]) == Status.INFEASIBLE
        else:
            assert abs(float(moved.value[k]) - expected) < 1e-6
            np.testing.assert_allclose(moved.plan[k].sum(1), masses[0], atol=1e-6)
            np.testing.assert_allclose(moved.plan[k].sum(0), masses[1] * ratio, atol=1e-6)


def test_masses_are_balanced_by_scaling(rng, implementation):
    """Totals that differ by rounding of single precision; the tolerance does not grow with the number of amounts."""
    supply, demand = rng.random(500), rng.random(3)
    supply, demand = supply / supply.sum(), demand / demand.sum() * (1 + 3e-7)
    cost = rng.random((500, 3))
    moved = solve_transport(cost, supply, demand, implementation=implementation)
    assert int(moved.status) == Status.OK
    np.testing.assert_allclose(moved.imbalance, -3e-7, atol=1e-7)
    np.testing.assert_allclose(moved.plan.sum(0), demand / (1 + 3e-7), rtol=2e-6)
    assert int(solve_transport(cost, supply, demand * 1.001, implementation=implementation).status) == Status.INFEASIBLE


def test_gradient_is_plan_and_prices(rng):
    cost, supply, demand = (jnp.asarray(x[0], jnp.float32) for x in problems(rng, 6, 3))
    moved = solve_transport(cost, supply, demand)
    gradients = jax.grad(lambda *problem: solve_transport(*problem).value, (0, 1, 2))(cost, supply, demand)
    for ours, theirs in zip(gradients, (moved.plan, moved.row_price, moved.col_price), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_partial_transport(rng):
    """Against the linear programme in which rows and columns are bounded and the total is given."""
    cost, supply, demand = rng.normal(size=(6, 4)), rng.random(6), rng.random(4)
    for mass in (0.0, 0.7, min(supply.sum(), demand.sum())):
        moved = solve_transport(cost, supply, demand, mass=mass)
        rows, columns = np.kron(np.eye(6), np.ones((1, 4))), np.kron(np.ones((1, 6)), np.eye(4))
        limits, total = np.concatenate([supply, demand]), np.ones((1, 24))
        best = optimize.linprog(cost.ravel(), np.vstack([rows, columns]), limits, total, [mass], method="highs")
        np.testing.assert_allclose(moved.value, best.fun, atol=1e-5)
        np.testing.assert_allclose(moved.plan.sum(), mass, atol=1e-5)
        assert (np.asarray(moved.plan.sum(1)) <= supply + 1e-5).all()
    assert int(solve_transport(cost, supply, demand, mass=supply.sum() + 1).status) == Status.INFEASIBLE


def test_nothing_to_move():
    empty = solve_transport(np.zeros((0, 3), np.float32), np.zeros(0, np.float32), np.zeros(3, np.float32))
    assert (float(empty.value), int(empty.status)) == (0, Status.OK)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("cost", "supply", "message"),
    [
        (np.zeros(2, np.float32), np.ones(2, np.float32), r"cost: got shape \(2,\)"),
        (np.zeros((2, 2), complex), np.ones(2, np.float32), "cost: got dtype complex128; need real numbers"),
        (np.zeros((2, 2), np.float32), np.ones(3, np.float32), r"supply: got shape \(3,\); need shape \(2,\)"),
        (np.zeros((2, 2), np.float32), ["a", "b"], "supply: got dtype <U1; need real numbers"),
    ],
)
def test_bad_input(cost, supply, message):
    with pytest.raises(ValueError, match=message):
        solve_transport(cost, supply, np.ones(2, np.float32))
