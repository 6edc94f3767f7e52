"""Empirical neural tangent kernels: exact kernels, features and operators of any JAX network."""

from . import compat as compat
from ._adapters import from_linen as from_linen
from ._adapters import from_nnx as from_nnx
from ._directions import Probes as Probes
from ._empirical import empirical_ntk as empirical_ntk
from ._empirical import ntk_diagonal as ntk_diagonal
from ._estimate import KernelEstimate as KernelEstimate
from ._features import ntk_features as ntk_features
from ._from_torch import from_torch as from_torch
from ._job import ntk_job as ntk_job
from ._linearize import linearize as linearize
from ._methods import LeafPlan as LeafPlan
from ._ntk_plan import ntk_plan as ntk_plan
from ._operator import ntk_operator as ntk_operator
from ._plan import NTKPlan as NTKPlan
from ._scalar_head import with_scalar_head as with_scalar_head
from ._sketches import Coordinates as Coordinates
from ._sketches import Kronecker as Kronecker
from ._sketches import Rademacher as Rademacher
