"""Means over random output directions, with their standard errors."""

from collections.abc import Iterable
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from verax._results import result


@result()
class KernelEstimate(NamedTuple):
    """Unbiased estimate of a trace kernel by random output directions.

    Attributes
    ----------
    kernel : array, shape [n1, n2]
        Mean over the probes.
    standard_error : array, shape [n1, n2]
        Standard error of each entry, from the spread over the probes.
    """

    kernel: Float[Array, "n1 n2"]
    standard_error: Float[Array, "n1 n2"]


def mean_and_error(kernels: Iterable[Array]) -> KernelEstimate:
    """Mean of kernels that come one after the other, and its standard error, by Welford's recursion."""
    mean = squares = None
    count = 0
    for kernel in kernels:
        count += 1
        if mean is None or squares is None:
            mean, squares = kernel, jnp.zeros_like(kernel)
            continue
        change = kernel - mean
        mean = mean + change / jnp.asarray(count, kernel.dtype)
        squares = squares + change * (kernel - mean)
    assert mean is not None
    assert squares is not None
    scale = jnp.asarray(count * (count - 1), mean.dtype)
    return KernelEstimate(mean, jnp.sqrt(squares / scale))
