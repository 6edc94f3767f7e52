"""Gradients pushed forward through the network; no factors are held."""

import dataclasses

import jax
import jax.numpy as jnp
from jax import Array

from verax._types import PyTree
from verax.kernels._dtypes import accumulator

from ._base import LeafPlan, Method, activation_bytes, example_bytes, forward_flops

# A tangent pushed forward costs about two forward passes.
_TANGENT_COST = 2


@dataclasses.dataclass(frozen=True)
class VectorProducts(Method[PyTree]):
    """The factors of a block are its examples."""

    name = "vector_products"

    def leaf_plans(self, pairs: int, examples: int) -> tuple[LeafPlan, ...]:
        reason = "tangents pushed through the whole network"
        return tuple(LeafPlan(path, "fallback", reason, 0.0, 0) for path in self.network.paths)

    def cost(self, pairs: int, examples: int) -> float:
        return pairs * self.directions.num * _TANGENT_COST * forward_flops(self.network)

    def held_bytes(self) -> int:
        return example_bytes(self.network)

    def forming_bytes(self) -> int:
        tangents = self.network.num_outputs * self.directions.num * max(4, self.itemsize) * 4
        return tangents + 4 * activation_bytes(self.network)

    def factors(self, leaves: list[Array], frozen: list[Array], block: PyTree) -> PyTree:
        return block

    def tile(self, leaves: list[Array], frozen: list[Array], left: PyTree, right: PyTree, precision: str) -> Array:
        """Columns of the kernel: each gradient of a right example is pushed forward through the left examples."""
        network, basis = self.network, self.directions.basis(self.network)

        def outputs(chosen: list[Array], block: PyTree) -> Array:
            return jax.vmap(lambda example: network.apply_one(chosen, frozen, example))(block)

        def column(example: PyTree) -> Array:  # [n1, O, O]
            _, pull_back = jax.vjp(lambda chosen: network.apply_one(chosen, frozen, example), leaves)
            _, push = jax.linearize(lambda chosen: outputs(chosen, left), leaves)
            pushed = jax.vmap(lambda cotangent: push(pull_back(cotangent)[0]))(basis)  # [O, n1, num_outputs]
            return jnp.einsum("qnk,ok->noq", pushed, basis, precision="highest")

        with jax.default_matmul_precision("highest"):
            # [n2, n1, O, O]: one example at a time bounds memory to one gradient per output.
            tile = jax.lax.map(column, right)
        tile = tile.transpose(1, 0, 2, 3).astype(accumulator(tile.dtype))
        return tile if self.directions.full else jnp.trace(tile, axis1=2, axis2=3)
