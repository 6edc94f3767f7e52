"""Online algorithms with predictions: exact costs, exact worst cases, certified frontiers.

Five packages: ``ski_rental``, ``scheduling``, ``games`` (any finite online problem), ``caching`` and ``learning``.
"""

from . import caching as caching
from . import games as games
from . import learning as learning
from . import scheduling as scheduling
from . import ski_rental as ski_rental
from ._status import Status as Status
