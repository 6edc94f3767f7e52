"""The empirical kernel with the signature and conventions of neural-tangents."""

import contextlib
import enum
import math
import string
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import jax
import jax.numpy as jnp
from jax import Array

from verax._arrays import to_tree
from verax._errors import check_function, fail
from verax._tree import leading_size
from verax._types import ApplyFn, PyTree
from verax.ntk._empirical import empirical_ntk, ntk_diagonal

from ._batching import Batching, VmapAxes

Axes: TypeAlias = int | Sequence[int]


class NtkImplementation(enum.IntEnum):
    """How the kernel is computed; the members and values of neural-tangents. All give the same kernel."""

    AUTO = 0
    JACOBIAN_CONTRACTION = 1
    NTK_VECTOR_PRODUCTS = 2
    STRUCTURED_DERIVATIVES = 3


_METHODS = {
    NtkImplementation.AUTO: "auto",
    NtkImplementation.JACOBIAN_CONTRACTION: "jacobian",
    NtkImplementation.NTK_VECTOR_PRODUCTS: "vector_products",
    NtkImplementation.STRUCTURED_DERIVATIVES: "structured",
}


def empirical_ntk_fn(
    f: Callable[..., PyTree],
    trace_axes: Axes = (-1,),
    diagonal_axes: Axes = (),
    vmap_axes: VmapAxes = None,
    implementation: NtkImplementation | int = NtkImplementation.AUTO,
) -> Callable[..., PyTree]:
    r"""Make a function that computes the empirical NTK as ``neural_tangents.empirical_ntk_fn`` does.

    .. math:: \Theta(x_1, x_2) = \frac{\partial f(x_1)}{\partial\theta} \frac{\partial f(x_2)}{\partial\theta}^\top

    Parameters
    ----------
    f : callable
        ``f(params, x, **kwargs) -> [n, ...]``, or a pytree of such arrays, each of which gets a kernel of its own.
    trace_axes : int or sequence of int
        Axes of the output over which the kernel is *averaged* (the trace is divided by their size). The default
        averages over the last axis, the logits.
    diagonal_axes : int or sequence of int
        Axes of the output of which only the diagonal is kept; ``f(x1)`` and ``f(x2)`` must have equal sizes there.
    vmap_axes : None, int, or triple (in_axes, out_axes, kwargs_axes)
        Axes of the examples: in ``x`` (an integer, or a pytree of integers and None like ``x``), in the output (an
        integer, or a pytree like the output), and in the keyword arguments that hold one value per example (a
        dictionary from names to axes). An integer stands for input and output; None for 0. A part of ``x`` with the
        axis None, or a keyword argument that is not named, is the same for all examples.
    implementation : NtkImplementation or int
        The default picks the cheapest by counted operations.

    Returns
    -------
    callable
        ``ntk_fn(x1, x2, params, **kwargs)``, ``x2=None`` for ``x2=x1``. Its result has the axes of ``f(x1)`` and
        ``f(x2)`` interleaved, ``[n1, n2, a, a, b, b, ...]`` for examples along axis 0; traced axes are absent, diagonal
        axes present once. A keyword argument that is a pair is split between ``x1`` and ``x2``; the random key ``rng``
        is split into two keys where ``x2`` is given; any other value goes to both.

    Raises
    ------
    ValueError
        Here: for axes that are not integers or are in both lists, or an unknown implementation. From ``ntk_fn``: as
        :func:`verax.ntk.empirical_ntk`, for axes that ``x``, the output or a keyword argument does not have, and for
        options (text, booleans) that differ between ``x1`` and ``x2``.

    Notes
    -----
    Differences from neural-tangents: examples that influence each other (batch normalisation in training mode) are
    refused; the default implementation is AUTO. With all axes but that of the examples in ``trace_axes`` nothing larger
    than ``[n1, n2]`` is formed; other choices form all pairs of outputs first, ``[n1, n2, O, O]``. For control of
    memory and precision call :func:`verax.ntk.empirical_ntk`.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from verax.ntk.compat import empirical_ntk_fn
    >>> ntk_fn = empirical_ntk_fn(lambda params, x: x @ params)
    >>> x = jnp.array([[1.0, 2.0], [3.0, 4.0]])
    >>> print(ntk_fn(x, None, jnp.ones((2, 3))))
    [[ 5. 11.]
     [11. 25.]]
    >>> empirical_ntk_fn(lambda params, x: x @ params, trace_axes=())(x, None, jnp.ones((2, 3))).shape
    (2, 2, 3, 3)

    References
    ----------
    Novak, Sohl-Dickstein, Schoenholz, "Fast Finite Width Neural Tangent Kernel", ICML 2022.
    """
    check_function("f", f, "a function f(params, x, **kwargs) -> [n, ...]")
    trace, diagonal = _axes("trace_axes", trace_axes), _axes("diagonal_axes", diagonal_axes)
    batching = Batching(f, vmap_axes)
    try:
        method = _METHODS[NtkImplementation(implementation)]
    except ValueError:
        fail("implementation", repr(implementation), "a member of NtkImplementation")

    def kernel(
        part: ApplyFn, batch_axis: int, shape: tuple[int, ...], x1: PyTree, x2: PyTree | None, params: PyTree
    ) -> Array:
        rank = len(shape)
        traced, kept_once = _canonical("trace_axes", trace, rank), _canonical("diagonal_axes", diagonal, rank)
        if both := traced & kept_once:
            fail("diagonal_axes", f"axes {sorted(both)} that are in trace_axes too", "disjoint axes")
        num1 = shape[batch_axis]
        num2 = num1 if x2 is None else leading_size(x2, "x2")
        if num1 != num2 and batch_axis in traced | kept_once:
            fail("x2", f"{num2} examples for {num1} in x1", "as many, to trace over their axis or take its diagonal")
        if traced == set(range(rank)) - {batch_axis}:
            if x2 is None and kept_once == {batch_axis}:
                return ntk_diagonal(part, params, x1, output="mean")
            if not kept_once:
                return empirical_ntk(part, params, x1, x2, output="mean", method=method)
        full = empirical_ntk(part, params, x1, x2, output="full", method=method)
        others = [size for axis, size in enumerate(shape) if axis != batch_axis]
        return _contract(full.reshape(num1, num2, *others, *others), batch_axis, traced, kept_once)

    def ntk_fn(x1: PyTree, x2: PyTree | None, params: PyTree, **kwargs: object) -> PyTree:
        params = to_tree("params", params)
        apply_fn, batch1, batch2 = batching.batches(x1, x2, kwargs)
        out, treedef = jax.tree.flatten(batching.output(apply_fn, params, batch1))
        axes = batching.output_axes(treedef)
        with _called_f():
            kernels = [
                kernel(
                    batching.part(apply_fn, number, axis), axis % len(leaf.shape), leaf.shape, batch1, batch2, params
                )
                for number, (leaf, axis) in enumerate(zip(out, axes, strict=True))
            ]
        return jax.tree.unflatten(treedef, kernels)

    return ntk_fn


@contextlib.contextmanager
def _called_f() -> Iterator[None]:
    """Give errors about ``apply_fn`` the name that the function has here."""
    try:
        yield
    except ValueError as error:
        if not str(error).startswith("apply_fn: "):
            raise
        raise ValueError(str(error).replace("apply_fn", "f")) from error


def _axes(argument: str, axes: Axes) -> tuple[int, ...]:
    chosen = (axes,) if isinstance(axes, int) else tuple(axes)
    if any(isinstance(axis, bool) or not isinstance(axis, int) for axis in chosen):
        fail(argument, repr(axes), "an integer or a sequence of integers")
    return chosen


def _canonical(argument: str, axes: Sequence[int], rank: int) -> set[int]:
    if any(not -rank <= axis < rank for axis in axes) or len({axis % rank for axis in axes}) != len(axes):
        fail(argument, repr(tuple(axes)), f"distinct axes of an output with {rank} axes")
    return {axis % rank for axis in axes}


def _contract(full: Array, batch_axis: int, traced: set[int], kept_once: set[int]) -> Array:
    """Traces, diagonals and interleaving of ``[n1, n2, *output axes, *output axes]``."""
    rank = full.ndim // 2
    first = string.ascii_lowercase[:rank]
    second = "".join(letter if axis in traced | kept_once else letter.upper() for axis, letter in enumerate(first))
    kept = "".join(
        letter if letter == other else letter + other
        for axis, (letter, other) in enumerate(zip(first, second, strict=True))
        if axis not in traced
    )
    examples = first[batch_axis] + second[batch_axis]
    others = [axis for axis in range(rank) if axis != batch_axis]
    given = examples + "".join(first[axis] for axis in others) + "".join(second[axis] for axis in others)
    sizes = dict(zip(given, full.shape, strict=True))
    count = math.prod(sizes[first[axis]] for axis in traced)
    kernel = jnp.einsum(f"{given}->{kept}", full, precision="highest")
    return kernel / jnp.asarray(count, kernel.dtype)
