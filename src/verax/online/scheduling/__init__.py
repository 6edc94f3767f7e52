"""One machine, preemption, jobs of unknown size with predictions of it; the cost is the sum of completion times."""

from ._bounds import preferential_round_robin_consistency as preferential_round_robin_consistency
from ._bounds import preferential_round_robin_robustness as preferential_round_robin_robustness
from ._bounds import robustness_lower_bound as robustness_lower_bound
from ._bounds import two_job_frontier as two_job_frontier
from ._bounds import two_stage_equal_jobs as two_stage_equal_jobs
from ._costs import optimal_cost as optimal_cost
from ._costs import round_robin_cost as round_robin_cost
from ._costs import shortest_predicted_first_cost as shortest_predicted_first_cost
from ._preferential import preferential_round_robin_cost as preferential_round_robin_cost
from ._search import Schedule as Schedule
from ._search import search_schedule as search_schedule
from ._two_stage import two_stage_cost as two_stage_cost
from ._worst_case import SchedulingWorstCase as SchedulingWorstCase
from ._worst_case import two_stage_worst_case as two_stage_worst_case
