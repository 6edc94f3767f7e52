"""Explicit gradients of all parameters, and their matrix products."""

import dataclasses
import math

import jax
from jax import Array

from verax._types import PyTree
from verax.ntk._gram import Factors, gram, gram_symmetric
from verax.ntk._network import Network

from ._base import (
    BACKWARD_COST,
    LeafPlan,
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
                size * self.directions.num * self.itemsize,
            )
            for path, size in zip(self.network.paths, sizes, strict=True)
        )

    def cost(self, pairs: int, examples: int) -> float:
        products = sum(leaf.flops for leaf in self.leaf_plans(pairs, examples))
        return products + examples * self.directions.num * BACKWARD_COST * forward_flops(self.network)

    def held_bytes(self) -> int:
        return sum(leaf.bytes for leaf in self.leaf_plans(1, 1))

    def forming_bytes(self) -> int:
        return activation_bytes(self.network) + self.directions.num * cotangent_bytes(self.network) + self.held_bytes()

    def factors(self, leaves: list[Array], frozen: list[Array], block: PyTree) -> Factors:
        basis = self.directions.basis(self.network)
        with jax.default_matmul_precision("highest"):
            return jacobian_factors(self.network, leaves, frozen, block, basis, self.directions.full)

    def tile(self, leaves: list[Array], frozen: list[Array], left: Factors, right: Factors, precision: str) -> Array:
        return gram(left, right, full=self.directions.full, precision=precision)

    def diagonal_tile(self, leaves: list[Array], frozen: list[Array], block: Factors, precision: str) -> Array:
        num = jax.tree.leaves(block)[0].shape[0]
        return gram_symmetric(block, num=num, full=self.directions.full, precision=precision)


def jacobian_factors(
    network: Network, leaves: list[Array], frozen: list[Array], block: PyTree, basis: Array, full: bool
) -> Factors:
    """Form the gradients of a block: one array ``[n, O * size]`` per leaf, ``[n, O, size]`` when full."""

    def one(example: PyTree) -> list[Array]:
        _, pull_back = jax.vjp(lambda chosen: network.apply_one(chosen, frozen, example), leaves)
        rows = jax.vmap(lambda cotangent: pull_back(cotangent)[0])(basis)
        return [row.reshape(row.shape[0], -1) if full else row.reshape(-1) for row in rows]

    return Factors(jax.vmap(one)(block), [])
