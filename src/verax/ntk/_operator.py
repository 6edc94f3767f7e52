"""The empirical NTK as a linear operator, without the kernel matrix."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from verax._arrays import to_array, to_integer
from verax._errors import fail
from verax._types import ApplyFn, PyTree

from ._budget import default_memory_budget
from ._directions import Probes, directions
from ._empirical import ntk_diagonal
from ._finite import all_finite
from ._methods import activation_bytes
from ._network import Network, ParamFilter, read_network
from ._tiles import block_of

# A block beyond this many examples gains nothing.
_LARGEST_BLOCK = 512


def ntk_operator(
    apply_fn: ApplyFn,
    params: PyTree,
    x: PyTree,
    *,
    output: str | int = "trace",
    batch_size: int | None = None,
    memory_budget: int | None = None,
    param_filter: ParamFilter | None = None,
) -> Callable[[ArrayLike], Array]:
    r"""Empirical NTK as a linear operator: ``v -> K v`` in memory independent of ``n^2``.

    .. math:: K v = \sum_o J_o (J_o^\top v)

    Parameters
    ----------
    apply_fn, params
        As for :func:`empirical_ntk`.
    x : array or pytree with leading axis n
        Examples.
    output : {"trace", "mean", "sum"} or int
        As for :func:`empirical_ntk`.
    batch_size : int, optional
        Examples that pass through the network at once; chosen from ``memory_budget`` when None.
    memory_budget : int, optional
        Bytes to stay within; as for :func:`empirical_ntk`.
    param_filter : callable, optional
        As for :func:`empirical_ntk`.

    Returns
    -------
    callable
        ``v [n]`` or ``[n, k]`` to ``K v`` of the same shape, in the output dtype of the network, to which ``v`` is
        converted. Linear, symmetric and positive semidefinite; may be traced, for example by
        ``jax.scipy.sparse.linalg.cg``.

    Raises
    ------
    ValueError
        As :func:`empirical_ntk`, and for ``output="full"``; from the operator, for another shape or non-finite values
        (under a transformation values cannot be seen).

    Notes
    -----
    One product costs about five forward passes over the examples for each of the O outputs and k columns. Memory: the
    activations of ``batch_size`` examples for one backward pass, and as many copies of the parameters as there are
    columns. When traced, each batch appears as a call of its own in the program.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from verax.ntk import ntk_operator
    >>> x = jnp.array([[1.0, 2.0], [3.0, 4.0]])
    >>> product = ntk_operator(lambda p, x: x @ p, jnp.ones((2, 1)), x)
    >>> print(product(jnp.array([1.0, 0.0])))
    [ 5. 11.]

    References
    ----------
    Novak, Sohl-Dickstein, Schoenholz, "Fast Finite Width Neural Tangent Kernel", ICML 2022, section 3.2 (NTK-vector
    products).
    """
    network, leaves, frozen, x, num = read_network(apply_fn, params, x, param_filter=param_filter, argument="x")
    chosen = directions(output, network)
    if chosen.full or isinstance(output, Probes):
        fail("output", repr(output), "'trace', 'mean', 'sum' or the index of one output: the operator acts on [n]")
    if batch_size is not None:
        batch_size = to_integer("batch_size", batch_size, minimum=1)
    budget = default_memory_budget() if memory_budget is None else to_integer("memory_budget", memory_budget, minimum=1)

    def product(v: ArrayLike) -> Array:
        columns = to_array("v", v, shape=[(num,), (num, "k")], empty=True)
        shape, columns = columns.shape, columns.astype(network.output_dtype).reshape(num, -1)
        size = batch_size or _batch_size(network, columns.shape[1], budget)
        blocks = [(block_of(x, start, size), start, min(size, num - start)) for start in range(0, num, size)]
        total = None
        for basis in chosen.chunks(network, 1):
            pulled = None
            for block, start, count in blocks:
                part = jnp.pad(columns[start : start + count], ((0, size - count), (0, 0)))
                change = _pull(network, leaves, frozen, block, basis[0], part)
                pulled = change if pulled is None else jax.tree.map(jnp.add, pulled, change)
            parts = [_push(network, leaves, frozen, block, basis[0], pulled)[:count] for block, _, count in blocks]
            pushed = jnp.concatenate(parts)
            total = pushed if total is None else total + pushed
        assert total is not None
        result = chosen.finish(total).reshape(shape)
        if not all_finite(result):
            # Each entry has a part of every example: the diagonal tells which one has no finite derivative.
            ntk_diagonal(apply_fn, params, x, output=output, memory_budget=memory_budget, param_filter=param_filter)
            fail("v", "a vector whose product with the kernel overflows", "smaller entries")
        return result

    return product


def _batch_size(network: Network, num_columns: int, budget: int) -> int:
    # A backward pass keeps the activations once; tangents and cotangents of all columns are alive a layer at a time.
    needed = activation_bytes(network) * (1 + num_columns / 4)
    return int(max(1, min(_LARGEST_BLOCK, budget // 2 // needed)))


def _outputs(network: Network, frozen: list[Array], block: PyTree, direction: Array) -> Callable[[list[Array]], Array]:
    def outputs(leaves: list[Array]) -> Array:
        return jax.vmap(lambda example: network.apply_one(leaves, frozen, example))(block) @ direction

    return outputs


@functools.partial(jax.jit, static_argnames=("network",))
def _pull(
    network: Network, leaves: list[Array], frozen: list[Array], block: PyTree, direction: Array, columns: Array
) -> list[Array]:
    """Compute ``J^T v`` of one block for every column of v, the columns along the first axis."""
    with jax.default_matmul_precision("highest"):
        _, pull_back = jax.vjp(_outputs(network, frozen, block, direction), leaves)
        return jax.vmap(lambda column: pull_back(column)[0], in_axes=1)(columns)


@functools.partial(jax.jit, static_argnames=("network",))
def _push(
    network: Network, leaves: list[Array], frozen: list[Array], block: PyTree, direction: Array, pulled: list[Array]
) -> Array:
    """Compute ``J w`` of one block for every column, ``[n, k]``."""
    with jax.default_matmul_precision("highest"):
        outputs = _outputs(network, frozen, block, direction)
        return jax.vmap(lambda tangent: jax.jvp(outputs, (leaves,), (tangent,))[1], out_axes=1)(pulled)
