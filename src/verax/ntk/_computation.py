"""A kernel computation, read from the arguments of a public function: method, schedule, plan, and compiled tiles."""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from verax._arrays import same_dtype, to_examples, to_integer
from verax._errors import check_option, fail
from verax._types import ApplyFn, PyTree

from ._budget import default_memory_budget, largest_memory_budget
from ._directions import Directions, Output, Probes, directions
from ._head import LinearHead, find_head
from ._methods import HeadFeatures, Jacobian, Method, Structured, VectorProducts
from ._network import Network, ParamFilter, read_network
from ._plan import NTKPlan
from ._schedule import Schedule, schedule_diagonal, schedule_kernel
from ._tiles import num_formed

METHODS = ("auto", "jacobian", "structured", "vector_products")
PRECISIONS = ("default", "high", "highest")
# A schedule with blocks of this many examples needs no further division of the output directions.
_ENOUGH_EXAMPLES = 16


@dataclasses.dataclass(frozen=True)
class KernelComputation:
    """The terms of which a kernel is the sum, each computed by a method within one schedule."""

    network: Network
    directions: Directions
    method: Method[Any]
    head: HeadFeatures | None  # of a linear head that is reduced
    precision: str
    schedule: Schedule
    plan: NTKPlan

    def terms(self) -> Iterator[tuple[Method[Any], Array]]:
        """Each term's method and cotangents ``[num, num_outputs]``; the kernel is the sum of the terms."""
        for basis in self._reduced_directions.chunks(self.method.network, self.method.num):
            yield self.method, basis
        if self.head is not None:
            yield self.head, jnp.ones((1, 1), self.network.output_dtype)  # it has its own directions

    def total(self, term: Callable[[Method[Any], Array], Array]) -> Array:
        """The sum of ``term(method, basis)``, with the scale that the kind of output asks for."""
        total = functools.reduce(jnp.add, (term(method, basis) for method, basis in self.terms()))
        return self.directions.finish(total)

    @property
    def _reduced_directions(self) -> Directions:
        if self.method.network is self.network:
            return self.directions
        return Directions("trace", self.method.network.num_outputs, full=False)


class Inputs(NamedTuple):
    """The arrays of a computation."""

    leaves: list[Array]
    frozen: list[Array]
    x1: PyTree
    x2: PyTree | None


def prepare(
    apply_fn: ApplyFn,
    params: PyTree,
    x1: PyTree,
    x2: PyTree | None = None,
    *,
    output: Output = "trace",
    method: str = "auto",
    precision: str = "highest",
    block_size: int | None = None,
    memory_budget: int | None = None,
    param_filter: ParamFilter | None = None,
    argument: str = "x1",
    diagonal: bool = False,
) -> tuple[KernelComputation, Inputs]:
    """Check all arguments and plan the kernel, or its diagonal."""
    check_option("method", method, METHODS)
    check_option("precision", precision, PRECISIONS)
    if block_size is not None:
        block_size = to_integer("block_size", block_size, minimum=1)
    if memory_budget is not None:
        memory_budget = to_integer("memory_budget", memory_budget, minimum=1)
    columns = None
    if x2 is not None:
        (x1, _), (x2, columns) = to_examples(argument, x1), to_examples("x2", x2)
        x1, x2 = alike(argument, x1, x2)
    network, leaves, frozen, x1, rows = read_network(apply_fn, params, x1, param_filter=param_filter, argument=argument)
    chosen = directions(output, network)
    head = find_head(network) if chosen.kind in ("trace", "mean") else None

    def planned(candidate: Method[Any], budget: int) -> tuple[float, Schedule]:
        chunks = math.ceil(_num_directions(candidate.network, chosen) / candidate.num)
        if diagonal:
            return chunks * candidate.cost(rows, rows), schedule_diagonal(candidate, rows, budget)
        schedule = schedule_kernel(candidate, rows, columns, block_size, budget)
        examples = max(rows + (columns or 0), schedule.block_size * _formed(schedule, rows, columns))
        return chunks * candidate.cost(_pairs(rows, columns), examples), schedule

    def cheapest(budget: int) -> tuple[bool, bool, float, int, Method[Any], Schedule]:
        options = []
        for make in _MAKERS[method]:
            for candidate in _divided(make, network if head is None else head.reduced, chosen):
                cost, schedule = planned(candidate, budget)
                # Work inside a fallback's steps is not counted: products may not be taken for cheap because of it.
                uncounted = isinstance(candidate, VectorProducts) and any(
                    other.has_fallback for *_, other, _ in options
                )
                options.append((schedule.bytes > budget, uncounted, cost, len(options), candidate, schedule))
                if schedule.bytes <= budget and schedule.block_size >= min(rows, _ENOUGH_EXAMPLES):
                    break
        if all(too_large for too_large, *_ in options):
            return min(options, key=lambda option: option[-1].bytes)
        return min(options)

    too_large, _, cost, _, best, schedule = cheapest(memory_budget or default_memory_budget())
    if too_large and memory_budget is None:
        too_large, _, cost, _, best, schedule = cheapest(largest_memory_budget())
    if too_large:
        budget = memory_budget or largest_memory_budget()
        fail("memory_budget", f"{budget:,} bytes", f"at least {schedule.bytes:,} bytes for blocks of one example")
    if head is not None:
        frozen = [*frozen, _rotation(head, network, leaves, frozen)]
    features = HeadFeatures(network, 1, False, head) if head is not None and head.leaves else None
    plan = _describe(best, features, schedule, cost, rows, columns, chosen)
    computation = KernelComputation(network, chosen, best, features, precision, schedule, plan)
    return computation, Inputs(leaves, frozen, x1, x2)


_MAKERS: dict[str, tuple[Callable[[Network, int, bool], Method[Any]], ...]] = {
    "auto": (Structured.of, VectorProducts),
    "jacobian": (Jacobian,),
    "structured": (Structured.of,),
    "vector_products": (VectorProducts,),
}


def _divided(
    make: Callable[[Network, int, bool], Method[Any]], network: Network, chosen: Directions
) -> Iterator[Method[Any]]:
    """The method with all output directions at once, then with half of them, and so on."""
    num = 1 if isinstance(chosen.kind, Probes) else _num_directions(network, chosen)
    yield make(network, num, chosen.full)
    while num > 1 and not chosen.full:
        num = (num + 1) // 2
        yield make(network, num, chosen.full)


def _num_directions(network: Network, chosen: Directions) -> int:
    return network.num_outputs if chosen.kind in ("trace", "mean", "full") else chosen.num


def _pairs(rows: int, columns: int | None) -> int:
    return rows * (rows + 1) // 2 if columns is None else rows * columns


def _formed(schedule: Schedule, rows: int, columns: int | None) -> int:
    blocks = math.ceil(rows / schedule.block_size)
    column_blocks = None if columns is None else math.ceil(columns / schedule.block_size)
    return num_formed(blocks, column_blocks, schedule.resident)


def _describe(
    method: Method[Any],
    features: HeadFeatures | None,
    schedule: Schedule,
    cost: float,
    rows: int,
    columns: int | None,
    chosen: Directions,
) -> NTKPlan:
    pairs, examples = _pairs(rows, columns), rows + (columns or 0)
    chunks = math.ceil(_num_directions(method.network, chosen) / method.num)
    leaves = [leaf._replace(flops=chunks * leaf.flops) for leaf in method.leaf_plans(pairs, examples)]
    of_head = {} if features is None else {leaf.path: leaf for leaf in features.leaf_plans(pairs, examples)}
    return NTKPlan(
        method=method.name,
        leaves=tuple(of_head.get(leaf.path, leaf) for leaf in leaves),
        block_size=schedule.block_size,
        resident=schedule.resident,
        formed=_formed(schedule, rows, columns),
        flops=cost,
        bytes=schedule.bytes,
    )


def alike(argument: str, x1: PyTree, x2: PyTree) -> tuple[PyTree, PyTree]:
    """Both sets of examples, floating-point numbers in the wider of their dtypes; refused unless they fit."""
    if jax.tree.structure(x1) == jax.tree.structure(x2):
        pairs = [_same_float(*pair) for pair in zip(jax.tree.leaves(x1), jax.tree.leaves(x2), strict=True)]
        structure = jax.tree.structure(x1)
        x1, x2 = (jax.tree.unflatten(structure, [pair[side] for pair in pairs]) for side in (0, 1))
    spec1, spec2 = (jax.tree.map(lambda leaf: (tuple(leaf.shape[1:]), leaf.dtype), x) for x in (x1, x2))
    if spec1 != spec2:
        fail("x2", f"examples of shape and dtype {spec2}", f"the same as {argument}: {spec1}")
    return x1, x2


def _same_float(first: Array, second: Array) -> tuple[Array, ...]:
    both = all(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in (first, second))
    return same_dtype(first, second) if both and first.dtype != second.dtype else (first, second)


@functools.partial(jax.jit, static_argnames=("head", "network"))
def _rotation(head: LinearHead, network: Network, leaves: list[Array], frozen: list[Array]) -> Array:
    return head.rotation(network.uses, leaves, frozen)


@functools.partial(jax.jit, static_argnames=("method",))
def block_factors(method: Method[Any], basis: Array, leaves: list[Array], frozen: list[Array], block: PyTree) -> Any:
    """Factors of a block of examples."""
    return method.factors(leaves, frozen, block, basis)


@functools.partial(jax.jit, static_argnames=("method", "precision"))
def tile(
    method: Method[Any],
    basis: Array,
    leaves: list[Array],
    frozen: list[Array],
    left: Any,
    right: Any,
    precision: str,
) -> Array:
    """Tile of the kernel between two blocks, from their factors."""
    return method.tile(leaves, frozen, left, right, basis, precision)


@functools.partial(jax.jit, static_argnames=("method", "precision"))
def diagonal_tile(
    method: Method[Any], basis: Array, leaves: list[Array], frozen: list[Array], block: Any, precision: str
) -> Array:
    """Tile of the kernel of a block with itself, from its factors."""
    return method.diagonal_tile(leaves, frozen, block, basis, precision)


@functools.partial(jax.jit, static_argnames=("method", "precision"))
def fused_kernel(
    method: Method[Any], basis: Array, leaves: list[Array], frozen: list[Array], block: PyTree, precision: str
) -> Array:
    """Kernel of one block, without holding its factors."""
    return method.fused_kernel(leaves, frozen, block, basis, precision)


@functools.partial(jax.jit, static_argnames=("method",))
def block_diagonal(method: Method[Any], basis: Array, leaves: list[Array], frozen: list[Array], block: PyTree) -> Array:
    """``K_ii`` of the examples of a block."""
    return method.diagonal(leaves, frozen, block, basis)
