"""Sums of per-example gradients: weighted, and clipped."""

import enum
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from verax._arrays import to_array, to_number
from verax._errors import check, check_option, is_traced
from verax._results import raise_if_failed, result
from verax._types import PyTree
from verax.ntk._network import Network, ParamFilter
from verax.ntk._routes import Routes

from ._layers import weighted_sums
from ._loss import Loss, LossFn, read_loss, take
from ._norms import block_squares, total


class Status(enum.IntEnum):
    """Status of an example: OK, or NON_FINITE for a gradient that is not finite and is left out of the sum."""

    OK = 0
    NON_FINITE = 1


@result({Status.NON_FINITE: "gradients of these examples are not finite; they are left out of the sum"})
class ClippedGradient(NamedTuple):
    """Sum of clipped gradients; unpacks as ``gradient, norms``.

    Attributes
    ----------
    gradient : pytree
        Like the parameters; zero at leaves that were not selected.
    norms : [n] or [n, T]
        Norm of every gradient before clipping.
    status : int [n] or [n, T]
        `Status` of every example.
    """

    gradient: Any
    norms: Array

    raise_if_failed = raise_if_failed

    @property
    def status(self) -> Array:
        """OK where the norm is finite."""
        return jnp.where(jnp.isfinite(self.norms), jnp.int32(Status.OK), jnp.int32(Status.NON_FINITE))


def clipped_gradient(
    loss_fn: LossFn,
    params: PyTree,
    batch: PyTree,
    *,
    max_norm: Any,
    reduction: str = "sum",
    weights: Any = None,
    param_filter: ParamFilter | None = None,
    per_token: bool = False,
    memory_budget: int | None = None,
) -> ClippedGradient:
    r"""Sum of per-example gradients, each clipped to a norm, without forming any of them.

    .. math:: \sum_i w_i \min\Bigl(1, \frac{C}{\lVert g_i \rVert}\Bigr)\, g_i,
        \qquad g_i = \nabla_\theta\, \ell_i(\theta)

    Parameters
    ----------
    loss_fn, params, batch, param_filter, per_token, memory_budget
        As for :func:`gradient_norms`.
    max_norm : float
        The clipping norm C > 0. It may be traced.
    reduction : {"sum", "mean"}
        "mean" divides by n, the number of examples in the batch, whatever the weights are.
    weights : [n], optional
        Factors of the clipped gradients; zero leaves an example out (the absent members of a Poisson-sampled batch).

    Returns
    -------
    ClippedGradient
        ``gradient, norms``; ``.status`` is NON_FINITE for examples whose gradient is not finite: they contribute zero.

    Raises
    ------
    ValueError
        As :func:`gradient_norms`, but for non-finite examples and gradients; for ``max_norm`` that is not positive and
        non-finite weights.

    Notes
    -----
    One forward and one backward pass, and the norms: each layer's clipped sum ``sum_i c_i sum_s a_is b_is^T`` is one
    matrix product of the inputs and cotangents that gave the norms. The result equals
    ``optax.contrib.differentially_private_aggregate`` without noise on the stacked gradients (its mean is
    ``reduction="mean"``). Noise and accounting are the caller's.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from verax.gradients import clipped_gradient
    >>> def loss_fn(w, batch):
    ...     return 0.5 * (batch[0] @ w - batch[1]) ** 2
    >>> batch = jnp.array([[3.0, 4.0], [0.3, 0.4]]), jnp.array([-1.0, -1.0])
    >>> gradient, norms = clipped_gradient(loss_fn, jnp.zeros(2), batch, max_norm=1.0)
    >>> print(norms, [round(float(part), 3) for part in gradient])
    [5.  0.5] [0.9, 1.2]

    References
    ----------
    Abadi et al., "Deep Learning with Differential Privacy", CCS 2016, algorithm 1; Li et al., ICLR 2022, section 4.
    """
    check_option("reduction", reduction, ("sum", "mean"))
    bound = max_norm if is_traced(max_norm) else to_number("max_norm", max_norm, "(0, inf]")
    loss = read_loss(loss_fn, params, batch, param_filter=param_filter, per_token=per_token, finite=False)
    factors = _weights(weights, loss.num)
    summed, norms = None, []
    for rows in loss.blocks(memory_budget):
        block = take(loss.batch, rows)
        part, found = _block_clipped(loss.network, loss.routes, loss.leaves, loss.frozen, block, bound, factors[rows])
        summed = part if summed is None else jax.tree.map(jnp.add, summed, part)
        norms.append(found)
    assert summed is not None
    if reduction == "mean":
        summed = [leaf / jnp.asarray(loss.num, leaf.dtype) for leaf in summed]
    stacked = jnp.concatenate(norms)
    return ClippedGradient(loss.tree(summed), stacked if per_token else stacked[:, 0])


def weighted_gradient(
    loss_fn: LossFn,
    params: PyTree,
    batch: PyTree,
    weights: Any,
    *,
    param_filter: ParamFilter | None = None,
) -> PyTree:
    r"""Sum of per-example gradients with weights, by one backward pass.

    .. math:: \sum_i w_i \nabla_\theta\, \ell_i(\theta)

    Parameters
    ----------
    loss_fn, params, batch, param_filter
        As for :func:`gradient_norms`.
    weights : [n]
        Weight of each example.

    Returns
    -------
    pytree
        Like the parameters; zero at leaves that were not selected.

    Raises
    ------
    ValueError
        As :func:`gradient_norms`, and for non-finite weights.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from verax.gradients import weighted_gradient
    >>> x = jnp.array([[1.0, 2.0], [3.0, 4.0]])
    >>> print(weighted_gradient(lambda w, x: x @ w, jnp.zeros(2), x, jnp.array([1.0, 10.0])))
    [31. 42.]
    """
    loss = read_loss(loss_fn, params, batch, param_filter=param_filter)
    factors = to_array("weights", weights, shape=(loss.num,))
    summed = _weighted(loss.network, loss.leaves, loss.frozen, loss.batch, factors)
    for path, leaf in zip(loss.network.paths, summed, strict=True):
        finite = is_traced(leaf) or bool(jnp.isfinite(leaf).all())
        check(finite, "batch", f"a gradient with respect to {path!r} that is not finite", "finite gradients")
    return loss.tree(summed)


def _weights(weights: Any, num: int) -> Array:
    return jnp.ones(num) if weights is None else to_array("weights", weights, shape=(num,))


@functools.partial(jax.jit, static_argnames=("network", "routes"))
def _block_clipped(
    network: Network,
    routes: Routes,
    leaves: list[Array],
    frozen: list[Array],
    block: PyTree,
    bound: Any,
    weights: Array,
) -> tuple[list[Array], Array]:
    squares, factors = block_squares(network, routes, leaves, frozen, block)
    norms = jnp.sqrt(total(network, squares, block))
    bound = jnp.asarray(bound).astype(norms.dtype)
    # A norm of zero keeps the factor 1; one that is not finite leaves the example out.
    scale = bound / jnp.maximum(norms, bound)
    scale = jnp.where(jnp.isfinite(norms), scale, jnp.zeros((), norms.dtype))
    scale = jnp.where(jnp.isinf(bound), jnp.isfinite(norms).astype(norms.dtype), scale)
    with jax.default_matmul_precision("highest"):
        return weighted_sums(network, routes, factors, scale * weights[:, None].astype(norms.dtype)), norms


@functools.partial(jax.jit, static_argnames=("network",))
def _weighted(network: Network, leaves: list[Array], frozen: list[Array], batch: PyTree, weights: Array) -> list[Array]:
    def summed(leaves: list[Array]) -> Array:
        losses = jax.vmap(lambda example: network.apply_one(leaves, frozen, example)[0])(batch)
        return jnp.sum(losses * weights.astype(losses.dtype))

    with jax.default_matmul_precision("highest"):
        return jax.grad(summed)(leaves)


def single_gradients(loss: Loss, block: PyTree) -> list[Array]:
    """Gradients of every example of a block, ``[n, *leaf]`` per selected leaf."""
    return _single(loss.network, loss.leaves, loss.frozen, block)


@functools.partial(jax.jit, static_argnames=("network",))
def _single(network: Network, leaves: list[Array], frozen: list[Array], block: PyTree) -> list[Array]:
    def one(example: PyTree) -> list[Array]:
        return jax.grad(lambda chosen: network.apply_one(chosen, frozen, example)[0])(leaves)

    with jax.default_matmul_precision("highest"):
        return jax.vmap(one)(block)
