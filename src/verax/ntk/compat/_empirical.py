"""The empirical kernel with the signature and conventions of neural-tangents."""

import enum
import string
from collections.abc import Callable, Sequence
from typing import TypeAlias

import jax
import jax.numpy as jnp
from jax import Array

from verax._errors import fail
from verax._tree import leading_size
from verax._types import ApplyFn, PyTree
from verax.ntk._empirical import empirical_ntk, ntk_diagonal

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
    f: ApplyFn,
    trace_axes: Axes = (-1,),
    diagonal_axes: Axes = (),
    vmap_axes: int | tuple[int, int, dict[str, int]] | None = None,
    implementation: NtkImplementation | int = NtkImplementation.AUTO,
) -> Callable[..., PyTree]:
    r"""Make a function that computes the empirical NTK as ``neural_tangents.empirical_ntk_fn`` does.

    .. math:: \Theta(x_1, x_2) = \frac{\partial f(x_1)}{\partial\theta} \frac{\partial f(x_2)}{\partial\theta}^\top

    Parameters
    ----------
    f : callable
        ``f(params, x) -> [n, ...]``, or a pytree of such arrays, each of which gets a kernel of its own.
    trace_axes : int or sequence of int
        Axes of the output over which the kernel is *averaged* (the trace is divided by their size). The default
        averages over the last axis, the logits.
    diagonal_axes : int or sequence of int
        Axes of the output of which only the diagonal is kept; ``f(x1)`` and ``f(x2)`` must have equal sizes there.
    vmap_axes : None or 0
        Accepted for compatibility: examples always lie along axis 0 and are always treated separately.
    implementation : NtkImplementation or int
        The default picks the cheapest by counted operations.

    Returns
    -------
    callable
        ``ntk_fn(x1, x2, params)``, ``x2=None`` for ``x2=x1``. Its result has the axes of ``f(x1)`` and ``f(x2)``
        interleaved, ``[n1, n2, a, a, b, b, ...]``; traced axes are absent, diagonal axes present once.

    Raises
    ------
    ValueError
        Here: for axes that are not integers or are in both lists, another ``vmap_axes``, or an unknown implementation.
        From ``ntk_fn``: as :func:`verax.ntk.empirical_ntk`, and for axes that the output does not have.

    Notes
    -----
    What differs from neural-tangents: examples that influence each other (batch normalisation in training mode) are
    refused; the default implementation is AUTO; ``f`` takes no further keyword arguments (close over them). With all
    axes but the first in ``trace_axes`` nothing larger than ``[n1, n2]`` is formed; other choices form all pairs of
    outputs first, ``[n1, n2, O, O]``. For control of memory and precision call :func:`verax.ntk.empirical_ntk`.

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
    trace, diagonal = _axes("trace_axes", trace_axes), _axes("diagonal_axes", diagonal_axes)
    if not (vmap_axes is None or vmap_axes == 0 or vmap_axes == (0, 0, {})):
        fail("vmap_axes", repr(vmap_axes), "None or 0; move the examples of inputs and outputs to axis 0 inside f")
    try:
        method = _METHODS[NtkImplementation(implementation)]
    except ValueError:
        fail("implementation", repr(implementation), "a member of NtkImplementation")

    def kernel(apply_fn: ApplyFn, shape: tuple[int, ...], x1: PyTree, x2: PyTree | None, params: PyTree) -> Array:
        rank = len(shape)
        traced, kept_once = _canonical("trace_axes", trace, rank), _canonical("diagonal_axes", diagonal, rank)
        if both := traced & kept_once:
            fail("diagonal_axes", f"axes {sorted(both)} that are in trace_axes too", "disjoint axes")
        num1 = shape[0]
        num2 = num1 if x2 is None else leading_size(x2, "x2")
        if num1 != num2 and 0 in traced | kept_once:
            fail("x2", f"{num2} examples for {num1} in x1", "as many, to trace over axis 0 or take its diagonal")
        if traced == set(range(1, rank)):
            if x2 is None and kept_once == {0}:
                return ntk_diagonal(apply_fn, params, x1, output="mean")
            if not kept_once:
                return empirical_ntk(apply_fn, params, x1, x2, output="mean", method=method)
        full = empirical_ntk(apply_fn, params, x1, x2, output="full", method=method)
        return _contract(full.reshape(num1, num2, *shape[1:], *shape[1:]), traced, kept_once)

    def ntk_fn(x1: PyTree, x2: PyTree | None, params: PyTree) -> PyTree:
        out, treedef = jax.tree.flatten(jax.eval_shape(f, params, x1))
        if treedef == jax.tree.structure(0):
            return kernel(f, out[0].shape, x1, x2, params)
        kernels = [kernel(part(number), leaf.shape, x1, x2, params) for number, leaf in enumerate(out)]
        return jax.tree.unflatten(treedef, kernels)

    parts: dict[int, ApplyFn] = {}

    def part(number: int) -> ApplyFn:
        # One function object for each output, since compiled kernels are remembered by it.
        return parts.setdefault(number, lambda params, x: jax.tree.leaves(f(params, x))[number])

    return ntk_fn


def _axes(argument: str, axes: Axes) -> tuple[int, ...]:
    chosen = (axes,) if isinstance(axes, int) else tuple(axes)
    if any(isinstance(axis, bool) or not isinstance(axis, int) for axis in chosen):
        fail(argument, repr(axes), "an integer or a sequence of integers")
    return chosen


def _canonical(argument: str, axes: Sequence[int], rank: int) -> set[int]:
    if any(not -rank <= axis < rank for axis in axes) or len({axis % rank for axis in axes}) != len(axes):
        fail(argument, repr(tuple(axes)), f"distinct axes of an output with {rank} axes")
    return {axis % rank for axis in axes}


def _contract(full: Array, traced: set[int], kept_once: set[int]) -> Array:
    """Traces, diagonals and interleaving of ``[n1, n2, *output axes, *output axes]``."""
    rank = full.ndim // 2
    first = string.ascii_lowercase[:rank]
    second = "".join(letter if axis in traced | kept_once else letter.upper() for axis, letter in enumerate(first))
    kept = "".join(
        letter if letter == other else letter + other
        for axis, (letter, other) in enumerate(zip(first, second, strict=True))
        if axis not in traced
    )
    kernel = jnp.einsum(f"{first[0]}{second[0]}{first[1:]}{second[1:]}->{kept}", full)
    count = 1
    for axis in traced:
        count *= full.shape[0] if axis == 0 else full.shape[1 + axis]
    return kernel / jnp.asarray(count, kernel.dtype)
