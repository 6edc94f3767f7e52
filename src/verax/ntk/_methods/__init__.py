"""The methods that compute a kernel, one per module."""

from ._base import LeafPlan as LeafPlan
from ._base import Method as Method
from ._jacobian import Jacobian as Jacobian
from ._structured import Structured as Structured
from ._vector_products import VectorProducts as VectorProducts
