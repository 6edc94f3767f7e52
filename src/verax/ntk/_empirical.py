"""The empirical neural tangent kernel."""

import functools
from typing import Any, overload

import jax
import jax.numpy as jnp
from jax import Array

from verax._arrays import to_tree
from verax._errors import check
from verax._types import ApplyFn, PyTree

from ._computation import (
    Inputs,
    KernelComputation,
    block_diagonal,
    block_factors,
    diagonal_tile,
    fused_kernel,
    prepare,
    tile,
)
from ._directions import Probes
from ._estimate import KernelEstimate, mean_and_error
from ._finite import check_kernel, check_rows
from ._mesh import mesh_kernel, replicated
from ._methods import Method
from ._network import ParamFilter
from ._tiles import assemble, block_of, num_examples


@overload
def empirical_ntk(
    apply_fn: ApplyFn,
    params: PyTree,
    x1: PyTree,
    x2: PyTree | None = None,
    *,
    output: str | int = "trace",
    method: str = "auto",
    precision: str = "highest",
    block_size: int | None = None,
    memory_budget: int | None = None,
    mesh: jax.sharding.Mesh | None = None,
    param_filter: ParamFilter | None = None,
    progress: bool = False,
) -> Array: ...
@overload
def empirical_ntk(
    apply_fn: ApplyFn,
    params: PyTree,
    x1: PyTree,
    x2: PyTree | None = None,
    *,
    output: Probes,
    method: str = "auto",
    precision: str = "highest",
    block_size: int | None = None,
    memory_budget: int | None = None,
    mesh: jax.sharding.Mesh | None = None,
    param_filter: ParamFilter | None = None,
    progress: bool = False,
) -> KernelEstimate: ...
def empirical_ntk(
    apply_fn: ApplyFn,
    params: PyTree,
    x1: PyTree,
    x2: PyTree | None = None,
    *,
    output: str | int | Probes = "trace",
    method: str = "auto",
    precision: str = "highest",
    block_size: int | None = None,
    memory_budget: int | None = None,
    mesh: jax.sharding.Mesh | None = None,
    param_filter: ParamFilter | None = None,
    progress: bool = False,
) -> Array | KernelEstimate:
    r"""Empirical neural tangent kernel of any JAX network, exactly.

    .. math:: K_{ij} = \sum_o \langle \nabla_\theta f_o(x_i), \nabla_\theta f_o(x_j) \rangle

    for ``output="trace"``; all axes of the network's output but the first are flattened to O outputs.

    Parameters
    ----------
    apply_fn : callable
        ``apply_fn(params, x) -> [n, ...]`` in evaluation mode: no example may influence another's output. It must
        accept batches of one and of two examples.
    params : pytree of real floating-point arrays
        Where the kernel is evaluated, and what is differentiated.
    x1, x2 : array or pytree with leading axis n
        Examples; ``x2=None`` stands for ``x1`` and computes each pair once.
    output : {"trace", "mean", "full", "sum"}, int or Probes
        "trace": sum over outputs of their kernels. "mean": the trace divided by O. "full": all pairs of outputs,
        ``[n1, n2, O, O]``. "sum": kernel of the summed outputs, not divided. An integer: kernel of that output alone.
        ``Probes(k)``: unbiased estimate of the trace from k random output directions, with its standard error.
    method : {"auto", "jacobian", "structured", "vector_products"}
        "structured" reads each layer's inputs and output cotangents and forms no gradient where a product of two Gram
        matrices is cheaper; "jacobian" forms all gradients; "vector_products" pushes gradients forward through the
        network. All agree to rounding. "auto" takes the cheapest, by counted operations, of those that fit in
        ``memory_budget``.
    precision : {"highest", "high", "default"}
        Of the matrix products between examples; forward and backward passes always run at "highest". On recent GPUs
        "default" means TF32 for float32.
    block_size : int, optional
        Examples per block; chosen from ``memory_budget`` when None.
    memory_budget : int, optional
        Bytes to stay within. None: on a CPU the largest power of two in three quarters of the memory that is available
        to the process, nine tenths of it where less would not do; nine tenths of the accelerator's free memory.
    mesh : jax.sharding.Mesh, optional
        Spread rows over all axes of a mesh; examples may come with any sharding. Each device holds the factors of its
        share of the examples, which go round a ring, and its rows of the kernel; nothing of size n^2 is gathered.
        ``block_size`` and ``memory_budget`` must then be None.
    param_filter : callable, optional
        ``param_filter(path, leaf) -> bool`` selects leaves; ``path`` looks like ``"block/0/kernel"``.
    progress : bool
        Draw a progress bar.

    Returns
    -------
    array, shape [n1, n2], or [n1, n2, O, O] for ``output="full"``
        In the network's output dtype, float32 at least. For ``Probes(k)`` a :class:`KernelEstimate`.

    Raises
    ------
    ValueError
        For empty or non-finite examples or parameters, ``x2`` unlike ``x1``, integer parameter leaves, an ``apply_fn``
        that couples examples, returns a scalar, a pytree or integers, or has a derivative that is not finite (with the
        number of the example), unknown options, or a budget too small for one example. Under a transformation values
        cannot be seen, and only shapes and options are checked.

    Notes
    -----
    With S positions, a inputs and b outputs of a layer, a pair of examples costs ``min(2 O a b, 2 S^2 (a + O b))``
    operations per layer; :func:`ntk_plan` shows the choice. Outputs under a linear head with a inputs cost at most a
    output directions per position for "trace" and "mean", however many they are. Many directions pass in parts where
    the memory budget demands it. Factors of a block are formed once if all fit in ``memory_budget``. The function
    compiles once for each ``apply_fn`` object and set of shapes: pass the same function object again rather than a new
    lambda.

    Examples
    --------
    >>> import jax.numpy as jnp, numpy as np
    >>> from verax.ntk import empirical_ntk
    >>> params = {"w": jnp.array([[1.0, -1.0], [2.0, 0.5]]), "v": jnp.array([[1.0], [3.0]])}
    >>> def network(p, x):
    ...     return jnp.maximum(x @ p["w"], 0) @ p["v"]
    >>> x = jnp.array([[1.0, 1.0], [0.5, -1.0], [2.0, 0.1]])
    >>> print(np.asarray(empirical_ntk(network, params, x)).round(2))
    [[11.    0.    8.7 ]
     [ 0.    0.    0.  ]
     [ 8.7   0.    8.85]]

    References
    ----------
    Jacot, Gabriel, Hongler (2018), Neural tangent kernel; Novak, Sohl-Dickstein, Schoenholz (2022), Fast finite width
    neural tangent kernel; Wei, Hu, Steinhardt (2022), More than a toy.
    """
    if mesh is not None:
        for name, value in (("block_size", block_size), ("memory_budget", memory_budget)):
            check(value is None, name, value, "None with a mesh, whose devices each hold one block")
        params, x1, x2 = replicated((to_tree("params", params), to_tree("x1", x1), to_tree("x2", x2)), mesh)
    computation, inputs = prepare(
        apply_fn,
        params,
        x1,
        x2,
        output=output,
        method=method,
        precision=precision,
        block_size=block_size,
        memory_budget=memory_budget,
        param_filter=param_filter,
    )
    term = functools.partial(_term, computation, inputs, mesh, progress)
    if isinstance(output, Probes):
        estimate = mean_and_error(term(method, basis) for method, basis in computation.terms())
        check_kernel(estimate.kernel, "x1", "x2" if x2 is not None else None)
        return estimate
    kernel = computation.total(term)
    check_kernel(kernel, "x1", "x2" if x2 is not None else None)
    return kernel


def _term(
    computation: KernelComputation,
    inputs: Inputs,
    mesh: jax.sharding.Mesh | None,
    progress: bool,
    method: Method[Any],
    basis: Array,
) -> Array:
    """One term of the kernel."""
    leaves, frozen, x1, x2 = inputs
    precision = computation.precision
    if mesh is not None:
        return mesh_kernel(method, precision, basis, leaves, frozen, x1, x2, mesh)
    if x2 is None and method.fused_bytes() is not None and computation.schedule.block_size >= num_examples(x1):
        return fused_kernel(method, basis, leaves, frozen, x1, precision)
    return assemble(
        functools.partial(block_factors, method, basis, leaves, frozen),
        functools.partial(tile, method, basis, leaves, frozen, precision=precision),
        functools.partial(diagonal_tile, method, basis, leaves, frozen, precision=precision),
        x1,
        x2,
        computation.schedule,
        progress,
    )


def ntk_diagonal(
    apply_fn: ApplyFn,
    params: PyTree,
    x: PyTree,
    *,
    output: str | int = "trace",
    memory_budget: int | None = None,
    param_filter: ParamFilter | None = None,
) -> Array:
    r"""Diagonal of the empirical NTK, ``K_ii``, without any pair of examples.

    .. math:: K_{ii} = \sum_o \| \nabla_\theta f_o(x_i) \|^2

    Parameters
    ----------
    apply_fn, params, output, memory_budget, param_filter
        As for :func:`empirical_ntk`.
    x : array or pytree with leading axis n
        Examples.

    Returns
    -------
    array, shape [n], or [n, O, O] for ``output="full"``

    Raises
    ------
    ValueError
        As :func:`empirical_ntk`.

    Notes
    -----
    One forward and O backward passes per example, and ``min(O a b, S^2 (a + O b))`` operations per layer; nothing of
    size n^2.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from verax.ntk import ntk_diagonal
    >>> x = jnp.array([[1.0, 2.0], [3.0, 4.0]])
    >>> print(ntk_diagonal(lambda p, x: x @ p, jnp.ones((2, 3)), x))
    [15. 75.]

    References
    ----------
    Goodfellow (2015), Efficient per-example gradient computations.
    """
    computation, (leaves, frozen, x, _) = prepare(
        apply_fn,
        params,
        x,
        output=output,
        memory_budget=memory_budget,
        param_filter=param_filter,
        argument="x",
        diagonal=True,
    )
    size, num = computation.schedule.block_size, num_examples(x)

    def term(method: Method[Any], basis: Array) -> Array:
        blocks = (block_of(x, start, size) for start in range(0, num, size))
        parts = [block_diagonal(method, basis, leaves, frozen, block) for block in blocks]
        return jnp.concatenate(parts)[:num]

    diagonal = computation.total(term)
    check_rows(diagonal, "x")
    return diagonal
