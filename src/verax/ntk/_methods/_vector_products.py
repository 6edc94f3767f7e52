"""Gradients pushed forward through the network; no factors are held."""

import dataclasses

import jax
import jax.numpy as jnp
from jax import Array

from verax._types import PyTree
from verax.kernels._dtypes import accumulator

from ._base import (
    BACKWARD_COST,
    LeafPlan,
    Leaves,
    Method,
    activation_bytes,
    aval_bytes,
    example_bytes,
    forward_flops,
    leaf_avals,
)

# A tangent pushed forward costs about two forward passes.
_TANGENT_COST = 2
# Output directions that are pushed at once.
_DIRECTIONS = 16


@dataclasses.dataclass(frozen=True)
class VectorProducts(Method[PyTree]):
    """The factors of a block are its examples."""

    name = "vector_products"

    def leaf_plans(self, pairs: int, examples: int) -> tuple[LeafPlan, ...]:
        reason = "tangents pushed through the whole network"
        return tuple(LeafPlan(path, "fallback", reason, 0.0, 0) for path in self.network.paths)

    def cost(self, pairs: int, examples: int) -> float:
        return (pairs * _TANGENT_COST + examples * BACKWARD_COST) * self.num * forward_flops(self.network)

    def held_bytes(self) -> int:
        return example_bytes(self.network)

    def forming_bytes(self) -> int:
        at_once = self.num if self.full else min(self.num, _DIRECTIONS)
        tangents = self.network.num_outputs * at_once * max(4, self.itemsize) * 4
        return tangents + 4 * activation_bytes(self.network)

    def diagonal_bytes(self) -> int:
        return self._gradient_bytes() * (self.num if self.full else min(self.num, _DIRECTIONS))

    def _gradient_bytes(self) -> int:
        return sum(aval_bytes(aval) for aval in leaf_avals(self.network))

    def factors(self, leaves: Leaves, frozen: Leaves, block: PyTree, basis: Array) -> PyTree:
        return block

    def tile(self, leaves: Leaves, frozen: Leaves, left: PyTree, right: PyTree, basis: Array, precision: str) -> Array:
        """Columns of the kernel: each gradient of a right example is pushed forward through the left examples."""
        network = self.network

        def outputs(chosen: Leaves) -> Array:
            return jax.vmap(lambda example: network.apply_one(chosen, frozen, example))(left)

        def column(example: PyTree) -> Array:  # [n1], or [n1, O, O] when full
            _, pull_back = jax.vjp(lambda chosen: network.apply_one(chosen, frozen, example), leaves)
            _, push = jax.linearize(outputs, leaves)
            if self.full:
                pushed = jax.vmap(lambda row: push(pull_back(row)[0]))(basis)  # [O, n1, num_outputs]
                return jnp.einsum("qnk,ok->noq", pushed, basis, precision="highest")

            def one_direction(row: Array) -> Array:
                pushed = push(pull_back(row)[0])
                wide = accumulator(row.dtype)
                return jnp.einsum("nk,k->n", pushed, row, precision="highest", preferred_element_type=wide)

            if self.num <= _DIRECTIONS:
                return jnp.sum(jax.vmap(one_direction)(basis), axis=0)
            return jnp.sum(jax.lax.map(one_direction, basis, batch_size=_DIRECTIONS), axis=0)

        with jax.default_matmul_precision("highest"):
            # One example at a time bounds memory to one gradient per output direction.
            tile = jax.lax.map(column, right)
        return tile.swapaxes(0, 1).astype(accumulator(tile.dtype))

    def diagonal(self, leaves: Leaves, frozen: Leaves, block: PyTree, basis: Array) -> Array:
        def one(example: PyTree) -> Array:
            single = jax.tree.map(lambda leaf: leaf[None], example)
            return self.tile(leaves, frozen, single, single, basis, "highest")[0, 0]

        return jax.lax.map(one, block)
