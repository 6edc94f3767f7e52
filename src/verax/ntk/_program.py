"""A function as a flat list of primitive steps, read from its jaxpr through ``jax.extend.core`` alone."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jax.extend import core

# Calls without a derivative rule of their own are opened; custom_jvp and custom_vjp stay whole: their rules must hold.
_INLINED = frozenset({"jit", "pjit", "closed_call", "core_call", "checkpoint", "remat", "remat2"})


@runtime_checkable
class Aval(Protocol):
    """Shape and dtype of a slot."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> Any: ...  # NumPy's, or one of JAX's extended dtypes


@dataclasses.dataclass(frozen=True)
class Step:
    """One primitive: reads the slots ``inputs``, writes the slots ``outputs`` (None where the result is dropped)."""

    name: str
    params: dict[str, Any]
    inputs: tuple[int, ...]
    outputs: tuple[int | None, ...]
    call: Callable[..., Sequence[Any]]
    loop: "Loop | None" = None  # of a scan


@dataclasses.dataclass(frozen=True)
class Loop:
    """The body of a scan over its own slots; the scan's operands stand for ``consts``, ``carry``, ``xs`` in turn."""

    steps: tuple[Step, ...]
    consts: tuple[int, ...]
    carry: tuple[int, ...]
    xs: tuple[int, ...]
    next_carry: tuple[int, ...]
    ys: tuple[int, ...]
    length: int
    reverse: bool


@dataclasses.dataclass(frozen=True, eq=False)
class Program:
    """Steps in order, over numbered slots that are each written once."""

    steps: tuple[Step, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    constants: dict[int, Any]
    avals: dict[int, Aval]

    def evaluate(self, values: dict[int, Any], steps: Sequence[Step] | None = None) -> dict[int, Any]:
        """Run the steps on known slot values and return all slot values."""
        env = {**self.constants, **values}
        for step in self.steps if steps is None else steps:
            results = step.call(*(env[slot] for slot in step.inputs))
            env.update((slot, value) for slot, value in zip(step.outputs, results, strict=True) if slot is not None)
        return env


def trace_program(fn: Callable[..., Any], *args: Any) -> Program:
    """Trace ``fn`` at the shapes of ``args``; nested calls are opened and dead steps dropped."""
    closed = jax.make_jaxpr(fn)(*args)
    builder = _Builder()
    inputs = [builder.new_slot(var.aval) for var in closed.jaxpr.invars]
    outputs = builder.inline(closed.jaxpr, closed.consts, inputs)
    return Program(
        steps=live_steps(builder.steps, outputs),
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        constants=builder.constants,
        avals=builder.avals,
    )


class _Builder:
    def __init__(self):
        self.steps: list[Step] = []
        self.constants: dict[int, Any] = {}
        self.avals: dict[int, Aval] = {}

    def new_slot(self, aval: Any) -> int:
        slot = len(self.avals)
        self.avals[slot] = aval
        return slot

    def inline(self, jaxpr: core.Jaxpr, consts: Sequence[Any], inputs: Sequence[int]) -> list[int]:
        env: dict[core.Var, int] = dict(zip(jaxpr.invars, inputs, strict=True))
        for var, value in zip(jaxpr.constvars, consts, strict=True):
            env[var] = self._constant(var.aval, value)

        def read(atom: Any) -> int:
            return self._constant(atom.aval, atom.val) if isinstance(atom, core.Literal) else env[atom]

        for eqn in jaxpr.eqns:
            operands = [read(atom) for atom in eqn.invars]
            if eqn.primitive.name in _INLINED:
                inner = eqn.params["jaxpr"] if "jaxpr" in eqn.params else eqn.params["call_jaxpr"]
                body, body_consts = (inner.jaxpr, inner.consts) if isinstance(inner, core.ClosedJaxpr) else (inner, ())
                env.update(zip(eqn.outvars, self.inline(body, body_consts, operands), strict=True))
                continue
            results = [None if isinstance(var, core.DropVar) else self.new_slot(var.aval) for var in eqn.outvars]
            env.update((var, slot) for var, slot in zip(eqn.outvars, results, strict=True) if slot is not None)
            loop = self._loop(eqn.params) if eqn.primitive.name == "scan" else None
            call = _caller(jaxpr, eqn)
            self.steps.append(Step(eqn.primitive.name, eqn.params, tuple(operands), tuple(results), call, loop))
        return [read(atom) for atom in jaxpr.outvars]

    def _loop(self, params: dict[str, Any]) -> Loop:
        closed, outside = params["jaxpr"], self.steps
        inputs = [self.new_slot(var.aval) for var in closed.jaxpr.invars]
        self.steps = []
        outputs = self.inline(closed.jaxpr, closed.consts, inputs)
        steps, self.steps = live_steps(self.steps, outputs), outside
        if "ft_in" in params:  # how JAX 0.12 groups the inputs of a loop
            consts, carry, _ = params["ft_in"].unpack()
            num_consts, num_carry = len(consts), len(carry)
        else:
            num_consts, num_carry = params["num_consts"], params["num_carry"]
        return Loop(
            steps=steps,
            consts=tuple(inputs[:num_consts]),
            carry=tuple(inputs[num_consts : num_consts + num_carry]),
            xs=tuple(inputs[num_consts + num_carry :]),
            next_carry=tuple(outputs[:num_carry]),
            ys=tuple(outputs[num_carry:]),
            length=params["length"],
            reverse=params["reverse"],
        )

    def _constant(self, aval: Any, value: Any) -> int:
        slot = self.new_slot(aval)
        self.constants[slot] = value
        return slot


def _caller(jaxpr: core.Jaxpr, eqn: core.JaxprEqn) -> Callable[..., Sequence[Any]]:
    """Evaluate one equation as a jaxpr of its own, which keeps every derivative and batching rule of the primitive."""
    variables = list(dict.fromkeys(atom for atom in eqn.invars if not isinstance(atom, core.Literal)))
    kept = [var for var in eqn.outvars if not isinstance(var, core.DropVar)]
    body = jaxpr.replace(constvars=[], invars=variables, outvars=kept, eqns=[eqn], effects=eqn.effects)
    run = core.jaxpr_as_fun(core.ClosedJaxpr(body, ()))
    first_position = [eqn.invars.index(var) for var in variables]
    dropped = [isinstance(var, core.DropVar) for var in eqn.outvars]

    def call(*operands: Any) -> Sequence[Any]:
        results = iter(run(*(operands[position] for position in first_position)))
        return [None if drop else next(results) for drop in dropped]

    return call


def has_gradient(aval: Aval) -> bool:
    """Whether values of this kind are differentiated."""
    return jnp.issubdtype(aval.dtype, jnp.inexact)


def all_steps(steps: Sequence[Step], times: int = 1) -> Iterator[tuple[Step, int]]:
    """Every step, those of opened loops included, and how many times it runs."""
    for step in steps:
        yield step, times
        if step.loop is not None:
            yield from all_steps(step.loop.steps, times * step.loop.length)


def live_steps(steps: Sequence[Step], outputs: Sequence[int]) -> tuple[Step, ...]:
    """The steps on which the outputs depend."""
    needed = set(outputs)
    live = []
    for step in reversed(steps):
        if any(slot in needed for slot in step.outputs):
            live.append(step)
            needed.update(step.inputs)
    return tuple(reversed(live))
