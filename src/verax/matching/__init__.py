"""Exact assignment with optimal prices: the solver under stable matching with transfers."""

from ._assignment import Assignment as Assignment
from ._assignment import Status as Status
from ._assignment import solve_assignment as solve_assignment
from ._certificate import Certificate as Certificate
from ._certificate import check_certificate as check_certificate
from ._scipy import linear_sum_assignment as linear_sum_assignment
