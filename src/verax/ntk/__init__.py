"""Empirical neural tangent kernels: exact kernels, features and operators of any JAX network."""

from ._empirical import empirical_ntk as empirical_ntk
from ._empirical import ntk_diagonal as ntk_diagonal
from ._plan import LeafPlan as LeafPlan
from ._plan import NTKPlan as NTKPlan
from ._plan import ntk_plan as ntk_plan
