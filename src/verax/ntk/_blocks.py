"""The pieces of a kernel: factors of a block of examples, and tiles between blocks."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from verax.kernels._dtypes import accumulator

from . import _factors, _gram
from ._network import Directions, Network
from ._plan import Prepared
from ._routes import Routes


class Job(NamedTuple):
    """The static half of a kernel computation: everything that compiled code depends on besides array values."""

    network: Network
    directions: Directions
    routes: Routes | None  # None unless structured
    products: bool  # by NTK-vector products
    precision: str

    @staticmethod
    def of(prepared: Prepared, precision: str) -> "Job":
        """Take from a plan what compiled code depends on."""
        method = prepared.plan.method
        routes = prepared.routes if method == "structured" else None
        return Job(prepared.network, prepared.directions, routes, method == "vector_products", precision)


@functools.partial(jax.jit, static_argnames=("job",))
def form(job: Job, leaves: list[Array], frozen: list[Array], block: Any) -> Any:
    """Factors of a block of examples."""
    if job.products:
        return block
    basis = job.directions.basis(job.network)
    full = job.directions.full
    with jax.default_matmul_precision("highest"):
        if job.routes is not None:
            return _factors.form_factors(job.network.uses, job.routes, leaves, frozen, block, basis, full)
        return jacobian_factors(job.network, leaves, frozen, block, basis, full)


@functools.partial(jax.jit, static_argnames=("job",))
def tile(job: Job, leaves: list[Array], frozen: list[Array], left: Any, right: Any) -> Array:
    """Tile of the kernel between two blocks, from their factors."""
    if job.products:
        return _product_tile(job, leaves, frozen, left, right)
    return _gram.gram(left, right, full=job.directions.full, precision=job.precision)


@functools.partial(jax.jit, static_argnames=("job",))
def diagonal_tile(job: Job, leaves: list[Array], frozen: list[Array], block: Any) -> Array:
    """Tile of the kernel of a block with itself."""
    if job.products:
        return _product_tile(job, leaves, frozen, block, block)
    num = jax.tree.leaves(block)[0].shape[0]
    return _gram.gram_symmetric(block, num=num, full=job.directions.full, precision=job.precision)


def jacobian_factors(
    network: Network, leaves: list[Array], frozen: list[Array], block: Any, basis: Array, full: bool
) -> dict[str, list[Any]]:
    """Form the gradients of a block: one array ``[n, O * size]`` a leaf, ``[n, O, size]`` when full."""

    def one(example: Any) -> list[Array]:
        _, pull_back = jax.vjp(lambda chosen: network.apply_one(chosen, frozen, example), leaves)
        rows = jax.vmap(lambda cotangent: pull_back(cotangent)[0])(basis)
        return [row.reshape(row.shape[0], -1) if full else row.reshape(-1) for row in rows]

    return {"gradients": jax.vmap(one)(block), "hadamard": []}


def _product_tile(job: Job, leaves: list[Array], frozen: list[Array], left: Any, right: Any) -> Array:
    """Columns of the kernel: each gradient of a right example is pushed forward through the left examples."""
    basis = job.directions.basis(job.network)

    def outputs(chosen: list[Array], block: Any) -> Array:
        return jax.vmap(lambda example: job.network.apply_one(chosen, frozen, example))(block)

    def column(example: Any) -> Array:  # [n1, O, O]
        _, pull_back = jax.vjp(lambda chosen: job.network.apply_one(chosen, frozen, example), leaves)
        _, push = jax.linearize(lambda chosen: outputs(chosen, left), leaves)
        pushed = jax.vmap(lambda cotangent: push(pull_back(cotangent)[0]))(basis)  # [O, n1, num_outputs]
        return jnp.einsum("qnk,ok->noq", pushed, basis, precision="highest")

    with jax.default_matmul_precision("highest"):
        tile = jax.lax.map(
            column, right
        )  # [n2, n1, O, O]: one example at a time bounds memory to one gradient an output
    tile = tile.transpose(1, 0, 2, 3).astype(accumulator(tile.dtype))
    return tile if job.directions.full else jnp.trace(tile, axis1=2, axis2=3)
