"""Rent at 1 a day or buy once for ``buy_cost``, not knowing how many days there will be.

A policy buys at the start of a day: buying at the start of day ``j`` costs ``j - 1`` days of rent and the price if the
season reaches day ``j``, and the season's length in rent if it does not.
"""

from ._calibrated import calibrated_buy_day as calibrated_buy_day
from ._certificate import Certificate as Certificate
from ._certificate import lower_bound_certificate as lower_bound_certificate
from ._certificate import verify as verify
from ._cost import WorstCase as WorstCase
from ._cost import buy_day_cost as buy_day_cost
from ._cost import expected_cost as expected_cost
from ._cost import optimal_cost as optimal_cost
from ._cost import worst_case as worst_case
from ._deterministic import DeterministicFrontier as DeterministicFrontier
from ._deterministic import deterministic_frontier as deterministic_frontier
from ._frontier import consistency_lower_bound as consistency_lower_bound
from ._frontier import frontier_vertices as frontier_vertices
from ._frontier import minimum_robustness as minimum_robustness
from ._frontier import optimal_distribution as optimal_distribution
from ._games import multi_shop_game as multi_shop_game
from ._games import rental_game as rental_game
from ._predicted import buy_day as buy_day
from ._predicted import buy_distribution as buy_distribution
from ._predicted import buy_distribution_cost as buy_distribution_cost
from ._short_prediction import short_prediction_consistency as short_prediction_consistency
