"""Learning a stable outcome from noisy utilities: models of preferences, policies, and runs of them."""

from ._baselines import epsilon_greedy as epsilon_greedy
from ._baselines import explore_then_commit as explore_then_commit
from ._baselines import thompson as thompson
from ._instances import linear_market as linear_market
from ._instances import minimax_market as minimax_market
from ._instances import random_arrivals as random_arrivals
from ._instances import random_market as random_market
from ._instances import typed_market as typed_market
from ._policy import Feedback as Feedback
from ._policy import Policy as Policy
from ._preferences import Confidence as Confidence
from ._preferences import SeparableLinear as SeparableLinear
from ._preferences import Typed as Typed
from ._preferences import Unstructured as Unstructured
from ._simulate import History as History
from ._simulate import simulate as simulate
from ._ucb import match_ucb as match_ucb
from ._ucb import ntu_ucb as ntu_ucb
from ._ucb import ucb_without_transfers as ucb_without_transfers
