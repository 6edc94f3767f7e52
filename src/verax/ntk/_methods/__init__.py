"""The methods that compute a kernel, one per module."""

from ._base import LeafPlan as LeafPlan
from ._base import Leaves as Leaves
from ._base import Method as Method
from ._base import activation_bytes as activation_bytes
from ._head_features import HeadFeatures as HeadFeatures
from ._jacobian import Jacobian as Jacobian
from ._jacobian import jacobian_factors as jacobian_factors
from ._structured import Structured as Structured
from ._vector_products import VectorProducts as VectorProducts
