import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from verax.online import Status, ski_rental
from verax.online.games import FiniteOnlineGame

pytestmark = pytest.mark.double

GAMMAS = np.array([1.6, 2.0, 3.0])


@pytest.fixture(scope="module")
def game():
    return ski_rental.rental_game(5, 12)


@pytest.fixture
def tolerance(x64):
    return 2e-7 if x64 else 2e-3


@pytest.mark.costly
def test_rental_frontier_is_the_closed_form(game, tolerance):
    found = game.frontier(GAMMAS, 11)
    np.testing.assert_allclose(found.consistency, ski_rental.consistency_lower_bound(GAMMAS, 5), atol=tolerance)
    assert (np.asarray(found.robustness) <= GAMMAS * (1 + tolerance)).all()
    assert (np.asarray(found.lower_bound) <= np.asarray(found.consistency) + 1e-5).all()
    assert (np.asarray(found.status) == Status.OK).all()
    minimax = game.minimax()
    assert minimax.robustness == pytest.approx(ski_rental.minimum_robustness(5), abs=tolerance)


@pytest.mark.costly
def test_an_interval_is_between_its_ends_and_the_minimax(game, tolerance):
    ends = [float(game.best_response(2.0, y).consistency) for y in (2, 11)]
    interval = float(game.best_response(2.0, (2, 11)).consistency)
    assert max(ends) - tolerance <= interval <= float(game.minimax().robustness) + tolerance
    assert float(game.best_response(2.0, (11, 11)).consistency) == pytest.approx(ends[1], abs=tolerance)


def test_a_point_is_a_distribution(game, tolerance):
    point = game.best_response(2.0, 11).consistency
    belief = np.eye(12)[11]
    assert game.best_response(2.0, belief).consistency == pytest.approx(float(point), abs=tolerance)


def test_an_unattainable_cap_under_a_transformation_is_a_status(game):
    import jax

    found = jax.jit(lambda gamma: game.best_response(gamma, 11))(jnp.asarray(1.2))
    assert found.status == Status.INFEASIBLE


def test_certificate(game, tolerance):
    proof = game.certificate(2.0, 11)
    assert proof.verify() >= 0
    assert proof.bound == pytest.approx(float(ski_rental.consistency_lower_bound(2.0, 5)), abs=tolerance)
    for change in ({"bound": proof.bound + 1e-9}, {"weights": proof.weights - 1}, {"predicted": proof.predicted * 0}):
        with pytest.raises(ValueError, match="certificate"):
            dataclasses.replace(proof, **change).verify()


@pytest.mark.costly
def test_error_profile_is_brute_force(game, rng):
    policies = rng.dirichlet(np.ones(13), size=12)
    days = np.arange(1.0, 13)
    distance = np.abs(days[:, None] - days)
    errors = np.array([0.0, 1.0, 4.0, 100.0])
    ratio = np.asarray(game.ratios) @ policies.T
    expected = [ratio[distance <= eta].max() for eta in errors]
    np.testing.assert_allclose(game.error_profile(policies, distance, errors), expected, rtol=1e-5)
    assert game.error_profile(policies, distance, np.array([-1.0]))[0] == -np.inf


def test_one_max_search_by_reciprocal_ratios(tolerance):
    # Sell at the first price of at least a reservation: with prices in [1, 4] no policy beats sqrt(4) by much more.
    prices = np.array([1.0, 2.0, 4.0])
    sold = np.array([[1, 1, 1], [1, 2, 1], [1, 2, 4.0]])  # highest price reached x reservation
    game = FiniteOnlineGame(1 / sold, 1 / prices)
    assert 1.4 < float(game.minimax().robustness) < 2.0 + tolerance


def test_shops_and_price_drops(tolerance):
    single = ski_rental.rental_game(4, 10)
    twice = ski_rental.multi_shop_game(np.array([1.0, 1.0]), np.array([4.0, 4.0]), 10)
    assert twice.minimax().robustness == pytest.approx(float(single.minimax().robustness), abs=2 * tolerance)
    falling = ski_rental.rental_game(np.array([4.0] * 5 + [1.0] * 5), 10, rent=np.linspace(1, 2, 10))
    total = np.cumsum(np.linspace(1, 2, 10))
    assert float(falling.cost[9, 5]) == pytest.approx(total[4] + 1, rel=1e-6)
    assert float(falling.opt[9]) == pytest.approx(4.0)
