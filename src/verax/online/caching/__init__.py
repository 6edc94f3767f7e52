"""A cache of ``cache_size`` pages, a sequence of requests, and predictions of when each page is requested again.

Pages are labels of any kind: integers, 64-bit addresses, strings. Every policy returns a :class:`Run`. Under ``vmap``
and ``jit`` policies are scans over requests, for many traces, predictions and seeds at once; pages are then the
integers below ``num_pages``.
"""

from ._combine import combine as combine
from ._furthest import belady as belady
from ._furthest import blind_oracle as blind_oracle
from ._marker import marker as marker
from ._marker import predictive_marker as predictive_marker
from ._requests import Run as Run
from ._requests import cache_contents as cache_contents
from ._requests import next_requests as next_requests
from ._trace import Trace as Trace
from ._trace import read_trace as read_trace
