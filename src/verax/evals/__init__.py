"""Safety evaluation: outcome tables produced elsewhere become rates with honest intervals."""

from ._rate import Interval as Interval
from ._rate import rate as rate
from ._table import Outcome as Outcome
from ._table import OutcomeTable as OutcomeTable
