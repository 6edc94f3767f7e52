"""The tile schedule over a mesh: rows stay, factors go round a ring."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from verax._errors import check

from ._computation import KernelComputation, block_factors, diagonal_tile, tile
from ._gram import mirrored
from ._tiles import block_of, num_examples


def mesh_kernel(
    computation: KernelComputation, leaves: list[Array], frozen: list[Array], x1: Any, x2: Any | None, mesh: Mesh
) -> Array:
    """Kernel ``[n1, n2, ...]``, its rows sharded over all axes of the mesh.

    Each device forms the factors of its own examples once. They travel from device to device, once round the ring, half
    round it for a symmetric kernel, where the tile below the diagonal comes back from whoever computed it.
    """
    # Inside, the compiler places what it likes, whatever kind of axes the mesh has: explicit ones cannot be cut
    # unevenly.
    auto = Mesh(mesh.devices, mesh.axis_names, axis_types=(AxisType.Auto,) * len(mesh.axis_names))
    spread = PartitionSpec(mesh.axis_names)
    rows = num_examples(x1)
    columns = rows if x2 is None else num_examples(x2)

    def even(x: Any) -> Any:  # every device has as many; the last example is repeated, and cut from the kernel
        return jax.device_put(block_of(x, 0, -(-num_examples(x) // mesh.size) * mesh.size), NamedSharding(auto, spread))

    leaves, frozen = jax.device_put((leaves, frozen), NamedSharding(auto, PartitionSpec()))
    kernel = _compiled(computation, auto, x2 is None)(leaves, frozen, even(x1), None if x2 is None else even(x2))
    if kernel.shape[0] == rows:
        return jax.device_put(kernel[:, :columns], NamedSharding(mesh, spread))
    return kernel[:rows, :columns]


def replicated(tree: Any, mesh: Mesh) -> Any:
    """Examples or parameters on every device of the mesh."""
    check(isinstance(mesh, Mesh), "mesh", type(mesh).__name__, "a jax.sharding.Mesh")
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec()))


@functools.lru_cache(maxsize=16)
def _compiled(computation: KernelComputation, mesh: Mesh, symmetric: bool) -> Any:
    axes = mesh.axis_names
    local = functools.partial(_local, computation, axes, mesh.size, symmetric)
    shared, own = PartitionSpec(), PartitionSpec(axes)
    # The varying axes are not followed: the factors are made by code that knows of no mesh.
    mapped = jax.shard_map(local, mesh=mesh, in_specs=(shared, shared, own, own), out_specs=own, check_vma=False)
    return jax.jit(mapped)


def _local(
    computation: KernelComputation,
    axes: tuple[str, ...],
    size: int,
    symmetric: bool,
    leaves: Any,
    frozen: Any,
    x1: Any,
    x2: Any,
) -> Array:
    """Rows of the kernel that belong to one device."""
    index = lax.axis_index(axes)
    held = block_factors(computation, leaves, frozen, x1)
    travelling = held if symmetric else block_factors(computation, leaves, frozen, x2)
    width = num_examples(x1 if symmetric else x2)
    first = (
        diagonal_tile(computation, leaves, frozen, held)
        if symmetric
        else tile(computation, leaves, frozen, held, travelling)
    )
    kernel = jnp.zeros((first.shape[0], size * width, *first.shape[2:]), first.dtype)

    def put(kernel: Array, values: Array, owner: Array) -> Array:
        zeros = [jnp.int32(0)] * (kernel.ndim - 2)
        return lax.dynamic_update_slice(kernel, values, (jnp.int32(0), jnp.int32(owner * width), *zeros))

    kernel = put(kernel, first, index)
    for step in range(1, size // 2 + 1 if symmetric else size):
        ring = [(device, (device + 1) % size) for device in range(size)]
        travelling = lax.ppermute(travelling, axes, ring)
        values = tile(computation, leaves, frozen, held, travelling)
        kernel = put(kernel, values, (index - step) % size)
        if symmetric and 2 * step != size:  # halfway round both have the tile
            back = [(device, (device - step) % size) for device in range(size)]
            kernel = put(kernel, lax.ppermute(mirrored(values), axes, back), (index + step) % size)
    return kernel
