"""A kernel computation: the method and its plan, read from the arguments of the public functions, and compiled."""

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from verax._errors import check_integer, check_option, fail
from verax._types import ApplyFn, PyTree

from ._budget import default_memory_budget
from ._methods import Jacobian, Method, Structured, VectorProducts
from ._network import Directions, Network, ParamFilter, check_examples, directions, read_network
from ._plan import NTKPlan
from ._schedule import Schedule, schedule_blocks
from ._tiles import num_formed

METHODS = ("auto", "jacobian", "structured", "vector_products")
PRECISIONS = ("default", "high", "highest")


@dataclasses.dataclass(frozen=True)
class KernelComputation:
    """A method with its precision, by which compiled code is keyed, and the plan, by which it is not."""

    method: Method[Any]
    precision: str
    plan: NTKPlan = dataclasses.field(compare=False)
    schedule: Schedule = dataclasses.field(compare=False)

    @property
    def network(self) -> Network:
        """The analysed network."""
        return self.method.network

    @property
    def directions(self) -> Directions:
        """The output directions that the kernel is made of."""
        return self.method.directions


def prepare(
    apply_fn: ApplyFn,
    params: PyTree,
    x1: PyTree,
    x2: PyTree | None,
    *,
    output: str | int,
    method: str,
    precision: str = "highest",
    block_size: int | None,
    memory_budget: int | None,
    param_filter: ParamFilter | None,
) -> KernelComputation:
    """Check all arguments and plan."""
    check_option("method", method, METHODS)
    check_option("precision", precision, PRECISIONS)
    if block_size is not None:
        check_integer("block_size", block_size, minimum=1)
    if memory_budget is not None:
        check_integer("memory_budget", memory_budget, minimum=1)
    network = read_network(apply_fn, params, x1, param_filter=param_filter)
    if x2 is not None:
        _check_alike(x1, x2)
        check_examples("x2", x2)
    num_rows = jax.tree.leaves(x1)[0].shape[0]
    num_columns = None if x2 is None else jax.tree.leaves(x2)[0].shape[0]
    pairs = num_rows * (num_rows + 1) // 2 if num_columns is None else num_rows * num_columns
    examples = num_rows + (num_columns or 0)
    if memory_budget is None:
        memory_budget = default_memory_budget()
    chosen = _choose(method, network, directions(output, network), pairs, examples)
    schedule, peak = schedule_blocks(chosen, num_rows, num_columns, block_size, memory_budget)
    blocks = math.ceil(num_rows / schedule.block_size)
    column_blocks = None if num_columns is None else math.ceil(num_columns / schedule.block_size)
    plan = NTKPlan(
        method=chosen.name,
        leaves=chosen.leaf_plans(pairs, examples),
        block_size=schedule.block_size,
        resident=schedule.resident,
        formed=num_formed(blocks, column_blocks, schedule.resident),
        flops=chosen.cost(pairs, examples),
        bytes=peak,
    )
    return KernelComputation(chosen, precision, plan, schedule)


def _choose(name: str, network: Network, chosen: Directions, pairs: int, examples: int) -> Method[Any]:
    if name == "jacobian":
        return Jacobian(network, chosen)
    structured, products = Structured.of(network, chosen), VectorProducts(network, chosen)
    if name == "vector_products":
        return products
    counted = all(route != "fallback" for route, _ in structured.routes.labels)  # work inside a scan is not counted
    if name == "auto" and counted and products.cost(pairs, examples) < structured.cost(pairs, examples):
        return products
    return structured


def _check_alike(x1: PyTree, x2: PyTree) -> None:
    spec1, spec2 = (jax.tree.map(lambda leaf: (tuple(leaf.shape[1:]), jnp.result_type(leaf)), x) for x in (x1, x2))
    if spec1 != spec2:
        fail("x2", f"examples of shape and dtype {spec2}", f"the same as x1: {spec1}")


@functools.partial(jax.jit, static_argnames=("computation",))
def block_factors(computation: KernelComputation, leaves: list[Array], frozen: list[Array], block: PyTree) -> Any:
    """Factors of a block of examples."""
    return computation.method.factors(leaves, frozen, block)


@functools.partial(jax.jit, static_argnames=("computation",))
def tile(computation: KernelComputation, leaves: list[Array], frozen: list[Array], left: Any, right: Any) -> Array:
    """Tile of the kernel between two blocks, from their factors."""
    return computation.method.tile(leaves, frozen, left, right, computation.precision)


@functools.partial(jax.jit, static_argnames=("computation",))
def diagonal_tile(computation: KernelComputation, leaves: list[Array], frozen: list[Array], block: Any) -> Array:
    """Tile of the kernel of a block with itself, from its factors."""
    return computation.method.diagonal_tile(leaves, frozen, block, computation.precision)


@functools.partial(jax.jit, static_argnames=("computation",))
def fused_kernel(computation: KernelComputation, leaves: list[Array], frozen: list[Array], block: PyTree) -> Array:
    """Kernel of one block with itself, by the structured method."""
    assert isinstance(computation.method, Structured)
    return computation.method.fused_kernel(leaves, frozen, block, computation.precision)


@functools.partial(jax.jit, static_argnames=("computation",))
def block_diagonal(computation: KernelComputation, leaves: list[Array], frozen: list[Array], block: PyTree) -> Array:
    """``K_ii`` of the examples of a block, by the structured method."""
    assert isinstance(computation.method, Structured)
    return computation.method.diagonal(leaves, frozen, block)
