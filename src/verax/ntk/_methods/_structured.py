"""Products of each layer's inputs and output cotangents; no gradient is formed where that is cheaper."""

import dataclasses
import math

import jax
from jax import Array

from verax._types import PyTree
from verax.ntk import _factors
from verax.ntk._gram import Factors, gram, gram_diagonal, gram_symmetric
from verax.ntk._network import Network
from verax.ntk._routes import Routes, choose_routes, example_cost, pair_cost

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
class Structured(Method[Factors]):
    """Factors are layers' inputs and cotangents, or the gradients made of them, by the route of each leaf."""

    routes: Routes

    name = "structured"

    @classmethod
    def of(cls, network: Network, num: int, full: bool) -> "Structured":
        """Choose the routes."""
        return cls(network, num, full, choose_routes(network.uses, num, full))

    @property
    def has_fallback(self) -> bool:
        return any(route == "fallback" for route, _ in self.routes.labels)

    def leaf_plans(self, pairs: int, examples: int) -> tuple[LeafPlan, ...]:
        costs = self._leaf_costs(pairs, examples)
        return tuple(
            LeafPlan(path, route, reason, flops, size)
            for path, (route, reason), (flops, size) in zip(self.network.paths, self.routes.labels, costs, strict=True)
        )

    def cost(self, pairs: int, examples: int) -> float:
        backward = examples * self.num * BACKWARD_COST * forward_flops(self.network)
        return backward + sum(flops for flops, _ in self._leaf_costs(pairs, examples))

    def _leaf_costs(self, pairs: int, examples: int) -> list[tuple[float, int]]:
        """Operations for the kernel and bytes of factors for one example, of each leaf."""
        num = self.num
        avals = leaf_avals(self.network)
        costs = [(0.0, 0)] * len(avals)
        for leaf in self.routes.generic:
            size = math.prod(avals[leaf].shape)
            costs[leaf] = (2.0 * pairs * self.num_pairs_of_outputs * size, size * num * self.itemsize)
        for layer in self.routes.layers:
            groups, a, b = layer.shape
            shape = (groups, 1, b) if layer.is_lookup else layer.shape
            gradients = layer.num_gradients(num)
            pair = pair_cost(layer.positions, shape, gradients, self.full, layer.hadamard)
            each = example_cost(layer.positions, shape, gradients, layer.hadamard)
            size = (
                groups * layer.positions * (shape[1] + gradients * b) if layer.hadamard else groups * a * b * gradients
            )
            flops, held = costs[layer.leaf]
            costs[layer.leaf] = (flops + pairs * pair + examples * each, held + size * self.itemsize)
        return costs

    def held_bytes(self) -> int:
        return sum(size for _, size in self._leaf_costs(1, 1))

    def forming_bytes(self) -> int:
        # Activations are kept for the backward pass, cotangents of every use for each output, and the factors are
        # written once, and once again while narrow ones are laid side by side.
        return activation_bytes(self.network) + self.num * cotangent_bytes(self.network) + self.held_bytes()

    def fused_bytes(self) -> int | None:
        if self.full:
            return None
        # The gradients of one layer and one output direction are alive at a time.
        itemsize = max(4, self.itemsize)
        explicit = {layer.leaf for layer in self.routes.explicit}
        kept = sum(size for leaf, (_, size) in enumerate(self._leaf_costs(1, 1)) if leaf not in explicit)
        largest = 0
        for layer in self.routes.explicit:
            groups, a, b = layer.shape
            largest = max(largest, groups * (a * b + layer.positions * a) * itemsize)
        cotangents = self.num * cotangent_bytes(self.network)
        return activation_bytes(self.network) + cotangents + kept + largest

    def diagonal_bytes(self) -> int:
        # The Gram of positions of the largest layer.
        outputs = self.num**2 if self.full else 1
        positions = max((layer.positions for layer in self.routes.layers if layer.hadamard), default=0)
        return positions**2 * outputs * max(4, self.itemsize)

    def factors(self, leaves: Leaves, frozen: Leaves, block: PyTree, basis: Array) -> Factors:
        with jax.default_matmul_precision("highest"):
            return _factors.block_factors(self.network.uses, self.routes, leaves, frozen, block, basis, self.full)

    def tile(
        self, leaves: Leaves, frozen: Leaves, left: Factors, right: Factors, basis: Array, precision: str
    ) -> Array:
        return gram(left, right, full=self.full, precision=precision)

    def diagonal_tile(self, leaves: Leaves, frozen: Leaves, block: Factors, basis: Array, precision: str) -> Array:
        return gram_symmetric(block, full=self.full, precision=precision)

    def fused_kernel(self, leaves: Leaves, frozen: Leaves, block: PyTree, basis: Array, precision: str) -> Array:
        with jax.default_matmul_precision("highest"):
            return _factors.fused_kernel(self.network.uses, self.routes, leaves, frozen, block, basis, precision)

    def diagonal(self, leaves: Leaves, frozen: Leaves, block: PyTree, basis: Array) -> Array:
        return gram_diagonal(self.factors(leaves, frozen, block, basis), full=self.full)
