"""Loops opened: parameters leave the body of a scan, so that its layers or steps are uses of weights like any others.

The body of an opened loop holds only steps that the example enters. What it computes from parameters alone is moved in
front of the loop: once where it is the same in all iterations, once for each (stacked along a leading axis) where it
depends on the slices that the loop runs over.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
from jax import lax

from ._program import Loop, Program, Step, has_gradient

T = TypeVar("T")


def open_loops(program: Program, num_leaves: int, num_parameters: int) -> Program:
    """Open every loop that reads both the example and a leaf; the inputs are as for `find_uses`."""
    opener = _Opener(program)
    dependent, leafy = set(program.inputs[num_parameters:]), set(program.inputs[:num_leaves])
    steps = opener.open(program.steps, dependent, leafy, program.outputs)
    return dataclasses.replace(program, steps=tuple(steps), avals=opener.avals)


def run_loop(
    loop: Loop,
    constants: dict[int, Any],
    operands: Sequence[Any],
    run: Callable[[tuple[Step, ...], dict[int, Any], T], tuple[dict[int, Any], T]],
    further: T,
) -> tuple[list[Any], T]:
    """Run a loop by ``run(steps, values, slices) -> values, outputs``.

    Returns the results of the step and the outputs of ``run``, stacked; ``further`` are more arrays to run over.
    """
    num_consts, num_carry = len(loop.consts), len(loop.carry)
    fixed = {**constants, **dict(zip(loop.consts, operands[:num_consts], strict=True))}
    start, over = tuple(operands[num_consts : num_consts + num_carry]), tuple(operands[num_consts + num_carry :])

    def body(carry: tuple[Any, ...], slices: tuple[tuple[Any, ...], T]) -> tuple[tuple[Any, ...], tuple]:
        own, more = slices
        values = {**fixed, **dict(zip(loop.carry, carry, strict=True)), **dict(zip(loop.xs, own, strict=True))}
        values, outputs = run(loop.steps, values, more)
        return tuple(values[slot] for slot in loop.next_carry), (tuple(values[slot] for slot in loop.ys), outputs)

    carry, (ys, outputs) = lax.scan(body, start, (over, further), length=loop.length, reverse=loop.reverse)
    return [*carry, *ys], outputs


class _Opener:
    def __init__(self, program: Program):
        self.program = program
        self.constants = program.constants
        self.avals = dict(program.avals)

    def open(self, steps: Sequence[Step], dependent: set[int], leafy: set[int], outputs: Sequence[int]) -> list[Step]:
        """Steps with loops opened; completes the sets of slots that the example, or some leaf, enters."""
        read = {*outputs, *(slot for step in steps for slot in step.inputs)}
        done: list[Step] = []
        for step in steps:
            opened = self._open_loop(step, dependent, leafy, read) if step.loop is not None else [step]
            for each in opened:
                enters = any(slot in dependent for slot in each.inputs)
                of_leaf = not enters and any(slot in leafy for slot in each.inputs)
                for slot in each.outputs:
                    if slot is not None and enters:
                        dependent.add(slot)
                    elif slot is not None and of_leaf and has_gradient(self.avals[slot]):
                        leafy.add(slot)
            done += opened
        return done

    def _open_loop(self, step: Step, dependent: set[int], leafy: set[int], read: set[int]) -> list[Step]:
        """The steps in front of a loop and the loop, or the closed loop where it cannot be opened."""
        closed = [dataclasses.replace(step, loop=None)]
        loop = step.loop
        assert loop is not None
        inner = (*loop.consts, *loop.carry, *loop.xs)
        outer_of = dict(zip(inner, step.inputs, strict=True))
        weights = {slot for slot, outer in outer_of.items() if outer in leafy and outer not in dependent}
        enters = any(slot in dependent for slot in step.inputs)
        if not enters or not weights or weights.intersection(loop.carry):
            return closed
        inside = {*loop.carry, *(slot for slot, outer in outer_of.items() if outer in dependent)}
        outputs = (*loop.next_carry, *loop.ys)
        steps = self.open(loop.steps, inside, weights, outputs)
        num_carry = len(loop.carry)
        for place, (slot, outer) in enumerate(zip(outputs, step.outputs, strict=True)):
            # A parameter that leaves the loop, or is carried on, would be lost to differentiation.
            if slot in weights and slot not in inside and (place < num_carry or outer in read):
                return closed
        kept = [each for each in steps if any(slot in inside for slot in each.inputs)]
        hoisted, stacked = self._hoist(
            [each for each in steps if not any(slot in inside for slot in each.inputs)],
            outer_of,
            {*loop.xs},
            loop.length,
        )
        wanted = {*outputs, *(slot for each in kept for slot in each.inputs)}
        new = [slot for each in hoisted for slot in each.inner_outputs if slot in wanted]
        consts = [slot for slot in new if slot not in stacked]
        xs = [slot for slot in new if slot in stacked]
        num_consts = len(loop.consts)
        opened = dataclasses.replace(loop, steps=tuple(kept), consts=(*loop.consts, *consts), xs=(*loop.xs, *xs))
        inputs = (
            *step.inputs[:num_consts],
            *(outer_of[slot] for slot in consts),
            *step.inputs[num_consts:],
            *(outer_of[slot] for slot in xs),
        )
        call = dataclasses.replace(step, inputs=inputs, loop=opened, call=_plain(opened, self.constants))
        return [*(each.step for each in hoisted), call]

    def _hoist(
        self, steps: Sequence[Step], outer_of: dict[int, int], stacked: set[int], length: int
    ) -> "tuple[list[_Hoisted], set[int]]":
        """Steps of the body as steps in front of the loop; completes the maps of slots to the outside."""
        hoisted = []
        for step in steps:
            axes = [0 if slot in stacked else None for slot in step.inputs]
            inputs = tuple(outer_of.get(slot, slot) for slot in step.inputs)
            inner = [slot for slot in step.outputs if slot is not None]
            if 0 not in axes:
                outer_of.update((slot, slot) for slot in inner)
                hoisted.append(_Hoisted(dataclasses.replace(step, inputs=inputs), inner))
                continue
            for slot in inner:
                aval = self.avals[slot]
                outer_of[slot] = len(self.avals)
                self.avals[outer_of[slot]] = jax.ShapeDtypeStruct((length, *aval.shape), aval.dtype)
            stacked.update(inner)
            outputs = tuple(None if slot is None else outer_of[slot] for slot in step.outputs)
            call = _mapped(step, axes)
            hoisted.append(_Hoisted(dataclasses.replace(step, inputs=inputs, outputs=outputs, call=call), inner))
        return hoisted, stacked


@dataclasses.dataclass(frozen=True)
class _Hoisted:
    step: Step
    inner_outputs: list[int]


def _mapped(step: Step, axes: list[int | None]) -> Callable[..., Sequence[Any]]:
    """The step for all iterations at once."""
    kept = [slot is not None for slot in step.outputs]

    def call(*operands: Any) -> Sequence[Any]:
        def one(*operands: Any) -> list[Any]:
            return [result for result, keep in zip(step.call(*operands), kept, strict=True) if keep]

        results = iter(jax.vmap(one, in_axes=axes)(*operands))
        return [next(results) if keep else None for keep in kept]  # pyright: ignore[reportReturnType]

    return call


def _plain(loop: Loop, constants: dict[int, Any]) -> Callable[..., Sequence[Any]]:
    def run(steps: tuple[Step, ...], values: dict[int, Any], _: None) -> tuple[dict[int, Any], None]:
        for step in steps:
            results = step.call(*(values[slot] for slot in step.inputs))
            values.update((slot, value) for slot, value in zip(step.outputs, results, strict=True) if slot is not None)
        return values, None

    return lambda *operands: run_loop(loop, constants, operands, run, None)[0]
