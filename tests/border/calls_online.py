"""Valid calls of verax.online."""

import pathlib
import tempfile

import jax
import numpy as np

from support.border import call
from verax.online import caching as c
from verax.online import learning as le
from verax.online import scheduling as sc
from verax.online import ski_rental as s
from verax.online.games import FiniteOnlineGame

KEY = jax.random.key(0)
X, Y = np.array([3.0, 1, 2], np.float32), np.array([2.0, 1, 4], np.float32)
REQUESTS = np.array([0, 1, 2, 0, 1])
PREDICTED = np.array([3.0, 4, 5, 5, 5], np.float32)
PMF = np.array([0.5, 0.25, 0.25], np.float32)
DAYS = np.array([2, 3, 12])
COST, OPT = np.array([[1.0, 2], [2, 1]], np.float32), np.array([1.0, 1], np.float32)
TRACE = pathlib.Path(tempfile.mkdtemp()) / "trace.csv"
TRACE.write_text("time,id,size\n0,a,10\n1,b,10\n2,a,10\n")
# Pages are labels: any kind will do.
PAGES = {
    "requests": dict.fromkeys(
        [
            *("text", "list of text", "infinity", "minus infinity", "1e30", "1e300", "2**40", "2**63", "negative"),
            *("half", "dates", "one row less", "one row"),
        ],
        "labels of another kind",
    )
}


def of(module, name, *arguments, **options):
    return {f"{module.__name__}.{name}": call(getattr(module, name), *arguments, **options)}


CALLS = {
    **of(s, "optimal_cost", DAYS, 10, traceable=True),
    **of(s, "buy_day_cost", np.array([3, 4, 5]), DAYS, 10, traceable=True),
    **of(s, "expected_cost", PMF, 4, traceable=True),
    **of(s, "worst_case", PMF, 4, traceable=True),
    **of(s, "buy_day", np.array([3.0, 20], np.float32), 10, np.array([0.5, 0.25], np.float32), traceable=True),
    **of(s, "buy_distribution", 20, 4, 0.5),
    **of(s, "buy_distribution_cost", DAYS, np.array([3, 20, 1]), 10, 0.5, traceable=True),
    **of(s, "minimum_robustness", 10),
    **of(s, "optimal_distribution", np.array([2.0, 3], np.float32), 5, traceable=True),
    **of(s, "consistency_lower_bound", np.array([2.0, 3], np.float32), 5, traceable=True),
    **of(s, "frontier_vertices", 5),
    **of(s, "deterministic_frontier", 3.0, 5),
    **of(s, "lower_bound_certificate", 2.0, 5),
    "verax.online.ski_rental.verify": call(lambda: s.verify(s.lower_bound_certificate(2.0, 5))),
    **of(s, "short_prediction_consistency", np.array([2.0, 1.75], np.float32), 0.5, traceable=True),
    **of(s, "calibrated_buy_day", np.array([0.5, 0.875], np.float32), 10, traceable=True),
    "verax.online.ski_rental.rental_game": call(
        lambda rent: s.rental_game(3.0, 4, rent=rent).cost, np.array([1.0, 1, 2, 0.5])
    ),
    "verax.online.ski_rental.multi_shop_game": call(
        lambda rents, prices: s.multi_shop_game(rents, prices, 4).cost, np.array([1.0, 2]), np.array([6.0, 4])
    ),
    **of(sc, "optimal_cost", X, traceable=True),
    **of(sc, "round_robin_cost", X, traceable=True),
    **of(sc, "shortest_predicted_first_cost", X, Y, traceable=True),
    **of(sc, "preferential_round_robin_cost", X, Y, 0.5, traceable=True),
    **of(sc, "two_stage_cost", X, Y, 0.25, traceable=True),
    **of(sc, "robustness_lower_bound", 3, np.array([0.25, 0.5], np.float32), traceable=True),
    **of(sc, "preferential_round_robin_consistency", 3, np.array([0.25, 0.5], np.float32), traceable=True),
    **of(sc, "preferential_round_robin_robustness", 3, np.array([0.25, 0.5], np.float32), traceable=True),
    **of(sc, "two_job_frontier", np.array([1.5, 1.75], np.float32), np.array([2.0, 4], np.float32), traceable=True),
    **of(sc, "two_stage_equal_jobs", 3, np.array([0.25, 0.5], np.float32), traceable=True),
    **of(sc, "two_stage_worst_case", np.array([1.0, 2]), 0.25),
    **of(sc, "search_schedule", 3, 2.0),
    "verax.online.games.FiniteOnlineGame": call(lambda cost, opt: FiniteOnlineGame(cost, opt).minimax(), COST, OPT),
    **of(c, "next_requests", REQUESTS, traceable=True, exempt=PAGES),
    **of(c, "belady", REQUESTS, 2, exempt=PAGES),
    **of(c, "blind_oracle", REQUESTS, PREDICTED, 2, exempt=PAGES),
    "verax.online.caching.marker": call(
        lambda requests, num_pages=None: c.marker(requests, 2, key=KEY), REQUESTS, exempt=PAGES
    ),
    "verax.online.caching.predictive_marker": call(
        lambda requests, predicted_next, num_pages=None: c.predictive_marker(requests, predicted_next, 2, key=KEY),
        REQUESTS,
        PREDICTED,
        exempt=PAGES,
    ),
    "verax.online.caching.combine": call(
        lambda first: c.combine(REQUESTS, c.belady(REQUESTS, 2), c.belady(REQUESTS, 2), 2), None
    ),
    "verax.online.caching.read_trace": call(lambda first: c.read_trace(TRACE), None),
    "verax.online.caching.cache_contents": call(lambda run: c.cache_contents(REQUESTS, c.belady(REQUESTS, 2)), None),
    **of(le, "mixed_cost", np.array([0.5, 0.25, 1], np.float32), DAYS, 10, 0.5, traceable=True),
    "verax.online.learning.evaluate_predictor": call(
        lambda features, num_days, predict_fn=None: le.evaluate_predictor(
            0.5, lambda p, x: jax.nn.sigmoid(p * x.astype(np.float32)), features, num_days, 10, 0.5
        ),
        np.array([1.0, -2, 0.5], np.float32),
        DAYS,
    ),
    "verax.online.learning.hedge": call(lambda costs: le.hedge(costs, cost_range=4.0), np.array([[1.0, 2], [3, 1.5]])),
    **of(le, "empirical_risk_threshold", DAYS, 10),
    **of(le, "threshold_sample_size", 10, 20, 1.0),
    **of(le, "empirical_risk_trade_off", DAYS, np.array([3, 20, 1]), 10),
    **of(le, "trade_off_sample_size", 10, 0.5),
}
