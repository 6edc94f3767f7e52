"""Federated learning that survives label skew: Train-Convexify-Train and its baselines.

Clients lie on a leading axis of arrays, padded and masked; an algorithm is a value with ``init`` and ``round``.
"""

from verax import ntk as _ntk
from verax import spectral as _spectral
from verax._save import load as load
from verax._save import register as _register
from verax._save import save as save

from ._algorithm import FederatedAlgorithm as FederatedAlgorithm
from ._averaging import centralized as centralized
from ._averaging import fedavg as fedavg
from ._averaging import fednova as fednova
from ._averaging import fedprox as fedprox
from ._averaging import local_only as local_only
from ._conjugate_gradient import conjugate_gradient_linear as conjugate_gradient_linear
from ._evaluate import evaluator as evaluator
from ._evaluate import mean_over_clients as mean_over_clients
from ._evaluate import split_parameters as split_parameters
from ._from_nnx import from_nnx as from_nnx
from ._head import LedgerEntry as LedgerEntry
from ._head import LinearHead as LinearHead
from ._head import PredictedError as PredictedError
from ._head import fit_head as fit_head
from ._history import History as History
from ._labels import EncodedLabels as EncodedLabels
from ._labels import encode_labels as encode_labels
from ._linear_scaffold import ClientSpectra as ClientSpectra
from ._linear_scaffold import LinearFit as LinearFit
from ._linear_scaffold import client_spectra as client_spectra
from ._linear_scaffold import scaffold_linear as scaffold_linear
from ._options import Aggregation as Aggregation
from ._options import FederatedOptions as FederatedOptions
from ._options import LocalOptions as LocalOptions
from ._options import TrainingOptions as TrainingOptions
from ._partition import ClientData as ClientData
from ._partition import Partition as Partition
from ._partition import PartitionReport as PartitionReport
from ._partition import gather_clients as gather_clients
from ._partition_schemes import partition_by_label_count as partition_by_label_count
from ._partition_schemes import partition_dirichlet as partition_dirichlet
from ._partition_schemes import partition_extended_dirichlet as partition_extended_dirichlet
from ._partition_schemes import partition_iid as partition_iid
from ._run import run as run
from ._scaffold import scaffold as scaffold
from ._server_optimizers import fedadam as fedadam
from ._server_optimizers import fedavgm as fedavgm
from ._server_optimizers import fedopt as fedopt
from ._server_optimizers import fedyogi as fedyogi
from ._standardize import Standardizer as Standardizer
from ._standardize import class_targets as class_targets
from ._standardize import fit_standardizer as fit_standardizer
from ._state import FederatedState as FederatedState
from ._state import LocalRun as LocalRun
from ._state import Reply as Reply
from ._state import RoundMetrics as RoundMetrics
from ._state import Status as Status
from ._state import Task as Task
from ._state import Variables as Variables
from ._state import Work as Work
from ._statistics import RidgeFit as RidgeFit
from ._statistics import Statistics as Statistics
from ._statistics import client_statistics as client_statistics
from ._statistics import fit_ridge as fit_ridge
from ._statistics import statistics_spectrum as statistics_spectrum
from ._statistics import total_statistics as total_statistics
from ._tct import TCT as TCT
from ._tct import tct as tct

_register(Partition, TCT, LedgerEntry, LinearHead, PredictedError, Standardizer, Statistics)
_register(_ntk.Coordinates, _ntk.Kronecker, _ntk.Rademacher, _spectral.RiskPath)
