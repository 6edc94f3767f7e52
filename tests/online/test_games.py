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


def test_a_policy_of_ones_own_is_measured_and_bounded(game, tolerance):
    optimal = np.pad(np.asarray(ski_rental.optimal_distribution(2.0, 5)), (0, game.cost.shape[1] - 5))
    found = game.certify(optimal, 11)
    ratios = np.asarray(game.ratios, np.float64) @ optimal / optimal.sum()
    assert found.robustness == pytest.approx(ratios.max()) == pytest.approx(2.0, abs=1e-6)
    assert found.worst_predicted == 11
    assert found.verify() >= 0
    assert 0 <= found.gap <= 5 * tolerance
    wasteful = game.certify(np.eye(game.cost.shape[1])[-1], (3, 11))
    assert wasteful.verify() >= 0
    assert wasteful.worst_instance == wasteful.worst_predicted
    assert wasteful.gap > 0.5
    belief = game.certify(optimal, np.full(12, 1 / 12))
    assert belief.worst_predicted is None
    assert belief.consistency == pytest.approx(ratios.mean(), rel=1e-6)
    assert belief.verify() >= 0


@pytest.mark.parametrize(
    "claim",
    [{"robustness": 1.9}, {"worst_instance": 0}, {"consistency": 1.0}, {"worst_predicted": 3}, {"bound": 1.5}],
)
def test_false_claims_about_a_policy_are_refused(game, claim):
    found = game.certify(np.eye(game.cost.shape[1])[-1], 11)
    with pytest.raises(ValueError, match=next(iter(claim))):
        dataclasses.replace(found, **claim).verify()


def test_a_policy_that_is_no_distribution_is_refused(game):
    plans = game.cost.shape[1]
    for policy, text in (
        (np.ones(plans), "sum"),
        (np.ones(3) / 3, "shape"),
        (np.eye(plans)[0] * 2 - 1 / plans, "<|>="),
    ):
        with pytest.raises(ValueError, match=f"policy.*({text})"):
            game.certify(policy, 11)
