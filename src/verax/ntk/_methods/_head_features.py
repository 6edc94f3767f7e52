"""The share of a linear head in the trace kernel: products of its inputs."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
from jax import Array

from verax._types import PyTree
from verax.ntk._gram import Factors, gram, gram_diagonal, gram_symmetric
from verax.ntk._head import LinearHead

from ._base import LeafPlan, Leaves, Method, activation_bytes


@dataclasses.dataclass(frozen=True)
class HeadFeatures(Method[Factors]):
    """Factors are the head's inputs, scaled by the root of its outputs, and a constant for each bias."""

    head: LinearHead

    name = "structured"

    @property
    def width(self) -> int:
        """Numbers per example."""
        form = self.head.contraction
        return (form.positions * form.a if self.head.weight_scale is not None else 0) + len(self.head.bias_scales)

    def leaf_plans(self, pairs: int, examples: int) -> tuple[LeafPlan, ...]:
        form = self.head.contraction
        reason = f"linear head [{form.a}, {form.b}] at {form.positions} positions: inputs stand for all outputs"
        share = 2.0 * pairs * self.width / len(self.head.leaves)
        size = self.held_bytes() // len(self.head.leaves)
        return tuple(
            LeafPlan(self.network.paths[leaf], "contraction", reason, share, size) for leaf in self.head.leaves
        )

    def cost(self, pairs: int, examples: int) -> float:
        return 2.0 * pairs * self.width

    def held_bytes(self) -> int:
        return self.width * self.itemsize

    def forming_bytes(self) -> int:
        return activation_bytes(self.network)

    def diagonal_bytes(self) -> int:
        return 0

    def factors(self, leaves: Leaves, frozen: Leaves, block: PyTree, basis: Array) -> Factors:
        head, form = self.head, self.head.contraction
        inputs = functools.partial(head.inputs, self.network.uses.program, leaves, frozen[:-1])

        def one(example: PyTree) -> Array:
            columns = []
            if head.weight_scale is not None:
                rows = inputs(example).reshape(-1)
                columns.append(rows * jnp.asarray(abs(head.weight_scale) * form.b**0.5, rows.dtype))
            for scale in head.bias_scales:
                value = abs(scale) * (form.positions * form.b) ** 0.5
                columns.append(jnp.full((1,), value, self.network.output_dtype))
            return jnp.concatenate(columns)

        with jax.default_matmul_precision("highest"):
            return Factors([jax.vmap(one)(block)], [])

    def tile(
        self, leaves: Leaves, frozen: Leaves, left: Factors, right: Factors, basis: Array, precision: str
    ) -> Array:
        return gram(left, right, full=False, precision=precision)

    def diagonal_tile(self, leaves: Leaves, frozen: Leaves, block: Factors, basis: Array, precision: str) -> Array:
        return gram_symmetric(block, full=False, precision=precision)

    def diagonal(self, leaves: Leaves, frozen: Leaves, block: PyTree, basis: Array) -> Array:
        return gram_diagonal(self.factors(leaves, frozen, block, basis), full=False)
