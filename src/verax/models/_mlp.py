"""Multilayer perceptron."""

import itertools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from verax._arrays import to_integer, to_key
from verax._errors import check
from verax._types import PyTree

from ._layers import as_network_input, dense, init_kernels
from ._network import Network


def mlp(sizes: Sequence[int], *, key: jax.Array) -> tuple[Network, PyTree]:
    r"""Fully connected ReLU network.

    .. math:: h_0 = x, \quad h_l = \max(0, h_{l-1} W_l + b_l), \quad f(x) = h_{L-1} W_L + b_L

    Parameters
    ----------
    sizes : sequence of int
        Input size, hidden sizes, number of outputs; two sizes make a linear model.
    key : jax.Array
        Key of the random initialisation.

    Returns
    -------
    network : Network
        ``network(params, x) -> [n, sizes[-1]]``; x is [n, ...] with ``sizes[0]`` values per example, flattened.
    params : dict
        ``layers/<l>/{kernel,bias}`` and ``head/{kernel,bias}``, float32. Hidden kernels are N(0, 2 / fan_in)
        (He et al. 2015), the head's N(0, 1 / fan_in), biases 0.

    Raises
    ------
    ValueError
        If there are fewer than two sizes or one is not a positive integer; when called, if x has another size or dtype.

    Examples
    --------
    >>> import jax
    >>> from verax.models import mlp
    >>> network, params = mlp([64, 32, 10], key=jax.random.key(0))
    >>> network(params, jax.numpy.ones((5, 8, 8, 1))).shape
    (5, 10)

    References
    ----------
    K. He, X. Zhang, S. Ren, J. Sun. Delving deep into rectifiers. ICCV 2015.
    """
    check(len(sizes) >= 2, "sizes", f"{len(sizes)} of them", "at least an input size and a number of outputs")
    sizes = [to_integer(f"sizes[{position}]", size, minimum=1) for position, size in enumerate(sizes)]
    shapes = list(itertools.pairwise(sizes))
    kernels, head = init_kernels(to_key("key", key), shapes[:-1], shapes[-1])
    layers = [{"kernel": kernel, "bias": jnp.asarray(np.zeros(kernel.shape[1], np.float32))} for kernel in kernels]
    params = {"layers": layers, "head": head}
    input_size = sizes[0]

    def features(params, x):
        first = params["layers"][0] if params["layers"] else params["head"]
        x = as_network_input(x, first["kernel"])
        fits = x.ndim >= 2 and math.prod(x.shape[1:]) == input_size
        check(fits, "x", f"shape {x.shape}", f"[n, ...] with {input_size} values per example")
        hidden = x.reshape(x.shape[0], input_size)
        for layer in params["layers"]:
            hidden = jax.nn.relu(dense(layer, hidden))
        return hidden

    return Network(features, sizes[-2], sizes[-1]), params
