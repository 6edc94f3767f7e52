"""The contract of a method: operations, bytes, factors of a block of examples, and tiles between blocks."""

import abc
import dataclasses
import functools
import math
from typing import ClassVar, Generic, NamedTuple, TypeAlias, TypeVar

from jax import Array

from verax._results import result
from verax._types import PyTree
from verax.ntk._network import Network
from verax.ntk._program import Aval, all_steps

# A forward pass with one backward pass costs about three forward passes.
BACKWARD_COST = 3

F = TypeVar("F")
Leaves: TypeAlias = list[Array]


@result()
class LeafPlan(NamedTuple):
    """How one parameter leaf contributes: operations for the whole kernel, bytes of its factors for one example."""

    path: str
    route: str
    reason: str
    flops: float
    bytes: int


@dataclasses.dataclass(frozen=True)
class Method(abc.ABC, Generic[F]):
    """One way to compute the tiles of a kernel; ``F`` is the type of a block's factors.

    Kernels over many output directions are computed ``num`` directions at a time: their cotangents come as
    ``basis [num, num_outputs]``. With ``full`` all pairs of directions are kept, otherwise equal pairs are summed.
    """

    network: Network
    num: int
    full: bool

    name: ClassVar[str]

    @abc.abstractmethod
    def leaf_plans(self, pairs: int, examples: int) -> tuple[LeafPlan, ...]:
        """Route, reason, operations and bytes of each selected leaf."""

    @abc.abstractmethod
    def cost(self, pairs: int, examples: int) -> float:
        """Operations for ``pairs`` entries of the kernel and the factors of ``examples`` examples."""

    @abc.abstractmethod
    def held_bytes(self) -> int:
        """Bytes of the factors of one example."""

    @abc.abstractmethod
    def forming_bytes(self) -> int:
        """Further bytes per example while the factors of a block are formed."""

    def fused_bytes(self) -> int | None:
        """Bytes per example of `fused_kernel`; None for a method that has none."""
        return None

    @abc.abstractmethod
    def diagonal_bytes(self) -> int:
        """Bytes per example of the largest intermediate value of `diagonal`."""

    @abc.abstractmethod
    def factors(self, leaves: Leaves, frozen: Leaves, block: PyTree, basis: Array) -> F:
        """Factors of a block of examples."""

    @abc.abstractmethod
    def tile(self, leaves: Leaves, frozen: Leaves, left: F, right: F, basis: Array, precision: str) -> Array:
        """Tile of the kernel between two blocks, from their factors."""

    def diagonal_tile(self, leaves: Leaves, frozen: Leaves, block: F, basis: Array, precision: str) -> Array:
        """Tile of the kernel of a block with itself."""
        return self.tile(leaves, frozen, block, block, basis, precision)

    def fused_kernel(self, leaves: Leaves, frozen: Leaves, block: PyTree, basis: Array, precision: str) -> Array:
        """Kernel of one block with itself, without holding the factors."""
        raise NotImplementedError

    @abc.abstractmethod
    def diagonal(self, leaves: Leaves, frozen: Leaves, block: PyTree, basis: Array) -> Array:
        """``K_ii`` of the examples of a block, ``[n]`` (``[n, num, num]`` when full)."""

    @property
    def has_fallback(self) -> bool:
        """Whether some leaf's cost is not counted."""
        return False

    @property
    def num_pairs_of_outputs(self) -> int:
        """Entries that a pair of examples has, summed or kept."""
        return self.num**2 if self.full else self.num

    @property
    def itemsize(self) -> int:
        """Bytes of one number of the output's dtype."""
        return self.network.output_dtype.itemsize


def leaf_avals(network: Network) -> list[Aval]:
    """Shapes of the selected leaves."""
    program = network.uses.program
    return [program.avals[slot] for slot in program.inputs[: network.uses.num_leaves]]


@functools.lru_cache(maxsize=256)
def forward_flops(network: Network) -> float:
    """Operations of the matrix products and convolutions with weights in one example's forward pass."""
    forms = [use.contraction for use in network.uses.uses]
    return sum(2.0 * form.positions * form.groups * form.a * form.b for form in forms if form and not form.is_lookup)


@functools.lru_cache(maxsize=256)
def activation_bytes(network: Network) -> int:
    """Bytes of everything that one example's forward pass computes."""
    program = network.uses.program
    parameter_steps = {id(step) for step in network.uses.parameter_steps}
    return sum(
        times * aval_bytes(program.avals[slot])
        for step, times in all_steps(program.steps)
        if id(step) not in parameter_steps
        for slot in step.outputs
        if slot is not None
    )


@functools.lru_cache(maxsize=256)
def cotangent_bytes(network: Network) -> int:
    """Bytes of the cotangents of the results of all uses, for one output direction of one example."""
    avals = network.uses.program.avals
    return sum(
        math.prod(use.lengths) * aval_bytes(avals[slot])
        for use in network.uses.uses
        for slot in use.origin.outputs
        if slot is not None
    )


def example_bytes(network: Network) -> int:
    """Bytes of one example."""
    program = network.uses.program
    return sum(aval_bytes(program.avals[slot]) for slot in program.inputs[network.uses.num_parameters :])


def aval_bytes(aval: Aval) -> int:
    """Bytes of a value."""
    return math.prod(aval.shape) * aval.dtype.itemsize
