"""Per-example gradients of any loss: norms, clipped sums, inner products and compressed features."""

from ._clipped import ClippedGradient as ClippedGradient
from ._clipped import Status as Status
from ._clipped import clipped_gradient as clipped_gradient
from ._clipped import weighted_gradient as weighted_gradient
from ._explicit import gradient_features as gradient_features
from ._explicit import gradient_products as gradient_products
from ._explicit import per_example_gradients as per_example_gradients
from ._job import gradient_job as gradient_job
from ._norms import gradient_norms as gradient_norms
