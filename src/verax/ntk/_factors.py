"""The per-example factors from which every tile of the kernel is made: one forward and one backward pass per block.

For code of the library outside the kernel: :func:`use_factors` gives, for each layer, the primal activations and the
output cotangents whose outer products are the per-example gradient. Which entries of which leaf they stand for is said
by :class:`~verax.ntk._routes.LayerGradient` (``entries``, ``scale``, ``biases``).
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from verax._types import PyTree
from verax.kernels._dtypes import accumulator

from ._gram import Factors, gram_symmetric
from ._loops import run_loop
from ._program import Step, all_steps
from ._routes import LayerGradient, Routes
from ._separable import mixing
from ._uses import Use, Uses

# Gradients narrower than this are laid side by side, so that many small parameters cost one matrix product.
_NARROW = 16_384

# By the number of a use: the operands of its step that are no weights, and the derivatives of each output direction
# with respect to its results. Those of a step in loops are stacked over their iterations.
Operands = dict[int, list[Any]]
Cotangents = dict[int, list[Any]]


class UseFactors(NamedTuple):
    """Factors of the gradients of a block of examples, uncontracted."""

    layers: list[tuple[Array, Array]]
    """For each layer of the routes, inputs ``[n, S, g, a]``, biases as further columns (tokens ``[n, S]`` for a table
    lookup), and cotangents ``[n, O, S, g, b]``; the gradient ``[n, g, a, O, b]`` is the sum over S of their products.
    O is one for a layer whose gradient serves all outputs (``LayerGradient.tail``)."""
    rows: list[Array]
    """Explicit gradients ``[n, O, *leaf]`` of each leaf in ``routes.generic``."""


def use_factors(
    uses: Uses, routes: Routes, leaves: list[Array], frozen: list[Array], block: PyTree, basis: Array
) -> UseFactors:
    """Primal activations and output cotangents of every use of a weight, for a block of examples.

    Parameters
    ----------
    uses, routes
        The analysed network and the route of each leaf (`_network.read_network`, `_routes.choose_routes`).
    leaves, frozen
        Parameter leaves to differentiate, and the others.
    block : pytree, leading axis n
        Examples.
    basis : array, shape [O, num_outputs]
        Output cotangents: one row per output direction. A scalar loss has one row ``[[1.0]]``.

    Returns
    -------
    UseFactors
    """
    captured = jax.vmap(_capture_fn(uses, routes, leaves, frozen, basis))(block)
    layers = [_layer_factors(layer, *raw) for layer, raw in zip(routes.layers, captured.layers, strict=True)]
    return UseFactors(layers, captured.rows)


def _layer_factors(layer: LayerGradient, operands: Operands, cotangents: Cotangents) -> tuple[Array, Array]:
    if layer.is_lookup:
        ((tokens, outer),) = jax.vmap(lambda *raw: _hadamard_parts(layer, *raw))(operands, cotangents)
        return tokens, outer.swapaxes(1, 2)[:, :, :, None, :]
    return jax.vmap(lambda *raw: _contraction_parts(layer, *raw))(operands, cotangents)


def block_factors(
    uses: Uses, routes: Routes, leaves: list[Array], frozen: list[Array], block: PyTree, basis: Array, full: bool
) -> Factors:
    """Factors of a block of examples, of which the Gram products are tiles of the kernel.

    Parameters
    ----------
    uses, routes, leaves, frozen, block, basis
        As for :func:`use_factors`.
    full : bool
        Keep the output axis of gradients apart (for all pairs of outputs).
    """
    captured = jax.vmap(_capture_fn(uses, routes, leaves, frozen, basis))(block)
    explicit, hadamard = [], []
    for layer, raw in zip(routes.layers, captured.layers, strict=True):
        if layer.hadamard:
            hadamard += jax.vmap(lambda *raw, layer=layer: _hadamard_parts(layer, *raw))(*raw)
        else:
            explicit.append(_gradients(layer, raw))
    num, outputs = jax.tree.leaves(block)[0].shape[0], basis.shape[0]
    if full:
        rows = [g.transpose(0, 3, 1, 2, 4).reshape(num, outputs, -1) for g in explicit]
        rows += [row.reshape(num, outputs, -1) for row in captured.rows]
    else:  # the order of entries is free, as long as it is the same for all examples
        rows = [g.reshape(num, -1) for g in (*explicit, *captured.rows)]
    if not rows and not hadamard:  # no selected leaf reaches the outputs
        rows = [jnp.zeros((num, outputs, 1) if full else (num, 1), basis.dtype)]
    return Factors(_side_by_side(rows), hadamard)


def fused_kernel(
    uses: Uses,
    routes: Routes,
    leaves: list[Array],
    frozen: list[Array],
    block: PyTree,
    basis: Array,
    precision: str,
) -> Array:
    """Kernel ``[n, n]`` of one block with itself, summed over outputs, without holding the factors.

    The gradient of one layer and one output direction is formed, multiplied and dropped while it is still in the cache.
    Arguments as for :func:`block_factors`.
    """
    captured = jax.vmap(_capture_fn(uses, routes, leaves, frozen, basis))(block)
    num = jax.tree.leaves(block)[0].shape[0]
    hadamard, explicit = [], []
    for layer, raw in zip(routes.layers, captured.layers, strict=True):
        if layer.hadamard:
            hadamard += jax.vmap(lambda *raw, layer=layer: _hadamard_parts(layer, *raw))(*raw)
        else:
            explicit.append((layer, raw))

    def symmetric(factors: Factors) -> Array:
        return gram_symmetric(factors, full=False, precision=precision)

    kernel = jnp.zeros((num, num), accumulator(basis.dtype))
    if captured.rows or hadamard:
        kernel = symmetric(Factors(_side_by_side([row.reshape(num, -1) for row in captured.rows]), hadamard))
    for layer, raw in explicit:
        if layer.num_gradients(basis.shape[0]) == 1:
            kernel = kernel + symmetric(Factors([_gradients(layer, raw).reshape(num, -1)], []))
            continue
        inputs, outer = jax.vmap(lambda *raw, layer=layer: _contraction_parts(layer, *raw), out_axes=(0, 1))(*raw)

        def add_output(total: Array, one_output: Array, inputs: Array = inputs) -> tuple[Array, None]:
            gradients = jnp.einsum("nsga,nsgb->ngab", inputs, one_output, precision="highest")
            return total + symmetric(Factors([gradients.reshape(num, -1)], [])), None

        kernel, _ = jax.lax.scan(add_output, kernel, outer)
    return kernel


class _Captured(NamedTuple):
    """Values that one forward and backward pass leaves behind for one example."""

    layers: list[tuple[Operands, Cotangents]]  # of each layer's uses, as the network has them
    rows: list[Array]  # explicit gradients [O, *leaf] of the generic leaves


def _capture_fn(
    uses: Uses, routes: Routes, leaves: list[Array], frozen: list[Array], basis: Array
) -> Callable[[PyTree], _Captured]:
    program = uses.program
    known = dict(zip(program.inputs, [*leaves, *frozen], strict=False))
    known = program.evaluate(known, uses.parameter_steps)
    weights_fn = _generic_weights(uses, routes, known)
    _, pull_back = jax.vjp(weights_fn, [leaves[leaf] for leaf in routes.generic])
    mixed = {layer.uses[0].step: mixing(layer.tail, program, known, basis) for layer in routes.layers if layer.tail}

    def captured_of(example: PyTree) -> _Captured:
        data, cotangents = _capture(uses, known, jax.tree.leaves(example), basis)
        rows: list[Array] = []
        if routes.generic:
            weight_cotangents = _weight_cotangents(uses, routes, known, data, cotangents)
            rows = jax.vmap(lambda c: pull_back(c)[0])(weight_cotangents)
        for step, factors in mixed.items():
            (each,) = cotangents[step]
            cotangents[step] = [jnp.sum(factors * each, axis=0, keepdims=True)]
        return _Captured([_of_uses(layer, data, cotangents) for layer in routes.layers], rows)

    return captured_of


def _capture(uses: Uses, known: dict[int, Any], example: list[Array], basis: Array) -> tuple[Operands, Cotangents]:
    """Inputs of every use, and the derivative of each output direction with respect to every use's results.

    A zero probe is added to each result; the cotangent of the probe is that derivative. Inside a loop, probes are
    further arrays that it runs over, and inputs further results: both are stacked over its iterations.
    """
    program = uses.program
    use_of = {id(use.origin): use for use in uses.uses}
    start = {**known, **dict(zip(program.inputs[len(program.inputs) - len(example) :], example, strict=True))}

    def run(steps: Sequence[Step], values: dict[int, Any], probes: Operands) -> tuple[dict[int, Any], Operands]:
        data: Operands = {}
        for step in steps:
            operands = [values[slot] for slot in step.inputs]
            use = use_of.get(id(step))
            if step.loop is not None:
                inside = [use_of[id(one)].step for one, _ in all_steps(step.loop.steps) if id(one) in use_of]
                own = {number: probes[number] for number in inside}
                results, found = run_loop(step.loop, program.constants, operands, run, own)
                data.update(found)
            elif use is not None:
                # Weights are known outside; stacking them here would copy them for every iteration.
                data[use.step] = [value for place, value in enumerate(operands) if place not in use.weights]
                results = _add_probes(step.outputs, list(step.call(*operands)), probes[use.step])
            else:
                results = step.call(*operands)
            values.update((slot, value) for slot, value in zip(step.outputs, results, strict=True) if slot is not None)
        return values, data

    def forward(probes: Operands) -> tuple[Array, Operands]:
        dependent = [
            step for step in program.steps if not all(slot in known for slot in step.outputs if slot is not None)
        ]
        values, data = run(dependent, dict(start), probes)
        (output,) = (values[slot] for slot in program.outputs)
        return output.reshape(-1), data

    probes = {
        use.step: [
            jnp.zeros((*use.lengths, *program.avals[slot].shape), program.avals[slot].dtype)
            for slot in _probed(uses, use.origin.outputs)
        ]
        for use in uses.uses
    }
    _, pull_back, data = jax.vjp(forward, probes, has_aux=True)
    if basis.shape[0] == 1:
        (cotangents,) = jax.tree.map(lambda c: c[None], pull_back(basis[0]))
    else:
        (cotangents,) = jax.vmap(pull_back)(basis)
    return data, cotangents


def _probed(uses: Uses, outputs: tuple[int | None, ...]) -> list[int]:
    avals = uses.program.avals
    return [slot for slot in outputs if slot is not None and jnp.issubdtype(avals[slot].dtype, jnp.inexact)]


def _add_probes(outputs: tuple[int | None, ...], results: list[Any], probes: list[Any]) -> list[Any]:
    remaining = iter(probes)
    return [
        result + next(remaining) if slot is not None and jnp.issubdtype(result.dtype, jnp.inexact) else result
        for slot, result in zip(outputs, results, strict=True)
    ]


def _hadamard_parts(layer: LayerGradient, data: Operands, cotangents: Cotangents) -> list[tuple[Array, Array]]:
    """For each group, inputs ``[S, a]`` (tokens ``[S]`` for a lookup) and cotangents ``[S, O, b]``."""
    if layer.is_lookup:
        tokens = jnp.concatenate([use.contraction.inputs(data[use.step][0]) for use in layer.uses if use.contraction])
        outer = jnp.concatenate([_outer_cotangents(use, cotangents) for use in layer.uses], axis=1)
        return [(tokens, _scaled(outer[:, :, 0, :].swapaxes(0, 1), layer.scale))]
    inputs, outer = _contraction_parts(layer, data, cotangents)
    outer = outer.swapaxes(0, 1)
    return [(inputs[:, group], outer[:, :, group]) for group in range(layer.shape[0])]


def _of_uses(layer: LayerGradient, data: Operands, cotangents: Cotangents) -> tuple[Operands, Cotangents]:
    """The captured values that one layer needs."""
    inputs = {use.step: data[use.step] for use in layer.uses}
    return inputs, {use.step: cotangents[use.step] for use in layer.uses}


def _gradients(layer: LayerGradient, raw: tuple[Operands, Cotangents]) -> Array:
    """Explicit gradients ``[n, g, a, O, b]`` of a block, a few examples at a time so that windows stay in the cache."""
    num = jax.tree.leaves(raw)[0].shape[0]
    groups, a, _ = layer.shape
    window_bytes = layer.positions * groups * a * jax.tree.leaves(raw)[0].dtype.itemsize
    at_once = max(1, _window_bytes() // window_bytes)

    def one(raw: tuple[Operands, Cotangents]) -> Array:
        return _outer(*_contraction_parts(layer, *raw))

    if at_once >= num:
        return jax.vmap(one)(raw)
    return jax.lax.map(one, raw, batch_size=max(k for k in range(1, at_once + 1) if num % k == 0))


def _window_bytes() -> int:
    # On CPU about the second-level caches, the fastest of 0.5 to 8 MiB for ResNet-20; accelerators want large steps.
    return 2**20 if jax.default_backend() == "cpu" else 2**30


def _contraction_parts(layer: LayerGradient, data: Operands, cotangents: Cotangents) -> tuple[Array, Array]:
    """Inputs ``[S, g, a]``, biases as further columns, and cotangents ``[O, S, g, b]``, one use after the other."""
    inputs, outer = [], []
    for use in layer.uses:
        assert use.contraction is not None
        inputs.append(use.contraction.inputs(data[use.step][0]))
        outer.append(_outer_cotangents(use, cotangents))
    left = _scaled(jnp.concatenate(inputs), layer.scale)
    constants = [jnp.full((*left.shape[:2], 1), scale, left.dtype) for _, _, scale in layer.biases]
    return jnp.concatenate([left, *constants], axis=2), jnp.concatenate(outer, axis=1)


def _outer_cotangents(use: Use, cotangents: Cotangents) -> Array:
    assert use.contraction is not None
    return jax.vmap(use.contraction.cotangents)(cotangents[use.step][0])


def _outer(inputs: Array, outer: Array) -> Array:
    """``sum_s a_s b_s^T``: inputs ``[S, g, a]``, cotangents ``[O, S, g, b]`` to ``[g, a, O, b]``."""
    return jnp.einsum("sga,osgb->gaob", inputs, outer, precision="highest")


def _scaled(x: Array, scale: float) -> Array:
    return x if scale == 1.0 else x * jnp.asarray(scale, x.dtype)


def _generic_weights(uses: Uses, routes: Routes, known: dict[int, Any]) -> Callable[[list[Array]], list[Array]]:
    """The map from the generic leaves to the weights that the uses read."""
    program = uses.program

    def weights(generic: list[Array]) -> list[Array]:
        values = {slot: known[slot] for slot in program.inputs if slot in known}
        values.update((program.inputs[leaf], value) for leaf, value in zip(routes.generic, generic, strict=True))
        env = program.evaluate(values, uses.parameter_steps)
        return [env[slot] for slot in _generic_slots(uses, routes)]

    return weights


def _generic_slots(uses: Uses, routes: Routes) -> list[int]:
    generic = set(routes.generic)
    return [slot for slot in uses.weight_slots if uses.leaves_of[slot] & generic]


def _weight_cotangents(
    uses: Uses, routes: Routes, known: dict[int, Any], data: Operands, cotangents: Cotangents
) -> list[Array]:
    """Derivative ``[O, *weight]`` with respect to each weight that depends on a generic leaf."""
    slots = _generic_slots(uses, routes)
    total: dict[int, Array | None] = dict.fromkeys(slots)
    for use in uses.uses:
        places = [place for place, slot in enumerate(use.slots) if slot in total]
        if not places:
            continue
        form = use.contraction
        if form is not None and not form.is_lookup:
            gradient = _outer(form.inputs(data[use.step][0]), _outer_cotangents(use, cotangents))
            found = [jax.vmap(form.from_weight, in_axes=2)(gradient)]
        else:
            weights = [known[slot] for slot in use.slots]
            found = _step_cotangents(uses, use, places, weights, data[use.step], cotangents[use.step])
        for place, value in zip(places, found, strict=True):
            slot = use.slots[place]
            before = total[slot]
            total[slot] = value if before is None else before + value
    return [value for value in total.values() if value is not None]


def _step_cotangents(
    uses: Uses,
    use: Use,
    places: list[int],
    weights: list[Any],
    operands: list[Any],
    cotangents: list[Any],
) -> list[Array]:
    """Differentiate one step with respect to some of its weights, over all iterations of the loops around it."""
    step = use.origin
    probed = _probed(uses, step.outputs)

    def once(weights: list[Any], operands: list[Any], cotangents: list[Any]) -> list[Array]:
        def run(chosen: list[Any]) -> list[Any]:
            given, others = list(weights), iter(operands)
            for place, weight in zip(places, chosen, strict=True):
                given[place] = weight
            values = dict(zip(use.weights, given, strict=True))
            call = [values[place] if place in values else next(others) for place in range(len(step.inputs))]
            results = dict(zip(step.outputs, step.call(*call), strict=True))
            return [results[slot] for slot in probed]

        _, pull_back = jax.vjp(run, [weights[place] for place in places])
        return pull_back(cotangents)[0]

    over_loops = once
    for level in reversed(range(len(use.lengths))):
        over_loops = _over_loop(over_loops, [stacked[level] for stacked in use.stacked], places)
    return jax.vmap(over_loops, in_axes=(None, None, 0))(weights, operands, cotangents)


def _over_loop(
    fn: Callable[[list[Any], list[Any], list[Any]], list[Any]], sliced: list[bool], places: list[int]
) -> Callable[[list[Any], list[Any], list[Any]], list[Any]]:
    """The cotangents of weights over a loop: stacked where it slices the weight, summed where it does not."""

    def all_iterations(weights: list[Any], operands: list[Any], cotangents: list[Any]) -> list[Array]:
        axes = [0 if each else None for each in sliced]
        found = jax.vmap(fn, in_axes=(axes, 0, 0))(weights, operands, cotangents)
        return [value if sliced[place] else jnp.sum(value, axis=0) for place, value in zip(places, found, strict=True)]

    return all_iterations


def _side_by_side(rows: list[Array]) -> list[Array]:
    narrow = [row for row in rows if row.shape[-1] < _NARROW]
    wide = [row for row in rows if row.shape[-1] >= _NARROW]
    return [*wide, jnp.concatenate(narrow, axis=-1)] if narrow else wide
