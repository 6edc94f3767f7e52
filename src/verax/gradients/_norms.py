"""Norms of per-example gradients."""

import functools
from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jax import Array

from verax._types import PyTree
from verax.kernels._dtypes import accumulator
from verax.ntk._factors import UseFactors, use_factors
from verax.ntk._network import Network, ParamFilter
from verax.ntk._routes import Routes

from ._layers import squared_norms
from ._loss import LossFn, check_gradients, read_loss, take


def gradient_norms(
    loss_fn: LossFn,
    params: PyTree,
    batch: PyTree,
    *,
    param_filter: ParamFilter | None = None,
    per_leaf: bool = False,
    per_token: bool = False,
    memory_budget: int | None = None,
) -> Array | Mapping[str, Array]:
    r"""Norm of the gradient of every example's loss, without forming the gradients.

    .. math:: \lVert \nabla_\theta\, \ell_i(\theta) \rVert_2

    Parameters
    ----------
    loss_fn : callable
        ``loss_fn(params, batch) -> [n]``: one loss per example, not their mean; no example may influence another's
        loss. What a loss needs besides (labels, masks, random keys) travels in the batch.
    params : pytree of arrays
        Parameters; floating-point leaves are differentiated.
    batch : pytree with leading axis n
        Examples.
    param_filter : callable, optional
        ``param_filter(path, leaf) -> bool`` selects leaves; ``path`` looks like ``"block/0/kernel"``.
    per_leaf : bool
        Norms of each leaf by itself, a dictionary by path.
    per_token : bool
        ``loss_fn`` returns ``[n, T]``, and each of these losses has its own norm.
    memory_budget : int, optional
        Bytes to stay within; half of the host's available memory, or eight tenths of the accelerator's, when None.

    Returns
    -------
    array, shape [n], or [n, T] with ``per_token``
        Or a dictionary of these with ``per_leaf``.

    Raises
    ------
    ValueError
        For a loss that returns a scalar or couples examples (batch normalisation in training mode), parameters that
        are not floating-point, batches whose leaves disagree, non-finite examples; and for a non-finite norm, with the
        number of the example. Under a transformation values cannot be seen, and such a norm is NaN or infinite.

    Notes
    -----
    One forward and one backward pass per example. A weight ``[a, b]`` used at S positions adds
    ``min(2 S a b, 2 S^2 (a + b))`` operations. Norms below 1e-19 lose digits in single precision. The program compiles
    once for each ``loss_fn`` object and set of shapes: pass the same function again rather than a new lambda.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from verax.gradients import gradient_norms
    >>> def loss_fn(params, batch):
    ...     return 0.5 * (batch["x"] @ params["w"] + params["b"] - batch["y"]) ** 2
    >>> params = {"w": jnp.array([1.0, 2.0]), "b": jnp.array(0.0)}
    >>> batch = {"x": jnp.array([[2.0, 2.0], [0.0, 0.0]]), "y": jnp.array([5.0, 1.0])}
    >>> print(gradient_norms(loss_fn, params, batch))
    [3. 1.]

    References
    ----------
    Goodfellow, "Efficient Per-Example Gradient Computations", 2015; Li, Tramer, Liang, Hashimoto, "Large Language
    Models Can Be Strong Differentially Private Learners", ICLR 2022, section 4 (ghost clipping, several positions).
    """
    loss = read_loss(loss_fn, params, batch, param_filter=param_filter, per_token=per_token)
    parts = [
        _block_norms(loss.network, loss.routes, loss.leaves, loss.frozen, take(loss.batch, rows))
        for rows in loss.blocks(memory_budget)
    ]
    norms, by_leaf = jax.tree.map(lambda *blocks: jnp.concatenate(blocks), *parts)
    check_gradients(norms)
    found = dict(zip(loss.network.paths, by_leaf, strict=True)) if per_leaf else norms
    return found if per_token else jax.tree.map(lambda norm: norm[:, 0], found)


@functools.partial(jax.jit, static_argnames=("network", "routes"))
def _block_norms(
    network: Network, routes: Routes, leaves: list[Array], frozen: list[Array], block: PyTree
) -> tuple[Array, list[Array]]:
    """Norms ``[n, O]``, and those of each leaf."""
    squares, _ = block_squares(network, routes, leaves, frozen, block)
    summed = total(network, squares, block)
    by_leaf = [squares.get(leaf, jnp.zeros_like(summed)) for leaf in range(len(network.paths))]
    return jnp.sqrt(summed), [jnp.sqrt(value) for value in by_leaf]


def block_squares(
    network: Network, routes: Routes, leaves: list[Array], frozen: list[Array], block: PyTree
) -> tuple[dict[int, Array], UseFactors]:
    """Squared norms ``[n, O]`` by leaf, and the factors that they came from."""
    with jax.default_matmul_precision("highest"):
        basis = jnp.eye(network.num_outputs, dtype=network.output_dtype)
        factors = use_factors(network.uses, routes, leaves, frozen, block, basis)
        return squared_norms(routes, factors), factors


def total(network: Network, squares: Mapping[int, Array], block: PyTree) -> Array:
    """Sum over leaves; zero for a loss that reads no selected leaf."""
    num = jax.tree.leaves(block)[0].shape[0]
    start = jnp.zeros((num, network.num_outputs), accumulator(network.output_dtype))
    return sum((value.astype(start.dtype) for value in squares.values()), start)
