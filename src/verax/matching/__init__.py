"""Exact assignment with optimal prices: the solver under stable matching with transfers."""

from ._assignment import Assignment as Assignment
from ._assignment import Status as Status
from ._assignment import solve_assignment as solve_assignment
from ._certificate import Certificate as Certificate
from ._certificate import check_certificate as check_certificate
from ._market import Instability as Instability
from ._market import Market as Market
from ._market import Outcome as Outcome
from ._market import is_stable as is_stable
from ._market import stable_outcome as stable_outcome
from ._market import subset_instability as subset_instability
from ._market import utility_gap as utility_gap
from ._scipy import linear_sum_assignment as linear_sum_assignment
