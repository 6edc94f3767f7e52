"""Uses of parameters in a network: the steps that read both the input and a parameter, in canonical form.

A use is one step that multiplies, adds or otherwise combines something computed from the input with something
computed from the parameters alone. For a contraction (a matrix product or a convolution) the gradient of one example
with respect to the weight ``[groups, a, b]`` is a sum over ``positions`` s of outer products,

    G_i = sum_s a_is b_is^T,

with a_is the layer's input and b_is the derivative of the network's output with respect to the layer's output.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from verax._errors import is_traced

from ._contractions import Contraction, canonical_form, repeated
from ._loops import open_loops
from ._program import Loop, Program, Step, has_gradient


@dataclasses.dataclass(frozen=True, eq=False)
class Structure:
    """A weight that is ``scale * leaf.ravel()[index]``: reshaped, transposed, sliced, broadcast or rescaled."""

    leaf: int
    index: np.ndarray
    scale: float


@dataclasses.dataclass(frozen=True, eq=False)
class Use:
    """One step that reads the input and at least one parameter, once or in each iteration of the loops around it."""

    step: int  # a number of its own
    origin: Step
    weights: tuple[int, ...]  # operand positions that hold parameters
    slots: tuple[int, ...]  # where these parameters are outside of all loops
    lengths: tuple[int, ...]  # of the loops around the step, the outermost first
    stacked: tuple[tuple[bool, ...], ...]  # for each weight, over which of the loops it is sliced
    contraction: Contraction | None  # of all iterations
    data: int  # operand position of the layer's input, where there is a contraction
    top: int | None  # number of the step in the program, None inside a loop

    def aligned(self, index: np.ndarray) -> np.ndarray:
        """Entries of the one weight with an axis of length one for each loop that does not slice it."""
        for place, sliced in enumerate(self.stacked[0]):
            if not sliced:
                index = np.expand_dims(index, place)
        return index

    @property
    def loops(self) -> str:
        """The loops around the step, in words."""
        kinds = [
            f", scan, {length} {'layers' if sliced else 'steps'}"
            for length, sliced in zip(self.lengths, self.stacked[0], strict=True)
        ]
        return "".join(kinds)


@dataclasses.dataclass(frozen=True, eq=False)
class Uses:
    """All uses of a program, and what each slot depends on."""

    program: Program
    num_leaves: int  # to differentiate
    num_parameters: int  # of all leaves
    uses: tuple[Use, ...]
    weight_slots: tuple[int, ...]  # slots computed from parameters alone that some use reads
    leaves_of: dict[int, frozenset[int]]
    dependent: frozenset[int]  # slots that the example enters
    parameter_steps: tuple[Step, ...]  # steps that need no input; evaluated once, not once per example
    structures: dict[int, Structure | None]


def find_uses(program: Program, num_leaves: int, num_frozen: int) -> Uses:
    """Find every use; the program's inputs are the leaves to differentiate, frozen leaves, then the example."""
    program = open_loops(program, num_leaves, num_leaves + num_frozen)
    finder = _Finder(program, num_leaves, num_frozen)
    finder.visit(program.steps, ())
    direct = [slot for slot in program.outputs if slot not in finder.on_input and finder.leaves_of[slot]]
    if direct:
        raise ValueError("apply_fn: got an output that does not depend on x; need outputs computed from every example")
    weight_slots = tuple(dict.fromkeys(slot for use in finder.uses for slot in use.slots))
    return Uses(
        program=program,
        num_leaves=num_leaves,
        num_parameters=num_leaves + num_frozen,
        uses=tuple(finder.uses),
        weight_slots=weight_slots,
        leaves_of=finder.leaves_of,
        dependent=frozenset(finder.on_input),
        parameter_steps=tuple(finder.parameter_steps),
        structures=_structures(program, finder.parameter_steps, num_leaves, weight_slots),
    )


class _Finder:
    """Follows what each slot depends on, into opened loops."""

    def __init__(self, program: Program, num_leaves: int, num_frozen: int):
        self.program = program
        self.on_input = set(program.inputs[num_leaves + num_frozen :])
        self.leaves_of: dict[int, frozenset[int]] = {slot: frozenset() for slot in program.constants}
        self.leaves_of.update((slot, frozenset()) for slot in program.inputs)
        self.leaves_of.update((slot, frozenset([leaf])) for leaf, slot in enumerate(program.inputs[:num_leaves]))
        self.outside: dict[int, int] = {}  # slots in loops to what they are outside
        self.stacked: dict[int, tuple[bool, ...]] = {}
        self.uses: list[Use] = []
        self.parameter_steps: list[Step] = []

    def visit(self, steps: tuple[Step, ...], lengths: tuple[int, ...]) -> None:
        """Take the steps of the program, or of a loop's body, in turn."""
        for number, step in enumerate(steps):
            dependence = (
                frozenset().union(*(self.leaves_of[slot] for slot in step.inputs)) if step.inputs else frozenset()
            )
            reads_input = any(slot in self.on_input for slot in step.inputs)
            if step.loop is not None:
                self._enter(step, step.loop, lengths)
            elif reads_input:
                weights = tuple(
                    position
                    for position, slot in enumerate(step.inputs)
                    if slot not in self.on_input and self.leaves_of[slot] and has_gradient(self.program.avals[slot])
                )
                if weights:
                    self.uses.append(self._use(step, weights, lengths, None if lengths else number))
            else:
                self.parameter_steps.append(step)
            for slot in step.outputs:
                if slot is not None:
                    kept = not reads_input and has_gradient(self.program.avals[slot])
                    self.leaves_of[slot] = dependence if kept else frozenset()
                    if reads_input:
                        self.on_input.add(slot)

    def _enter(self, step: Step, loop: Loop, lengths: tuple[int, ...]) -> None:
        sliced = set(loop.xs)
        for slot, outer in zip((*loop.consts, *loop.carry, *loop.xs), step.inputs, strict=True):
            if outer in self.on_input or slot in loop.carry:
                self.on_input.add(slot)
                self.leaves_of[slot] = frozenset()
            else:
                self.leaves_of[slot] = self.leaves_of[outer]
                self.stacked[slot] = (*self.stacked.get(outer, ()), slot in sliced)
                self.outside[slot] = self.outside.get(outer, outer)
        self.visit(loop.steps, (*lengths, loop.length))

    def _use(self, step: Step, weights: tuple[int, ...], lengths: tuple[int, ...], top: int | None) -> Use:
        stacked = tuple(self.stacked.get(step.inputs[position], ()) for position in weights)
        contraction = canonical_form(step, self.program.avals, weights[0]) if len(weights) == 1 else None
        for length, sliced in zip(reversed(lengths), reversed(stacked[0]), strict=True):
            contraction = None if contraction is None else repeated(contraction, length, sliced)
        return Use(
            step=len(self.uses),
            origin=step,
            weights=weights,
            slots=tuple(self.outside.get(step.inputs[position], step.inputs[position]) for position in weights),
            lengths=lengths,
            stacked=stacked,
            contraction=contraction,
            data=1 - weights[0] if contraction is not None else -1,
            top=top,
        )


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
    if step.name == "convert_element_type":  # to complex numbers it is none: half of the derivative is dropped
        dtypes = [program.avals[slot].dtype for slot in (step.inputs[0], only(step.outputs))]
        return source if all(jnp.issubdtype(dtype, jnp.floating) for dtype in dtypes) else None
    if step.name == "neg":
        return dataclasses.replace(source, scale=-source.scale)
    if step.name in ("mul", "div") and len(step.inputs) == 2:
        factor = program.constants.get(step.inputs[1 - position])
        if factor is not None and _is_real_number(factor):
            if step.name == "mul":
                return dataclasses.replace(source, scale=source.scale * float(factor))
            if position == 0:
                return dataclasses.replace(source, scale=source.scale / float(factor))
    return None


def _is_real_number(factor: Any) -> bool:
    return np.ndim(factor) == 0 and not is_traced(factor) and not np.iscomplexobj(factor)


def only(slots: tuple[int | None, ...]) -> int:
    """The one output of a step that has one."""
    (slot,) = slots
    assert slot is not None
    return slot
