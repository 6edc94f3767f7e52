"""Federated learning that survives label skew: Train-Convexify-Train and its baselines.

Clients lie on a leading axis of arrays, padded and masked; an algorithm is a value with ``init`` and ``round``.
"""

from verax._save import load as load
from verax._save import register as _register
from verax._save import save as save

from ._partition import ClientData as ClientData
from ._partition import Partition as Partition
from ._partition import PartitionReport as PartitionReport
from ._partition import gather_clients as gather_clients
from ._partition_schemes import partition_by_label_count as partition_by_label_count
from ._partition_schemes import partition_dirichlet as partition_dirichlet
from ._partition_schemes import partition_extended_dirichlet as partition_extended_dirichlet
from ._partition_schemes import partition_iid as partition_iid

_register(Partition)
