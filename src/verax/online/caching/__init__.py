"""A cache of ``cache_size`` pages, a sequence of requests, and predictions of when each page is requested again.

Pages are integers ``0..num_pages - 1``. Every policy returns a :class:`Run`; all are scans over requests, so ``vmap``
runs many traces, predictions and seeds at once.
"""

from ._combine import combine as combine
from ._furthest import belady as belady
from ._furthest import blind_oracle as blind_oracle
from ._marker import marker as marker
from ._marker import predictive_marker as predictive_marker
from ._requests import Run as Run
from ._requests import next_requests as next_requests
