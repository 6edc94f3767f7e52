"""What a kernel will cost, which route each parameter takes, and the block size that the memory budget allows."""

import dataclasses
import functools
import math
import os
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from verax._errors import check_integer, check_option, fail
from verax._types import ApplyFn, PyTree

from ._network import Directions, Network, ParamFilter, check_examples, directions, read_network
from ._routes import Routes, choose_routes, example_cost, pair_cost
from ._tiles import Schedule, num_formed

METHODS = ("auto", "jacobian", "structured", "vector_products")
PRECISIONS = ("default", "high", "highest")
_LARGEST_BLOCK = {"cpu": 512, "gpu": 2048, "tpu": 2048}
# A forward pass with one backward pass costs about three forward passes; a tangent pushed forward about two.
_BACKWARD_COST, _TANGENT_COST = 3, 2


class LeafPlan(NamedTuple):
    """How one parameter leaf contributes: operations for the whole kernel, bytes of its factors for one example."""

    path: str
    route: str
    reason: str
    flops: float
    bytes: int


@dataclasses.dataclass(frozen=True)
class NTKPlan:
    """Plan of a kernel computation; ``str(plan)`` is a table.

    Attributes
    ----------
    method : str
        "jacobian", "structured" or "vector_products".
    leaves : tuple of LeafPlan
        Path, route ("hadamard", "contraction" or "fallback"), reason, operations and bytes of each selected leaf.
    block_size : int
        Examples in a block.
    resident : int
        Blocks whose factors are held in memory at once.
    formed : int
        Blocks of factors that will be formed (the number of blocks when all fit in memory).
    flops, bytes : float, int
        Operations for the whole kernel, and the estimated peak memory.
    """

    method: str
    leaves: tuple[LeafPlan, ...]
    block_size: int
    resident: int
    formed: int
    flops: float
    bytes: int

    def __str__(self) -> str:
        """Lay the plan out as a table."""
        width = max(4, *(len(leaf.path) for leaf in self.leaves))
        lines = [f"{'leaf':<{width}}  {'route':<11}  {'Gflop':>10}  {'bytes/example':>13}  reason"]
        lines += [
            f"{leaf.path:<{width}}  {leaf.route:<11}  {leaf.flops / 1e9:>10.3f}  {leaf.bytes:>13,}  {leaf.reason}"
            for leaf in self.leaves
        ]
        lines.append(
            f"{self.method}: blocks of {self.block_size}, {self.resident} held, {self.formed} formed; "
            f"{self.flops / 1e9:.3f} Gflop, {self.bytes / 2**20:.1f} MiB"
        )
        return "\n".join(lines)


class Prepared(NamedTuple):
    """A plan together with what is needed to carry it out."""

    network: Network
    directions: Directions
    routes: Routes
    plan: NTKPlan
    schedule: Schedule


def ntk_plan(
    apply_fn: ApplyFn,
    params: PyTree,
    x: PyTree,
    x2: PyTree | None = None,
    *,
    output: str | int = "trace",
    method: str = "auto",
    block_size: int | None = None,
    memory_budget: int | None = None,
    param_filter: ParamFilter | None = None,
) -> NTKPlan:
    """Plan :func:`empirical_ntk` without computing it.

    Parameters
    ----------
    apply_fn, params, x, x2, output, method, block_size, memory_budget, param_filter
        As for :func:`empirical_ntk`.

    Returns
    -------
    NTKPlan
        Route, reason and cost of every leaf; block size; total operations and bytes.

    Raises
    ------
    ValueError
        As :func:`empirical_ntk`.

    Notes
    -----
    Costs one abstract evaluation of the network and a forward pass over two examples (the check that examples do not
    influence each other).

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from verax.ntk import ntk_plan
    >>> params = {"w": jnp.ones((50, 20)), "b": jnp.ones(20)}
    >>> plan = ntk_plan(lambda p, x: x @ p["w"] + p["b"], params, jnp.ones((8, 50)))
    >>> [(leaf.path, leaf.route) for leaf in plan.leaves]
    [('b', 'hadamard'), ('w', 'hadamard')]
    """
    return prepare(
        apply_fn,
        params,
        x,
        x2,
        output=output,
        method=method,
        block_size=block_size,
        memory_budget=memory_budget,
        param_filter=param_filter,
    ).plan


def prepare(
    apply_fn: ApplyFn,
    params: PyTree,
    x1: PyTree,
    x2: PyTree | None,
    *,
    output: str | int,
    method: str,
    block_size: int | None,
    memory_budget: int | None,
    param_filter: ParamFilter | None,
) -> Prepared:
    """Check all arguments and plan."""
    check_option("method", method, METHODS)
    if block_size is not None:
        check_integer("block_size", block_size, minimum=1)
    if memory_budget is not None:
        check_integer("memory_budget", memory_budget, minimum=1)
    network = read_network(apply_fn, params, x1, param_filter=param_filter)
    if x2 is not None:
        _check_alike(x1, x2)
        check_examples("x2", x2)
    chosen = directions(output, network)
    num_rows = jax.tree.leaves(x1)[0].shape[0]
    num_columns = None if x2 is None else jax.tree.leaves(x2)[0].shape[0]
    routes = choose_routes(network.uses, chosen.num, chosen.full)
    if method == "auto":
        pairs = num_rows * (num_rows + 1) // 2 if num_columns is None else num_rows * num_columns
        structured = _structured_flops(network, chosen, routes, pairs, num_rows + (num_columns or 0))
        products = pairs * chosen.num * _TANGENT_COST * _forward_flops(network)
        counted = all(route != "fallback" for route, _ in routes.labels)  # work inside a scan is not counted
        method = "vector_products" if counted and products < structured else "structured"
    if memory_budget is None:
        memory_budget = default_memory_budget()
    schedule, peak = _schedule(network, chosen, routes, method, num_rows, num_columns, block_size, memory_budget)
    plan = _describe(network, chosen, routes, method, num_rows, num_columns, schedule, peak)
    return Prepared(network, chosen, routes, plan, schedule)


def _check_alike(x1: PyTree, x2: PyTree) -> None:
    spec1, spec2 = (jax.tree.map(lambda leaf: (tuple(leaf.shape[1:]), jnp.result_type(leaf)), x) for x in (x1, x2))
    if spec1 != spec2:
        fail("x2", f"examples of shape and dtype {spec2}", f"the same as x1: {spec1}")


@functools.cache
def _total_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def default_memory_budget() -> int:
    """Half of the host's available memory, or eight tenths of what is free on an accelerator."""
    device = jax.local_devices()[0]
    if device.platform == "cpu":
        try:
            return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES") // 2
        except (ValueError, OSError):  # pragma: no cover - systems without that figure
            return _total_memory() // 4
    stats = device.memory_stats() or {}
    free = stats.get("bytes_limit", 8 * 2**30) - stats.get("bytes_in_use", 0)
    return int(0.8 * free)


def _forward_flops(network: Network) -> float:
    total = 0.0
    for use in network.uses.uses:
        if use.contraction is not None and not use.contraction.is_lookup:
            form = use.contraction
            total += 2.0 * form.positions * form.groups * form.a * form.b
    return total


def _structured_flops(network: Network, chosen: Directions, routes: Routes, pairs: int, examples: int) -> float:
    leaves = _leaf_costs(network, chosen, routes, pairs, examples)
    backward = examples * chosen.num * _BACKWARD_COST * _forward_flops(network)
    return backward + sum(flops for flops, _ in leaves)


def _leaf_costs(
    network: Network, chosen: Directions, routes: Routes, pairs: int, examples: int
) -> list[tuple[float, int]]:
    """Operations for the kernel and bytes of factors for one example, of each leaf."""
    itemsize = jnp.dtype(network.output_dtype).itemsize
    avals = [network.uses.program.avals[slot] for slot in network.uses.program.inputs[: network.uses.num_leaves]]
    outputs = chosen.num**2 if chosen.full else chosen.num
    costs = [(0.0, 0)] * network.uses.num_leaves
    for leaf in routes.generic:
        size = math.prod(avals[leaf].shape)
        costs[leaf] = (2.0 * pairs * outputs * size, size * chosen.num * itemsize)
    for piece in routes.pieces:
        groups, a, b = piece.shape
        lookup = piece.uses[0].contraction is not None and piece.uses[0].contraction.is_lookup
        shape = (groups, 1, b) if lookup else piece.shape
        num = piece.num_gradients(chosen.num)
        pair = pair_cost(piece.positions, shape, num, chosen.full, piece.hadamard)
        each = example_cost(piece.positions, shape, num, piece.hadamard)
        size = piece.positions * (shape[1] + num * b) if piece.hadamard else groups * a * b * num
        flops, held = costs[piece.leaf]
        costs[piece.leaf] = (flops + pairs * pair + examples * each, held + size * itemsize)
    return costs


def _schedule(
    network: Network,
    chosen: Directions,
    routes: Routes,
    method: str,
    num_rows: int,
    num_columns: int | None,
    block_size: int | None,
    memory_budget: int,
) -> tuple[Schedule, int]:
    itemsize = max(4, jnp.dtype(network.output_dtype).itemsize)
    columns = num_rows if num_columns is None else num_columns
    kernel = num_rows * columns * itemsize * (chosen.num**2 if chosen.full else 1)
    if method == "vector_products":
        held = _example_bytes(network)
        formation = network.num_outputs * chosen.num * itemsize * 4 + 4 * activation_bytes(network)
    else:
        held = sum(size for _, size in _leaf_costs(network, chosen, routes, 1, 1))
        if method == "jacobian":
            avals = [network.uses.program.avals[s] for s in network.uses.program.inputs[: network.uses.num_leaves]]
            held = sum(math.prod(aval.shape) for aval in avals) * chosen.num * itemsize
        # Activations are kept for the backward pass, cotangents of every use for each output, and the factors are
        # written once, and once again while narrow ones are laid side by side.
        formation = activation_bytes(network) + chosen.num * _cotangent_bytes(network) + held

    def peak(size: int, resident: int) -> int:
        tile = size * size * itemsize * (chosen.num**2 if chosen.full else 1)
        return kernel + 3 * tile + size * (formation + held * (resident + 1))

    if method == "structured" and num_columns is None and not chosen.full and block_size is None:
        fused = 4 * kernel + num_rows * _fused_example_bytes(network, chosen, routes)
        if fused <= memory_budget and num_rows <= _LARGEST_BLOCK.get(jax.default_backend(), 512):
            return Schedule(num_rows, 1), fused
    if peak(1, 1) > memory_budget:
        fail("memory_budget", f"{memory_budget:,} bytes", f"at least {peak(1, 1):,} bytes for blocks of one example")
    largest = max(num_rows, columns)
    if block_size is None:
        block_size = min(largest, _LARGEST_BLOCK.get(jax.default_backend(), 512))
        while block_size > 1 and peak(block_size, 1) - kernel > (memory_budget - kernel) // 2:
            block_size = (block_size + 1) // 2
        block_size = math.ceil(largest / math.ceil(largest / block_size))
    block_size = min(block_size, largest)
    blocks = math.ceil(num_rows / block_size)
    spare = memory_budget - peak(block_size, 0)
    resident = max(1, min(blocks, spare // max(1, block_size * held)))
    return Schedule(block_size, resident), peak(block_size, resident)


def _fused_example_bytes(network: Network, chosen: Directions, routes: Routes) -> int:
    """Bytes of an example when one block is the whole kernel: gradients of one layer and output at a time."""
    itemsize = max(4, jnp.dtype(network.output_dtype).itemsize)
    costs = _leaf_costs(network, chosen, routes, 1, 1)
    explicit = {piece.leaf for piece in routes.explicit}
    kept = sum(size for leaf, (_, size) in enumerate(costs) if leaf not in explicit)
    largest = 0
    for piece in routes.explicit:
        groups, a, b = piece.shape
        largest = max(largest, groups * (a * b + piece.positions * a) * itemsize)
    return activation_bytes(network) + chosen.num * _cotangent_bytes(network) + kept + largest


def _example_bytes(network: Network) -> int:
    program = network.uses.program
    return sum(_bytes(program.avals[slot]) for slot in program.inputs[len(network.selected) :])


def activation_bytes(network: Network) -> int:
    """Bytes of everything that one example's forward pass computes."""
    program = network.uses.program
    parameter_steps = {id(step) for step in network.uses.parameter_steps}
    steps = [step for step in program.steps if id(step) not in parameter_steps]
    return sum(_bytes(program.avals[slot]) for step in steps for slot in step.outputs if slot is not None)


def _cotangent_bytes(network: Network) -> int:
    program = network.uses.program
    slots = [slot for use in network.uses.uses for slot in program.steps[use.step].outputs if slot is not None]
    return sum(_bytes(program.avals[slot]) for slot in slots)


def _bytes(aval: Any) -> int:
    return math.prod(aval.shape) * jnp.dtype(aval.dtype).itemsize


def _describe(
    network: Network,
    chosen: Directions,
    routes: Routes,
    method: str,
    num_rows: int,
    num_columns: int | None,
    schedule: Schedule,
    peak: int,
) -> NTKPlan:
    pairs = num_rows * (num_rows + 1) // 2 if num_columns is None else num_rows * num_columns
    examples = num_rows + (num_columns or 0)
    avals = [network.uses.program.avals[slot] for slot in network.uses.program.inputs[: network.uses.num_leaves]]
    outputs = chosen.num**2 if chosen.full else chosen.num
    if method == "structured":
        costs = _leaf_costs(network, chosen, routes, pairs, examples)
        labels = routes.labels
        total = _structured_flops(network, chosen, routes, pairs, examples)
    elif method == "jacobian":
        sizes = [math.prod(aval.shape) for aval in avals]
        itemsize = jnp.dtype(network.output_dtype).itemsize
        costs = [(2.0 * pairs * outputs * size, size * chosen.num * itemsize) for size in sizes]
        labels = [("contraction", "explicit Jacobian")] * len(sizes)
        total = sum(flops for flops, _ in costs) + examples * chosen.num * _BACKWARD_COST * _forward_flops(network)
    else:
        costs = [(0.0, 0)] * len(avals)
        labels = [("fallback", "tangents pushed through the whole network")] * len(avals)
        total = pairs * chosen.num * _TANGENT_COST * _forward_flops(network)
    leaves = tuple(
        LeafPlan(path, route, reason, flops, size)
        for path, (route, reason), (flops, size) in zip(network.paths, labels, costs, strict=True)
    )
    blocks = math.ceil(num_rows / schedule.block_size)
    column_blocks = None if num_columns is None else math.ceil(num_columns / schedule.block_size)
    formed = num_formed(blocks, column_blocks, schedule.resident)
    return NTKPlan(method, leaves, schedule.block_size, schedule.resident, formed, total, peak)
