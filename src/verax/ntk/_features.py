"""Features whose Gram matrix is the empirical NTK, exactly or in expectation."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
from jax import Array

from verax._arrays import to_integer, to_key
from verax._errors import fail
from verax._progress import progress_bar
from verax._types import ApplyFn, PyTree

from ._budget import largest_memory_budget
from ._directions import Directions, Probes, directions
from ._factors import block_factors
from ._finite import check_rows
from ._gram import Factors
from ._methods import activation_bytes, jacobian_factors
from ._network import Network, ParamFilter, read_network
from ._routes import Routes, choose_routes
from ._sketches import (
    Coordinates,
    Draws,
    Kronecker,
    Rademacher,
    Sketch,
    draw_coordinates,
    draw_signs,
    kronecker_layer,
    num_rows,
    select_coordinates,
    sides,
    signed_sums,
)
from ._tiles import block_of
from ._uses import Uses

# A block beyond this many examples gains nothing.
_LARGEST_BLOCK = 256

# On a CPU larger blocks run two to six times slower: their buffers leave the caches, and every one is mapped anew.
# Measured by time an example of small CNNs, a ResNet-20 and a perceptron, least at 50 to 100 MB.
_LARGEST_CPU_BLOCK_BYTES = 64 * 2**20


def ntk_features(
    apply_fn: ApplyFn,
    params: PyTree,
    x: PyTree,
    *,
    output: str | int = 0,
    sketch: Sketch | None = None,
    key: Array | None = None,
    batch_size: int | None = None,
    memory_budget: int | None = None,
    param_filter: ParamFilter | None = None,
    progress: bool = False,
) -> Array:
    r"""Features of examples whose Gram matrix is the empirical NTK, exactly or in expectation.

    .. math:: \mathbb{E}[F F^\top] = K

    Parameters
    ----------
    apply_fn, params
        As for :func:`empirical_ntk`.
    x : array or pytree with leading axis n
        Examples.
    output : int or {"trace", "mean", "sum"}
        As for :func:`empirical_ntk`; one logit by default.
    sketch : Coordinates, Rademacher or Kronecker, optional
        ``Rademacher(m)``: random signed sums, the accurate choice. ``Kronecker(m)``: layer by layer without forming
        gradients, for parameters too many for one gradient a time. ``Coordinates(m)``: a random choice of coordinates.
        None: the gradients themselves, m = O P for P parameters (for each output in turn "trace" and "mean" keep the
        gradients of one leaf side by side).
    key : jax.random.key, optional
        Of the sketch. The random map depends on the key and the structure of the network only, so calls on training and
        test examples agree.
    batch_size : int, optional
        Examples that pass through the network at once; chosen from ``memory_budget`` when None.
    memory_budget : int, optional
        Bytes to stay within; as for :func:`empirical_ntk`.
    param_filter : callable, optional
        As for :func:`empirical_ntk`.
    progress : bool
        Draw a progress bar.

    Returns
    -------
    array, shape [n, m]
        In the output dtype of the network.

    Raises
    ------
    ValueError
        As :func:`empirical_ntk`; for ``output="full"``, a sketch without key, a sketch that is none of the three, or
        more coordinates than the gradient has.

    Notes
    -----
    Costs one forward and O backward passes per example, and the features themselves.

    Squared error of entry ij, relative to ``K_ii K_jj``: at most ``2 / m`` for Rademacher, whatever the network. For
    Kronecker it lies between ``2 / m`` and about ``4 / sqrt(m)`` by how near to rank one each layer's gradient is; for
    Coordinates it has no bound below ``P / m``. Ridge regression on sketched features is a model of its own, with more
    effective ridge than the kernel: choose m at least five times the effective dimension (``df1`` of
    ``verax.spectral``).

    Examples
    --------
    >>> import jax, jax.numpy as jnp
    >>> from verax.ntk import Rademacher, empirical_ntk, ntk_features
    >>> w = jax.random.normal(jax.random.key(0), (20, 50)) / 50**0.5
    >>> x = jax.random.normal(jax.random.key(1), (4, 20))
    >>> def network(w, x):
    ...     return jnp.sum(jnp.tanh(x @ w), axis=1, keepdims=True)
    >>> kernel = empirical_ntk(network, w, x)
    >>> exact = ntk_features(network, w, x)
    >>> exact.shape, bool(jnp.allclose(exact @ exact.T, kernel, rtol=1e-4))
    ((4, 1000), True)
    >>> few = ntk_features(network, w, x, sketch=Rademacher(400), key=jax.random.key(2))
    >>> scale = jnp.sqrt(jnp.diag(kernel))
    >>> error = (few @ few.T - kernel) / scale[:, None] / scale[None, :]
    >>> few.shape, bool(jnp.abs(error).max() < 5 * (2 / 400) ** 0.5)
    ((4, 400), True)

    References
    ----------
    Charikar, Chen, Farach-Colton, "Finding Frequent Items in Data Streams", 2002 (signed sums); Achlioptas,
    "Database-friendly random projections", 2003 (signs).
    """
    network, leaves, frozen, x, num = read_network(apply_fn, params, x, param_filter=param_filter, argument="x")
    chosen = directions(output, network)
    if chosen.full or isinstance(output, Probes):
        fail("output", repr(output), "an index, 'trace', 'mean' or 'sum': features have one row per example")
    if sketch is not None and not isinstance(sketch, Coordinates | Kronecker | Rademacher):
        fail("sketch", repr(sketch), "None, Coordinates(m), Rademacher(m) or Kronecker(m)")
    if sketch is not None and key is None:
        fail("key", None, f"a jax.random.key for {sketch}")
    if batch_size is not None:
        batch_size = to_integer("batch_size", batch_size, minimum=1)
    budget = largest_memory_budget() if memory_budget is None else to_integer("memory_budget", memory_budget, minimum=1)
    size = min(num, batch_size or _batch_size(network, chosen, sketch, leaves, num, budget))
    draws = None if sketch is None else _draw(network, chosen, sketch, leaves, frozen, x, to_key("key", key))
    parts = []
    with progress_bar("features", -(-num // size), progress) as advance:
        for start in range(0, num, size):
            block = block_of(x, start, size)
            parts.append(_block_features(network, chosen, sketch, leaves, frozen, block, draws))
            advance()
    features = jnp.concatenate(parts)[:num]
    check_rows(features, "x")
    return features


def _batch_size(
    network: Network, chosen: Directions, sketch: Sketch | None, leaves: list[Array], num: int, budget: int
) -> int:
    """Examples at once, in what the budget leaves beside the features."""
    gradient = chosen.num * sum(leaf.size * leaf.dtype.itemsize for leaf in leaves)
    width = gradient if sketch is None else sketch.num_features * network.output_dtype.itemsize
    if not num * width <= budget:
        need = f"at least {num * width:,} bytes for the features of {num} examples; a sketch makes them smaller"
        fail("memory_budget", f"{budget:,} bytes", need)
    needed = activation_bytes(network) * (1 + chosen.num)
    if not isinstance(sketch, Kronecker):
        needed += 3 * gradient
    memory = (budget - num * width) // 2
    if jax.default_backend() == "cpu":
        memory = min(memory, _LARGEST_CPU_BLOCK_BYTES)
    return int(max(1, min(_LARGEST_BLOCK, memory // needed)))


@functools.lru_cache(maxsize=64)
def _layerwise(uses: Uses, num_outputs: int) -> Routes:
    """Routes that form no gradient of an ungrouped matrix product or convolution."""
    routes = choose_routes(uses, num_outputs, full=False)
    layers = tuple(dataclasses.replace(layer, hadamard=layer.shape[0] == 1, tail=None) for layer in routes.layers)
    return dataclasses.replace(routes, layers=layers)


def _layers(network: Network, chosen: Directions, num_features: int) -> list[tuple[int, int]]:
    """List inputs and number of signs of each layer that `Kronecker` projects."""
    left, right = sides(num_features)
    shapes = [layer.shape for layer in _layerwise(network.uses, chosen.num).layers if layer.hadamard]
    return [(a, a * left + chosen.num * b * right) for _, a, b in shapes]


def _factors(
    network: Network, chosen: Directions, layerwise: bool, leaves: list[Array], frozen: list[Array], block: PyTree
) -> Factors:
    basis = chosen.basis(network)
    if not layerwise:
        return jacobian_factors(network, leaves, frozen, block, basis, full=False)
    routes = _layerwise(network.uses, chosen.num)
    return block_factors(network.uses, routes, leaves, frozen, block, basis, full=False)


def _draw(
    network: Network,
    chosen: Directions,
    sketch: Sketch,
    leaves: list[Array],
    frozen: list[Array],
    x: PyTree,
    key: Array,
) -> Draws:
    m, dtype = sketch.num_features, network.output_dtype
    sizes = [chosen.num * leaf.size for leaf in leaves]
    if isinstance(sketch, Coordinates):
        if m > sum(sizes):
            fail("sketch", repr(sketch), f"at most {sum(sizes)} coordinates, the size of the gradient")
        return draw_coordinates(sum(sizes), m, dtype, key)
    num_signs = 0
    if isinstance(sketch, Kronecker):
        factors = functools.partial(_factors, network, chosen, True)
        gradients = jax.eval_shape(factors, leaves, frozen, jax.tree.map(lambda leaf: leaf[:1], x)).gradients
        sizes = [gradient.shape[1] for gradient in gradients]
        num_signs = sum(signs for _, signs in _layers(network, chosen, m))
    return draw_signs(num_signs + sum(sizes), num_rows(sizes, m), m, dtype, key)


@functools.partial(jax.jit, static_argnames=("network", "chosen", "sketch"))
def _block_features(
    network: Network,
    chosen: Directions,
    sketch: Sketch | None,
    leaves: list[Array],
    frozen: list[Array],
    block: PyTree,
    draws: Draws | None,
) -> Array:
    with jax.default_matmul_precision("highest"):
        factors = _factors(network, chosen, isinstance(sketch, Kronecker), leaves, frozen, block)
        if sketch is None or draws is None:
            features = jnp.concatenate(factors.gradients, axis=1)
        elif isinstance(sketch, Coordinates):
            features = select_coordinates(factors.gradients, draws)
        elif isinstance(sketch, Kronecker):
            features = _kronecker(_layers(network, chosen, sketch.num_features), factors, sketch.num_features, draws)
        else:
            features = signed_sums(factors.gradients, sketch.num_features, draws)
    return features / jnp.asarray(chosen.num**0.5, features.dtype) if chosen.kind == "mean" else features


def _kronecker(layers: list[tuple[int, int]], factors: Factors, num_features: int, draws: Draws) -> Array:
    signs, parts = draws.signs, []
    for (num_inputs, num_signs), (inputs, cotangents) in zip(layers, factors.hadamard, strict=True):
        parts.append(kronecker_layer(inputs, cotangents, num_inputs, num_features, signs[:num_signs]))
        signs = signs[num_signs:]
    if factors.gradients:
        parts.append(signed_sums(factors.gradients, num_features, draws._replace(signs=signs)))
    return functools.reduce(jnp.add, parts)
