"""The tile schedule over a mesh: rows stay, factors go round a ring."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from verax._errors import check
from verax._types import PyTree

from ._computation import block_factors, diagonal_tile, tile
from ._gram import mirrored
from ._methods import Method
from ._tiles import block_of, num_examples


def mesh_kernel(
    method: Method[Any],
    precision: str,
    basis: Array,
    leaves: list[Array],
    frozen: list[Array],
    x1: PyTree,
    x2: PyTree | None,
    mesh: Mesh,
) -> Array:
    """Kernel ``[n1, n2, ...]``, its rows sharded over all axes of the mesh.

    Each device forms the factors of its own examples once. They travel from device to device, once round the ring, half
    round it for a symmetric kernel, where the tile below the diagonal comes back from whoever computed it.
    """
    # Inside, the compiler chooses the placement, whatever kind of axes the mesh has: explicit axes cannot be cut
    # unevenly.
    auto = Mesh(mesh.devices, mesh.axis_names, axis_types=(AxisType.Auto,) * len(mesh.axis_names))
    spread = PartitionSpec(mesh.axis_names)
    rows = num_examples(x1)
    columns = rows if x2 is None else num_examples(x2)

    def even(x: PyTree) -> PyTree:  # every device has as many; the last example is repeated, and cut from the kernel
        return jax.device_put(block_of(x, 0, -(-num_examples(x) // mesh.size) * mesh.size), NamedSharding(auto, spread))

    shared = jax.device_put((basis, leaves, frozen), NamedSharding(auto, PartitionSpec()))
    kernel = _compiled(method, precision, auto, x2 is None)(*shared, even(x1), None if x2 is None else even(x2))
    if kernel.shape[0] == rows:
        return jax.device_put(kernel[:, :columns], NamedSharding(mesh, spread))
    return kernel[:rows, :columns]


def replicated(tree: PyTree, mesh: Mesh) -> PyTree:
    """Examples or parameters on every device of the mesh."""
    check(isinstance(mesh, Mesh), "mesh", type(mesh).__name__, "a jax.sharding.Mesh")
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec()))


@functools.lru_cache(maxsize=16)
def _compiled(method: Method[Any], precision: str, mesh: Mesh, symmetric: bool) -> Callable[..., Array]:
    axes = mesh.axis_names
    local = functools.partial(_local, method, precision, axes, mesh.size, symmetric)
    shared, own = PartitionSpec(), PartitionSpec(axes)
    # The varying axes are not followed: the factors are made by code that knows of no mesh.
    mapped = jax.shard_map(
        local, mesh=mesh, in_specs=(shared, shared, shared, own, own), out_specs=own, check_vma=False
    )
    return jax.jit(mapped)


def _local(
    method: Method[Any],
    precision: str,
    axes: tuple[str, ...],
    size: int,
    symmetric: bool,
    basis: Array,
    leaves: list[Array],
    frozen: list[Array],
    x1: PyTree,
    x2: PyTree | None,
) -> Array:
    """Rows of the kernel that belong to one device."""
    index = lax.axis_index(axes)
    between = functools.partial(tile, method, basis, leaves, frozen, precision=precision)
    held = block_factors(method, basis, leaves, frozen, x1)
    travelling = held if symmetric else block_factors(method, basis, leaves, frozen, x2)
    width = num_examples(x1 if symmetric else x2)
    own = diagonal_tile if symmetric else tile
    factors = (held,) if symmetric else (held, travelling)
    first = own(method, basis, leaves, frozen, *factors, precision=precision)
    kernel = jnp.zeros((first.shape[0], size * width, *first.shape[2:]), first.dtype)

    def put(kernel: Array, values: Array, owner: Array) -> Array:
        zeros = [jnp.int32(0)] * (kernel.ndim - 2)
        return lax.dynamic_update_slice(kernel, values, (jnp.int32(0), jnp.int32(owner * width), *zeros))

    kernel = put(kernel, first, index)
    for step in range(1, size // 2 + 1 if symmetric else size):
        ring = [(device, (device + 1) % size) for device in range(size)]
        travelling = lax.ppermute(travelling, axes, ring)
        values = between(held, travelling)
        kernel = put(kernel, values, (index - step) % size)
        if symmetric and 2 * step != size:  # halfway round both have the tile
            back = [(device, (device - step) % size) for device in range(size)]
            kernel = put(kernel, lax.ppermute(mirrored(values), axes, back), (index + step) % size)
    return kernel
