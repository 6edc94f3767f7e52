"""Per-example gradients themselves, their inner products, and compressed features."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from verax._arrays import to_examples, to_integer, to_key
from verax._errors import check, fail
from verax._types import PyTree
from verax.ntk import Coordinates, Kronecker, Rademacher, empirical_ntk, ntk_features
from verax.ntk._budget import default_memory_budget
from verax.ntk._network import ParamFilter
from verax.ntk._sketches import Sketch

from ._clipped import single_gradients
from ._loss import Loss, LossFn, check_gradients, read_loss, renamed, take


def per_example_gradients(
    loss_fn: LossFn,
    params: PyTree,
    batch: PyTree,
    *,
    block_size: int | None = None,
    param_filter: ParamFilter | None = None,
) -> Iterator[tuple[range, PyTree]]:
    r"""Gradients of every example's loss, a block of examples at a time.

    Parameters
    ----------
    loss_fn, params, batch, param_filter
        As for :func:`gradient_norms`.
    block_size : int, optional
        Examples in a block; as many as fit in an eighth of the available memory when None.

    Yields
    ------
    rows : range
        Numbers of the examples of the block.
    gradients : pytree
        Like the parameters, with a leading axis of the examples of the block; leaves that were not selected are zero.

    Raises
    ------
    ValueError
        As :func:`gradient_norms`, when the function is called.

    Notes
    -----
    A block of k examples holds k copies of the parameters. Norms, clipped sums and inner products need none of them:
    see :func:`gradient_norms`, :func:`clipped_gradient` and :func:`gradient_products`.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from verax.gradients import per_example_gradients
    >>> x = jnp.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    >>> for rows, gradients in per_example_gradients(lambda w, x: x @ w, jnp.zeros(2), x, block_size=2):
    ...     print(rows, gradients.tolist())
    range(0, 2) [[1.0, 2.0], [3.0, 4.0]]
    range(2, 3) [[5.0, 6.0]]
    """
    loss = read_loss(loss_fn, params, batch, param_filter=param_filter)
    if block_size is None:
        each = 3 * sum(leaf.size * leaf.dtype.itemsize for leaf in loss.leaves)
        block_size = max(1, min(loss.num, default_memory_budget() // 4 // each))
    size = to_integer("block_size", block_size, minimum=1)
    return _blocks(loss, size)


def _blocks(loss: Loss, size: int) -> Iterator[tuple[range, PyTree]]:
    leaves, treedef = jax.tree.flatten(loss.params)
    for start in range(0, loss.num, size):
        rows = range(start, min(start + size, loss.num))
        found = single_gradients(loss, take(loss.batch, slice(rows.start, rows.stop)))
        for leaf in found:
            check_gradients(leaf)
        chosen = iter(found)
        pairs = zip(leaves, loss.network.selected, strict=True)
        full = [next(chosen) if keep else jnp.zeros((len(rows), *leaf.shape), leaf.dtype) for leaf, keep in pairs]
        yield rows, jax.tree.unflatten(treedef, full)


def gradient_products(
    loss_fn: LossFn,
    params: PyTree,
    batch: PyTree,
    other: PyTree | None = None,
    *,
    param_filter: ParamFilter | None = None,
    block_size: int | None = None,
    memory_budget: int | None = None,
    progress: bool = False,
) -> Array:
    r"""Inner products of all pairs of per-example gradients, without forming the gradients where that is cheaper.

    .. math:: \langle \nabla_\theta\, \ell_i(\theta), \nabla_\theta\, \ell_j(\theta) \rangle

    Parameters
    ----------
    loss_fn, params, batch, param_filter, memory_budget
        As for :func:`gradient_norms`.
    other : pytree with leading axis m, optional
        Further examples of the same structure; None stands for ``batch`` and computes each pair once.
    block_size : int, optional
        Examples in a block; chosen from ``memory_budget`` when None.
    progress : bool
        Draw a progress bar.

    Returns
    -------
    array, shape [n, m]

    Raises
    ------
    ValueError
        As :func:`gradient_norms`, and for ``other`` unlike ``batch``.

    Notes
    -----
    The empirical neural tangent kernel of the loss: `verax.ntk.empirical_ntk` lists the costs.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from verax.gradients import gradient_products
    >>> x = jnp.array([[1.0, 2.0], [3.0, 4.0]])
    >>> print(gradient_products(lambda w, x: x @ w, jnp.zeros(2), x))
    [[ 5. 11.]
     [11. 25.]]
    """
    loss = read_loss(loss_fn, params, batch, param_filter=param_filter)
    if other is not None:
        other, _ = to_examples("other", other)
        spec = [jax.tree.map(lambda leaf: leaf.shape[1:], x) for x in (other, loss.batch)]
        check(spec[0] == spec[1], "other", f"examples of shapes {spec[0]}", f"those of batch: {spec[1]}")
    with renamed(apply_fn="loss_fn", x1="batch", x2="other"):
        return empirical_ntk(
            loss_fn,
            loss.params,
            loss.batch,
            other,
            block_size=block_size,
            memory_budget=memory_budget,
            param_filter=param_filter,
            progress=progress,
        )


def gradient_features(
    loss_fn: LossFn,
    params: PyTree,
    batch: PyTree,
    *,
    sketch: Sketch,
    key: Any,
    batch_size: int | None = None,
    param_filter: ParamFilter | None = None,
    progress: bool = False,
) -> Array:
    r"""Compressed per-example gradients: features whose inner products estimate those of the gradients.

    .. math:: \mathbb{E}\,[F F^\top]_{ij} = \langle \nabla \ell_i(\theta), \nabla \ell_j(\theta) \rangle

    Parameters
    ----------
    loss_fn, params, batch, param_filter
        As for :func:`gradient_norms`.
    sketch : `verax.ntk.Rademacher`, `verax.ntk.Kronecker` or `verax.ntk.Coordinates`
        Random map to m features.
    key : jax.random.key
        Key of the sketch. Features of different batches under the same key and parameters are comparable.
    batch_size : int, optional
        Examples at a time; chosen from the available memory when None.
    progress : bool
        Draw a progress bar.

    Returns
    -------
    array, shape [n, m]

    Raises
    ------
    ValueError
        As :func:`gradient_norms`, and for a sketch that is none of the three.

    Notes
    -----
    Errors and costs of the sketches: `verax.ntk.ntk_features`.

    Examples
    --------
    >>> import jax, jax.numpy as jnp
    >>> from verax.gradients import gradient_features
    >>> from verax.ntk import Rademacher
    >>> x = jax.random.normal(jax.random.key(0), (4, 200))
    >>> w, key = jnp.zeros(200), jax.random.key(1)
    >>> gradient_features(lambda w, x: x @ w, w, x, sketch=Rademacher(64), key=key).shape
    (4, 64)
    """
    if not isinstance(sketch, Coordinates | Kronecker | Rademacher):
        fail("sketch", repr(sketch), "Rademacher(m), Kronecker(m) or Coordinates(m) of verax.ntk")
    loss = read_loss(loss_fn, params, batch, param_filter=param_filter)
    with renamed(apply_fn="loss_fn", x="batch"):
        return ntk_features(
            loss_fn,
            loss.params,
            loss.batch,
            output=0,
            sketch=sketch,
            key=to_key("key", key),
            batch_size=batch_size,
            param_filter=param_filter,
            progress=progress,
        )
