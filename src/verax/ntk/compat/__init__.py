"""For users of neural-tangents: its signature for empirical kernels, and its analytic kernels on current JAX."""

from ._empirical import NtkImplementation as NtkImplementation
from ._empirical import empirical_ntk_fn as empirical_ntk_fn
from ._neural_tangents import import_neural_tangents as import_neural_tangents
