import jax
import jax.numpy as jnp
import numpy as np
import pytest

from verax.online import caching, learning, scheduling, ski_rental
from verax.online.games import FiniteOnlineGame

pytestmark = pytest.mark.bad_input

NAN, INF = float("nan"), float("inf")
X, Y = np.ones(3), np.ones(3)
PMF = np.full(4, 0.25)
GAME = FiniteOnlineGame(np.array([[1.0, 2.0], [2.0, 1.0]]), np.ones(2))
REQUESTS = np.array([0, 1, 2, 0])
KEY = jax.random.key(0)

CALLS = {
    "robustness below the least": (lambda: ski_rental.optimal_distribution(1.2, 10), "1.5353399"),
    "robustness below the least, bound": (lambda: ski_rental.consistency_lower_bound(1.2, 10), "1.5353399"),
    "robustness below the least, limit": (lambda: ski_rental.consistency_lower_bound(1.5), "1.58197"),
    "robustness below the least, certificate": (lambda: ski_rental.lower_bound_certificate(1.2, 10), "1.5353399"),
    "robustness nan": (lambda: ski_rental.optimal_distribution(NAN, 10), "robustness"),
    "robustness infinite": (lambda: ski_rental.lower_bound_certificate(INF, 10), "robustness"),
    "buy_cost zero": (lambda: ski_rental.optimal_distribution(2.0, 0), "buy_cost"),
    "buy_cost negative": (lambda: ski_rental.buy_day(3, -2.5, 0.5), "buy_cost"),
    "buy_cost fraction": (lambda: ski_rental.frontier_vertices(2.5), "buy_cost: got 2.5; need an integer"),
    "buy_cost text": (lambda: ski_rental.buy_day(3, "ten", 0.5), "buy_cost"),
    "buy_cost bool": (lambda: ski_rental.frontier_vertices(True), "buy_cost"),
    "lam zero": (lambda: ski_rental.buy_day(3, 10, 0.0), "lam"),
    "lam above one": (lambda: ski_rental.buy_day(3, 10, 1.1), "lam"),
    "lam nan": (lambda: ski_rental.buy_day(3, 10, NAN), "lam"),
    "lam below 1/b": (lambda: ski_rental.buy_distribution(None, 10, 0.05), "lam"),
    "lam traced": (lambda: jax.jit(lambda lam: ski_rental.buy_distribution(None, 10, lam))(0.5), "lam"),
    "prediction nan": (lambda: ski_rental.buy_day(NAN, 10, 0.5), "prediction"),
    "prediction vector": (lambda: ski_rental.buy_distribution([2, 5], 10, 0.5), "prediction"),
    "season of no days": (lambda: ski_rental.optimal_cost(np.array([3, 0]), 10), "num_days"),
    "negative season": (lambda: ski_rental.buy_day_cost(3, -1, 10), "num_days"),
    "mass": (lambda: ski_rental.expected_cost(PMF / 2, 10), "distribution"),
    "negative mass": (lambda: ski_rental.expected_cost(np.array([1.5, -0.5]), 10), "distribution"),
    "no days": (lambda: ski_rental.worst_case(np.ones(0), 10), "distribution"),
    "nan mass": (lambda: ski_rental.worst_case(np.array([NAN, 1.0]), 10), "distribution"),
    "prediction of no days": (lambda: ski_rental.worst_case(PMF, 10, prediction=0), "prediction"),
    "probability": (lambda: ski_rental.calibrated_buy_day(1.2, 10), "probability"),
    "probability nan": (lambda: ski_rental.calibrated_buy_day(NAN, 10), "probability"),
    "short prediction": (lambda: ski_rental.short_prediction_consistency(2.0, 1.0), "prediction"),
    "rents": (lambda: ski_rental.rental_game(3, 5, rent=np.ones(4)), "rent"),
    "negative price": (lambda: ski_rental.rental_game(-3, 5), "buy_cost"),
    "no horizon": (lambda: ski_rental.rental_game(3, 0), "num_days"),
    "shops": (lambda: ski_rental.multi_shop_game(np.ones(2), np.ones(3), 5), "prices"),
    "zero size": (lambda: scheduling.optimal_cost(np.array([0.0, 1.0])), "positive"),
    "negative size": (lambda: scheduling.round_robin_cost(np.array([-1.0, 1.0])), "positive"),
    "nan size": (lambda: scheduling.round_robin_cost(np.array([NAN, 1.0])), "non-finite"),
    "infinite size": (lambda: scheduling.round_robin_cost(np.array([INF, 1.0])), "non-finite"),
    "no jobs": (lambda: scheduling.optimal_cost(np.ones(0)), "jobs"),
    "scalar": (lambda: scheduling.optimal_cost(np.float64(1.0)), "jobs"),
    "complex": (lambda: scheduling.optimal_cost(np.ones(2) * 1j), "dtype"),
    "other length": (lambda: scheduling.shortest_predicted_first_cost(X, np.ones(2)), "predictions"),
    "nan prediction": (lambda: scheduling.preferential_round_robin_cost(X, Y * NAN, 0.5), "non-finite"),
    "lam": (lambda: scheduling.preferential_round_robin_cost(X, Y, 1.5), "lam"),
    "lam of two stages": (lambda: scheduling.two_stage_cost(X, Y, 0.6), "lam"),
    "one job": (lambda: scheduling.robustness_lower_bound(1, 0.0), "num_jobs"),
    "two jobs": (lambda: scheduling.two_job_frontier(1.2, 1.0), "robustness"),
    "ratio": (lambda: scheduling.two_job_frontier(1.5, 0.5), "ratio"),
    "search below round robin": (lambda: scheduling.search_schedule(3, 1.4), "1.5"),
    "search above n": (lambda: scheduling.search_schedule(3, 3.5), "robustness"),
    "many jobs": (lambda: scheduling.two_stage_worst_case(np.ones(15), 0.1), "2 to 14"),
    "optimum zero": (lambda: FiniteOnlineGame(np.ones((2, 2)), np.array([1.0, 0.0])), "opt"),
    "negative cost": (lambda: FiniteOnlineGame(-np.ones((2, 2)), np.ones(2)), "cost"),
    "infinite cost": (lambda: FiniteOnlineGame(np.full((2, 2), INF), np.ones(2)), "cost"),
    "empty game": (lambda: FiniteOnlineGame(np.ones((0, 2)), np.ones(0)), "cost"),
    "optima": (lambda: FiniteOnlineGame(np.ones((2, 2)), np.ones(3)), "opt"),
    "game robustness": (lambda: GAME.best_response(1.2, 0), "1.5"),
    "instance": (lambda: GAME.best_response(2.0, 2), "index"),
    "negative instance": (lambda: GAME.best_response(2.0, -1), "prediction"),
    "interval": (lambda: GAME.best_response(2.0, (1, 0)), "first <= last"),
    "belief": (lambda: GAME.best_response(2.0, np.array([0.5, 0.2])), "sum to 1"),
    "belief length": (lambda: GAME.best_response(2.0, np.ones(3) / 3), "prediction"),
    "no prediction": (lambda: GAME.best_response(2.0, None), "prediction"),
    "grid": (lambda: GAME.frontier(2.0, 0), "grid"),
    "profile": (lambda: GAME.error_profile(np.eye(3), np.ones((2, 3)), np.ones(1)), "policy"),
    "distance": (lambda: GAME.error_profile(np.eye(2), np.ones((3, 2)), np.ones(1)), "distance"),
    "requests": (lambda: caching.belady(np.array([np.nan]), 2), "requests"),
    "no requests": (lambda: caching.next_requests(np.zeros(0, int)), "requests"),
    "negative page": (lambda: caching.belady(np.array([-1, 0]), 2, num_pages=3), "requests"),
    "empty cache": (lambda: caching.belady(REQUESTS, 0), "cache_size"),
    "pages": (lambda: caching.belady(REQUESTS, 2, num_pages=2), "num_pages"),
    "pages traced": (lambda: jax.jit(lambda r: caching.belady(r, 2))(jnp.asarray(REQUESTS)), "num_pages"),
    "predictions": (lambda: caching.blind_oracle(REQUESTS, np.ones(3), 2), "predicted_next"),
    "nan predictions": (lambda: caching.predictive_marker(REQUESTS, np.full(4, NAN), 2, key=KEY), "predicted_next"),
    "runs": (lambda: caching.combine(REQUESTS[:3], *[caching.belady(REQUESTS, 2)] * 2, 2), "first"),
    "costs": (lambda: learning.hedge(np.ones(3), cost_range=1.0), "costs"),
    "spread": (lambda: learning.hedge(np.array([[0.0, 3.0]]), cost_range=1.0), "costs"),
    "range": (lambda: learning.hedge(np.ones((2, 2)), cost_range=0.0), "cost_range"),
    "rate": (lambda: learning.hedge(np.ones((2, 2)), cost_range=1.0, learning_rate=-1.0), "learning_rate"),
    "seasons": (lambda: learning.empirical_risk_threshold(np.array([0, 3]), 10), "num_days"),
    "fractions": (lambda: learning.empirical_risk_threshold(np.array([1.5]), 10), "num_days"),
    "level": (lambda: learning.empirical_risk_threshold(np.array([3]), 10, level=1.0), "level"),
    "threshold robustness": (lambda: learning.empirical_risk_threshold(np.array([3]), 10, robustness=1.5), "1.9"),
    "more predictions": (
        lambda: learning.empirical_risk_trade_off(np.array([3, 4]), np.array([3]), 10),
        "1 predictions; need one of each of 2",
    ),
    "probabilities for other seasons": (
        lambda: learning.mixed_cost(np.array([0.5, 0.5]), np.array([1, 2, 3]), 10, 0.5),
        "num_days",
    ),
    "nan prediction of a season": (lambda: learning.empirical_risk_trade_off(np.array([3]), [NAN], 10), "prediction"),
    "trade-off robustness": (
        lambda: learning.empirical_risk_trade_off(np.array([3]), np.array([3]), 10, robustness=1.5),
        "at least 1.535",
    ),
    "trade-off error": (lambda: learning.trade_off_sample_size(10, -1.0), "error"),
    "sample days": (lambda: learning.threshold_sample_size(10, 0, 1.0), "num_days"),
    "sample size": (lambda: learning.threshold_sample_size(10, 20, 0.0), "error"),
    "predictor": (
        lambda: learning.evaluate_predictor(0.0, lambda p, x: x[:, None], np.ones(2), np.array([1, 2]), 10, 0.5),
        "predict_fn",
    ),
    "predicted probability": (lambda: learning.mixed_cost(np.array([1.5]), np.array([1]), 10, 0.5), "probability"),
}


@pytest.mark.parametrize(("call", "message"), CALLS.values(), ids=CALLS)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
