"""Explicit gradients of all parameters, and their matrix products."""

import dataclasses
import math

import jax
from jax import Array

from verax._types import PyTree
from verax.ntk._gram import Factors, gram, gram_diagonal, gram_symmetric
from verax.ntk._network import Network

from ._base import (
    BACKWARD_COST,
    LeafPlan,
    Leaves,
    Method,
    activation_bytes,
    cotangent_bytes,
    forward_flops,
    leaf_avals,
)


@dataclasses.dataclass(frozen=True)
class Jacobian(Method[Factors]):
    """Factors are gradients, one array per leaf."""

    name = "jacobian"

    def leaf_plans(self, pairs: int, examples: int) -> tuple[LeafPlan, ...]:
        sizes = [math.prod(aval.shape) for aval in leaf_avals(self.network)]
        return tuple(
            LeafPlan(
                path,
                "contraction",
                "explicit Jacobian",
                2.0 * pairs * self.num_pairs_of_outputs * size,
                size * self.num * self.itemsize,
            )
            for path, size in zip(self.network.paths, sizes, strict=True)
        )

    def cost(self, pairs: int, examples: int) -> float:
        products = sum(leaf.flops for leaf in self.leaf_plans(pairs, examples))
        return products + examples * self.num * BACKWARD_COST * forward_flops(self.network)

    def held_bytes(self) -> int:
        return sum(leaf.bytes for leaf in self.leaf_plans(1, 1))

    def forming_bytes(self) -> int:
        return activation_bytes(self.network) + self.num * cotangent_bytes(self.network) + self.held_bytes()

    def diagonal_bytes(self) -> int:
        return 0

    def factors(self, leaves: Leaves, frozen: Leaves, block: PyTree, basis: Array) -> Factors:
        with jax.default_matmul_precision("highest"):
            return jacobian_factors(self.network, leaves, frozen, block, basis, self.full)

    def tile(
        self, leaves: Leaves, frozen: Leaves, left: Factors, right: Factors, basis: Array, precision: str
    ) -> Array:
        return gram(left, right, full=self.full, precision=precision)

    def diagonal_tile(self, leaves: Leaves, frozen: Leaves, block: Factors, basis: Array, precision: str) -> Array:
        return gram_symmetric(block, full=self.full, precision=precision)

    def diagonal(self, leaves: Leaves, frozen: Leaves, block: PyTree, basis: Array) -> Array:
        return gram_diagonal(self.factors(leaves, frozen, block, basis), full=self.full)


def jacobian_factors(
    network: Network, leaves: list[Array], frozen: list[Array], block: PyTree, basis: Array, full: bool
) -> Factors:
    """Form the gradients of a block: one array ``[n, O * size]`` per leaf, ``[n, O, size]`` when full."""

    def one(example: PyTree) -> list[Array]:
        _, pull_back = jax.vjp(lambda chosen: network.apply_one(chosen, frozen, example), leaves)
        rows = jax.vmap(lambda cotangent: pull_back(cotangent)[0])(basis)
        return [row.reshape(row.shape[0], -1) if full else row.reshape(-1) for row in rows]

    return Factors(jax.vmap(one)(block), [])
