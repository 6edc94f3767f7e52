"""The contract of a method: operations, bytes, factors of a block of examples, and tiles between blocks."""

import abc
import dataclasses
import functools
import math
from typing import ClassVar, Generic, NamedTuple, TypeVar

import jax.numpy as jnp
from jax import Array

from verax._types import PyTree
from verax.ntk._network import Directions, Network
from verax.ntk._program import Aval

# A forward pass with one backward pass costs about three forward passes.
BACKWARD_COST = 3

F = TypeVar("F")


class LeafPlan(NamedTuple):
    """How one parameter leaf contributes: operations for the whole kernel, bytes of its factors for one example."""

    path: str
    route: str
    reason: str
    flops: float
    bytes: int


@dataclasses.dataclass(frozen=True)
class Method(abc.ABC, Generic[F]):
    """One way to compute the tiles of a kernel; ``F`` is the type of a block's factors."""

    network: Network
    directions: Directions

    name: ClassVar[str]

    @abc.abstractmethod
    def leaf_plans(self, pairs: int, examples: int) -> tuple[LeafPlan, ...]:
        """Route, reason, operations and bytes of each selected leaf."""

    @abc.abstractmethod
    def cost(self, pairs: int, examples: int) -> float:
        """Operations for ``pairs`` entries of the kernel between ``examples`` examples."""

    @abc.abstractmethod
    def held_bytes(self) -> int:
        """Bytes of the factors of one example."""

    @abc.abstractmethod
    def forming_bytes(self) -> int:
        """Further bytes per example while the factors of a block are formed."""

    @abc.abstractmethod
    def factors(self, leaves: list[Array], frozen: list[Array], block: PyTree) -> F:
        """Factors of a block of examples."""

    @abc.abstractmethod
    def tile(self, leaves: list[Array], frozen: list[Array], left: F, right: F, precision: str) -> Array:
        """Tile of the kernel between two blocks, from their factors."""

    def diagonal_tile(self, leaves: list[Array], frozen: list[Array], block: F, precision: str) -> Array:
        """Tile of the kernel of a block with itself."""
        return self.tile(leaves, frozen, block, block, precision)

    @property
    def num_pairs_of_outputs(self) -> int:
        """Entries that a pair of examples has, summed or kept."""
        return self.directions.num**2 if self.directions.full else self.directions.num

    @property
    def itemsize(self) -> int:
        """Bytes of one number of the output's dtype."""
        return jnp.dtype(self.network.output_dtype).itemsize


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
    steps = [step for step in program.steps if id(step) not in parameter_steps]
    return sum(aval_bytes(program.avals[slot]) for step in steps for slot in step.outputs if slot is not None)


@functools.lru_cache(maxsize=256)
def cotangent_bytes(network: Network) -> int:
    """Bytes of the cotangents of the results of all uses, for one output direction of one example."""
    program = network.uses.program
    slots = [slot for use in network.uses.uses for slot in program.steps[use.step].outputs if slot is not None]
    return sum(aval_bytes(program.avals[slot]) for slot in slots)


def example_bytes(network: Network) -> int:
    """Bytes of one example."""
    program = network.uses.program
    return sum(aval_bytes(program.avals[slot]) for slot in program.inputs[len(network.selected) :])


def aval_bytes(aval: Aval) -> int:
    """Bytes of a value."""
    return math.prod(aval.shape) * jnp.dtype(aval.dtype).itemsize
