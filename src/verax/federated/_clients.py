"""Running one function for every client: all at once, in blocks, on a mesh of devices; and summing what they send."""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from verax._errors import check, check_integer, check_option

BACKENDS = ("auto", "vmap", "map", "loop")
AXIS = "clients"

ClientFn = Callable[[Any, Any, Any], tuple[Any, Any]]
"""``fn(shared, weight, one_client) -> (to_sum, to_stack)``; ``to_sum`` is zero for a weight of zero."""


def check_backend(backend: str, chunk_size: int | None, mesh: Mesh | None) -> None:
    """Raise unless the options that say how clients run fit together."""
    check_option("backend", backend, BACKENDS)
    if chunk_size is not None:
        check_integer("chunk_size", chunk_size, minimum=1)
        check(backend in ("auto", "map"), "chunk_size", chunk_size, "None unless the backend is 'map'")
    if mesh is not None:
        check(isinstance(mesh, Mesh) and AXIS in mesh.axis_names, "mesh", mesh, f"a Mesh with an axis {AXIS!r}")
        check(backend != "loop", "backend", repr(backend), "'auto', 'vmap' or 'map' on a mesh")


def client_sums(
    fn: ClientFn,
    shared: Any,
    weights: jax.Array,
    clients: Any,
    *,
    backend: str,
    chunk_size: int | None,
    mesh: Mesh | None,
) -> tuple[Any, Any]:
    """Sum over clients of the first output, and the second of each, stacked; ``clients`` has leading axes ``[K]``.

    Whole blocks and devices are filled up with copies of the first client of weight zero.
    """
    run = functools.partial(_run_block, fn, backend=backend, chunk_size=chunk_size or 1)
    if mesh is None:
        return run(shared, (weights, clients))
    num_clients = len(weights)
    padded = _pad(weights, clients, mesh.shape[AXIS])
    mesh = Mesh(mesh.devices, mesh.axis_names)  # whatever its axes are, arrays need not be placed on it beforehand

    # The body is per-device code whose inner loops start from constants; its outputs are declared exactly below.
    @functools.partial(jax.shard_map, mesh=mesh, in_specs=(P(), P(AXIS)), out_specs=(P(), P(AXIS)), check_vma=False)
    def sharded(shared: Any, block: Any) -> tuple[Any, Any]:
        sums, stacked = run(shared, block)
        return lax.psum(sums, AXIS), stacked

    sums, stacked = sharded(shared, padded)
    return sums, jax.tree.map(lambda leaf: leaf[:num_clients], stacked)


def _run_block(
    fn: ClientFn, shared: Any, clients: tuple[jax.Array, Any], *, backend: str, chunk_size: int
) -> tuple[Any, Any]:
    def one(weighted: tuple[jax.Array, Any]) -> tuple[Any, Any]:
        return fn(shared, *weighted)

    if backend == "vmap":
        sums, stacked = jax.vmap(one)(clients)
        return _sum(sums), stacked
    num_clients = len(clients[0])
    if backend == "loop":
        results = [one(jax.tree.map(lambda leaf, i=i: leaf[i], clients)) for i in range(num_clients)]
        sums = functools.reduce(lambda a, b: jax.tree.map(jnp.add, a, b), [result[0] for result in results])
        return sums, jax.tree.map(lambda *leaves: jnp.stack(leaves), *[result[1] for result in results])
    size = min(chunk_size, num_clients)
    padded = _pad(*clients, size)
    blocks = jax.tree.map(lambda leaf: leaf.reshape(-1, size, *leaf.shape[1:]), padded)
    shapes, _ = jax.eval_shape(one, jax.tree.map(lambda leaf: leaf[0], clients))
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)

    def step(total: Any, block: Any) -> tuple[Any, Any]:
        if size == 1:  # not under vmap, where a skipped step is computed and thrown away
            sums, stacked = one(jax.tree.map(lambda leaf: leaf[0], block))
            stacked = jax.tree.map(lambda leaf: leaf[None], stacked)
        else:
            sums, stacked = jax.vmap(one)(block)
            sums = _sum(sums)
        return jax.tree.map(jnp.add, total, sums), stacked

    total, stacked = lax.scan(step, zeros, blocks)
    return total, jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[:num_clients], stacked)


def _sum(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: jnp.sum(leaf, axis=0, dtype=leaf.dtype), tree)


def _pad(weights: jax.Array, clients: Any, multiple: int) -> tuple[jax.Array, Any]:
    """Append copies of the first client, of weight zero, until ``multiple`` divides the number of clients."""
    num_clients = len(weights)
    extra = math.ceil(num_clients / multiple) * multiple - num_clients
    if extra == 0:
        return weights, clients

    def repeat_first(leaf: jax.Array) -> jax.Array:
        return jnp.concatenate([leaf, jnp.broadcast_to(leaf[:1], (extra, *leaf.shape[1:]))])

    return jnp.pad(weights, (0, extra)), jax.tree.map(repeat_first, clients)
