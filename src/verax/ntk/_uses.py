"""Where a network meets its parameters: the steps that read both the input and a parameter, in canonical form.

A use is one step that multiplies, adds or otherwise combines something computed from the input with something
computed from the parameters alone. For a contraction (a matrix product or a convolution) the gradient of one example
with respect to the weight ``[groups, a, b]`` is a sum over ``positions`` s of outer products,

    G_i = sum_s a_is b_is^T,

with a_is the layer's input and b_is the derivative of the network's output with respect to the layer's output.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from verax._errors import is_traced

from ._conv_patches import patches
from ._program import Program, Step


@dataclasses.dataclass(frozen=True, eq=False)
class Structure:
    """A weight that is ``scale * leaf.ravel()[index]``: reshaped, transposed, sliced, broadcast or rescaled."""

    leaf: int
    index: np.ndarray
    scale: float


@dataclasses.dataclass(frozen=True, eq=False)
class Contraction:
    """Canonical form of a matrix product or convolution by a weight.

    ``inputs(x) -> [positions, groups, a]`` (or integer tokens ``[positions]`` for a table lookup),
    ``cotangents(c) -> [positions, groups, b]``, ``weight(w) -> [groups, a, b]`` and ``from_weight`` its inverse.
    """

    positions: int
    groups: int
    a: int
    b: int
    inputs: Callable[[Any], Any]
    cotangents: Callable[[Any], Any]
    weight: Callable[[Any], Any]
    from_weight: Callable[[Any], Any]
    is_lookup: bool = False


@dataclasses.dataclass(frozen=True, eq=False)
class Use:
    """One step that reads the input and at least one parameter."""

    step: int
    weights: tuple[int, ...]  # operand positions that hold parameters
    contraction: Contraction | None
    data: int  # operand position of the layer's input, where there is a contraction


@dataclasses.dataclass(frozen=True, eq=False)
class Uses:
    """All uses of a program, and what each slot depends on."""

    program: Program
    num_leaves: int
    uses: tuple[Use, ...]
    weight_slots: tuple[int, ...]  # slots computed from parameters alone that some use reads
    leaves_of: dict[int, frozenset[int]]
    dependent: frozenset[int]  # slots that the example enters
    parameter_steps: tuple[Step, ...]  # steps that need no input; evaluated once, not once an example
    structures: dict[int, Structure | None]


def find_uses(program: Program, num_leaves: int, num_frozen: int) -> Uses:
    """Find every use; the program's inputs are the leaves to differentiate, frozen leaves, then the example."""
    leaves_of: dict[int, frozenset[int]] = {slot: frozenset() for slot in program.constants}
    on_input = set(program.inputs[num_leaves + num_frozen :])
    leaves_of.update((slot, frozenset()) for slot in program.inputs)
    leaves_of.update((slot, frozenset([leaf])) for leaf, slot in enumerate(program.inputs[:num_leaves]))

    uses, parameter_steps = [], []
    for number, step in enumerate(program.steps):
        dependence = frozenset().union(*(leaves_of[slot] for slot in step.inputs)) if step.inputs else frozenset()
        reads_input = any(slot in on_input for slot in step.inputs)
        if reads_input:
            weights = tuple(
                position
                for position, slot in enumerate(step.inputs)
                if slot not in on_input and leaves_of[slot] and _has_gradient(program.avals[slot])
            )
            if weights:
                uses.append(_make_use(program, number, step, weights))
        else:
            parameter_steps.append(step)
        for slot in step.outputs:
            if slot is not None:
                leaves_of[slot] = dependence if not reads_input and _has_gradient(program.avals[slot]) else frozenset()
                if reads_input:
                    on_input.add(slot)
    slots = [program.steps[use.step].inputs[position] for use in uses for position in use.weights]
    direct = [slot for slot in program.outputs if slot not in on_input and leaves_of[slot]]
    if direct:
        raise ValueError("apply_fn: got an output that does not depend on x; need outputs computed from every example")
    weight_slots = tuple(dict.fromkeys(slots))
    return Uses(
        program=program,
        num_leaves=num_leaves,
        uses=tuple(uses),
        weight_slots=weight_slots,
        leaves_of=leaves_of,
        dependent=frozenset(on_input),
        parameter_steps=tuple(parameter_steps),
        structures=_structures(program, parameter_steps, num_leaves, weight_slots),
    )


def _has_gradient(aval: Any) -> bool:
    return jnp.issubdtype(aval.dtype, jnp.inexact)


def _make_use(program: Program, number: int, step: Step, weights: tuple[int, ...]) -> Use:
    contraction, data = None, -1
    if len(step.inputs) == 2 and len(weights) == 1 and step.name in _CANONICAL:
        data = 1 - weights[0]
        shapes = [program.avals[slot].shape for slot in step.inputs]
        out = program.avals[step.outputs[0]].shape if step.outputs[0] is not None else ()
        contraction = _CANONICAL[step.name](step.params, shapes, out, weights[0])
    return Use(number, weights, contraction, data)


def _dot(params: dict[str, Any], shapes: Sequence[tuple[int, ...]], _: tuple[int, ...], weight: int) -> Contraction:
    (contract, batch) = params["dimension_numbers"]
    data = 1 - weight
    w_shape, x_shape = shapes[weight], shapes[data]
    w_contract, x_contract = list(contract[weight]), list(contract[data])
    w_batch, x_batch = list(batch[weight]), list(batch[data])
    w_free = [d for d in range(len(w_shape)) if d not in w_contract + w_batch]
    x_free = [d for d in range(len(x_shape)) if d not in x_contract + x_batch]
    groups = math.prod(w_shape[d] for d in w_batch)
    a = math.prod(w_shape[d] for d in w_contract)
    b = math.prod(w_shape[d] for d in w_free)
    positions = math.prod(x_shape[d] for d in x_free)
    order = w_batch + w_contract + w_free

    def cotangents(c):  # dimensions of the result: batch, free of lhs, free of rhs
        if weight == 1:
            return c.reshape(groups, positions, b).transpose(1, 0, 2)
        return c.reshape(groups, b, positions).transpose(2, 0, 1)

    return Contraction(
        positions,
        groups,
        a,
        b,
        inputs=lambda x: x.transpose(x_free + x_batch + x_contract).reshape(positions, groups, a),
        cotangents=cotangents,
        weight=lambda w: w.transpose(order).reshape(groups, a, b),
        from_weight=lambda g: g.reshape([w_shape[d] for d in order]).transpose(np.argsort(order)),
    )


def _conv(params, shapes, out, weight) -> Contraction | None:
    if weight != 1 or params["batch_group_count"] != 1:
        return None
    dims = params["dimension_numbers"]
    groups = params["feature_group_count"]
    rhs = [shapes[1][d] for d in dims.rhs_spec]  # out channels, in channels of a group, window
    result = [out[d] for d in dims.out_spec]  # batch, channels, positions
    b, a = rhs[0] // groups, math.prod(rhs[1:])
    positions = result[0] * math.prod(result[2:])

    channels_last = [dims.lhs_spec[0], *dims.lhs_spec[2:], dims.lhs_spec[1]]

    def cotangents(c):
        c = c.transpose(dims.out_spec).reshape(result[0], groups, b, -1)
        return c.transpose(0, 3, 1, 2).reshape(positions, groups, b)

    order = [*dims.rhs_spec[2:], dims.rhs_spec[1], dims.rhs_spec[0]]  # window, in channels, out channels

    def weight_form(w):
        return w.transpose(order).reshape(a, groups, b).swapaxes(0, 1)

    def from_weight(g):
        return g.swapaxes(0, 1).reshape([shapes[1][d] for d in order]).transpose(np.argsort(order))

    return Contraction(
        positions,
        groups,
        a,
        b,
        inputs=lambda x: patches(x.transpose(channels_last), rhs[2:], params, groups),
        cotangents=cotangents,
        weight=weight_form,
        from_weight=from_weight,
    )


def _lookup(params, shapes, out, weight) -> Contraction | None:
    dims, sizes = params["dimension_numbers"], params["slice_sizes"]
    table, indices = shapes
    rows_only = (
        weight == 0
        and dims.start_index_map == (0,)
        and dims.collapsed_slice_dims == (0,)
        and not dims.operand_batching_dims
        and tuple(sizes) == (1, *table[1:])
        and tuple(dims.offset_dims) == tuple(range(len(out) - len(table) + 1, len(out)))
        and params["mode"] in (jax.lax.GatherScatterMode.CLIP, jax.lax.GatherScatterMode.FILL_OR_DROP)
    )
    if not rows_only:
        return None
    positions, b = math.prod(indices[:-1]), math.prod(table[1:])

    def tokens(x):  # a token outside the table has no gradient under fill, and its neighbour's under clip
        x = x.reshape(positions)
        if params["mode"] == jax.lax.GatherScatterMode.CLIP:
            return jnp.clip(x, 0, table[0] - 1)
        return jnp.where((x >= 0) & (x < table[0]), x, -1)

    return Contraction(
        positions,
        1,
        table[0],
        b,
        inputs=tokens,
        cotangents=lambda c: c.reshape(positions, 1, b),
        weight=lambda w: w.reshape(1, table[0], b),
        from_weight=lambda g: g.reshape(table),
        is_lookup=True,
    )


_CANONICAL = {"dot_general": _dot, "conv_general_dilated": _conv, "gather": _lookup}


# Steps that only move entries, so that a weight built by them is an index into its leaf.
_MOVES = frozenset({"reshape", "transpose", "squeeze", "expand_dims", "broadcast_in_dim", "slice", "rev", "copy"})


def _structures(
    program: Program, parameter_steps: Sequence[Step], num_leaves: int, wanted: Sequence[int]
) -> dict[int, Structure | None]:
    """Follow each leaf through steps that move or rescale entries; None for weights computed in any other way."""
    found: dict[int, Structure | None] = {
        slot: Structure(leaf, np.arange(math.prod(program.avals[slot].shape)).reshape(program.avals[slot].shape), 1.0)
        for leaf, slot in enumerate(program.inputs[:num_leaves])
    }
    for step in parameter_steps:
        for slot in step.outputs:
            if slot is not None:
                found[slot] = _moved(program, step, found)
    return {slot: found.get(slot) for slot in wanted}


def _moved(program: Program, step: Step, found: dict[int, Structure | None]) -> Structure | None:
    sources = [position for position, slot in enumerate(step.inputs) if found.get(slot) is not None]
    if len(sources) != 1:
        return None
    (position,) = sources
    source = found[step.inputs[position]]
    assert source is not None
    if step.name in _MOVES and len(step.inputs) == 1:
        with jax.ensure_compile_time_eval():  # the plan is made from shapes even when the caller is being traced
            index = np.asarray(step.call(jnp.asarray(source.index, dtype=jnp.int32))[0])
        return dataclasses.replace(source, index=index)
    if step.name == "convert_element_type" and _has_gradient(program.avals[step.inputs[0]]):
        return source
    if step.name == "neg":
        return dataclasses.replace(source, scale=-source.scale)
    if step.name in ("mul", "div") and len(step.inputs) == 2:
        factor = program.constants.get(step.inputs[1 - position])
        if factor is not None and np.ndim(factor) == 0 and not is_traced(factor):
            if step.name == "mul":
                return dataclasses.replace(source, scale=source.scale * float(factor))
            if position == 0:
                return dataclasses.replace(source, scale=source.scale / float(factor))
    return None
