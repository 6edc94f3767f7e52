r"""Layers whose cotangents differ between outputs by one factor a channel: one gradient serves all outputs.

Let a layer's result z reach the outputs by elementwise functions, then a sum over positions (or at a single position),
then a linear map B that is the same for all examples. Its cotangents are ``e_sc B_oc`` with e of the example alone, the
gradients ``G_o = M diag(B_o)`` with ``M = sum_s a_s e_s^T``, and

.. math:: \sum_o \langle G_o, G'_o \rangle = \langle M \operatorname{diag}(|B|), M' \operatorname{diag}(|B|) \rangle,
    \qquad |B|_c^2 = \sum_o B_{oc}^2

so that the combination ``sum_o (B_oc / |B|_c) e_sc B_oc`` of the cotangents does for all outputs together.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ._program import Program, Step
from ._uses import Use, Uses, only

_ELEMENTWISE_NAMES = """
    abs add add_any and clamp convert_element_type copy cos div eq erf erfc exp exp2 expm1 ge gt integer_pow is_finite
    le log log1p logistic lt max min mul ne neg not or pow rsqrt select_n sign sin sqrt square sub tanh
"""
_MOVE_NAMES = "broadcast_in_dim convert_element_type copy expand_dims neg reduce_sum reshape squeeze transpose"
_ELEMENTWISE, _MOVES = frozenset(_ELEMENTWISE_NAMES.split()), frozenset(_MOVE_NAMES.split())
_SUMS = frozenset({"add", "add_any", "sub"})


@dataclasses.dataclass(frozen=True, eq=False)
class Tail:
    """The linear map from a layer to the outputs, behind what is elementwise."""

    start: int  # the slot that it maps
    shape: tuple[int, ...]  # of that slot, with axes of length one where positions were summed
    steps: tuple[Step, ...]


def find_tail(uses: Uses, use: Use) -> Tail | None:
    """The tail behind a contraction, None where its cotangents do not separate."""
    form, program = use.contraction, uses.program
    if form is None or form.is_lookup or use.top is None:
        return None
    (result,) = use.origin.outputs
    assert result is not None
    shape = program.avals[result].shape
    layer, linear, steps = {result}, set[int](), list[Step]()
    start, kept = -1, shape
    for step in program.steps[use.top + 1 :]:
        read, mapped = layer.intersection(step.inputs), linear.intersection(step.inputs)
        if not read and not mapped:
            continue
        if read and not mapped and _is_elementwise(program, step, shape):
            layer.update(slot for slot in step.outputs if slot is not None)
            continue
        if read:
            if mapped or start >= 0:  # a second way to the outputs
                return None
            if step.name == "reduce_sum":
                start = only(step.outputs)
                kept = tuple(1 if axis in step.params["axes"] else size for axis, size in enumerate(shape))
                linear.add(start)
                continue
            if form.positions != 1:
                return None
            start = read.pop()
        if not _is_linear(uses, step, linear | {start}):
            return None
        steps.append(step)
        linear.update(slot for slot in step.outputs if slot is not None)
    if not linear.issuperset(program.outputs):
        return None
    spread = np.broadcast_to(np.arange(np.prod(kept, dtype=int)).reshape(kept), shape)
    channels = np.asarray(form.cotangents(spread))
    return Tail(start, kept, tuple(steps)) if (channels == channels[:1]).all() else None


def mixing(tail: Tail, program: Program, known: dict[int, Any], basis: Array) -> Array:
    """Coefficients ``B_oc / |B|_c`` of the outputs' cotangents, ``[O, *shape]``."""

    def outputs(value: Array) -> Array:
        env = {**known, tail.start: value}
        for step in tail.steps:
            results = step.call(*(env[slot] for slot in step.inputs))
            env.update((slot, value) for slot, value in zip(step.outputs, results, strict=True) if slot is not None)
        return env[program.outputs[0]]

    aval = program.avals[tail.start]
    _, pull_back = jax.vjp(outputs, jnp.zeros(aval.shape, aval.dtype))
    rows = jax.vmap(lambda row: pull_back(row)[0])(basis)
    norm = jnp.sqrt(jnp.sum(rows * rows, axis=0))
    return (rows / jnp.where(norm > 0, norm, jnp.ones((), norm.dtype))).reshape(-1, *tail.shape)


def _is_elementwise(program: Program, step: Step, shape: tuple[int, ...]) -> bool:
    """Whether every entry of the results comes from the entries at its own place; other operands may be anything."""
    if any(slot is not None and program.avals[slot].shape != shape for slot in step.outputs):
        return False
    if not all(_spreads(program.avals[slot].shape, shape) for slot in step.inputs):
        return False
    if step.name == "custom_jvp_call":  # `jax.nn.relu` and its like
        return _body_is_elementwise(step.params["call_jaxpr"].jaxpr, shape)
    return step.name in _ELEMENTWISE


def _spreads(operand: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Whether an operand has one entry, or the shape itself but for axes of length one that are stretched."""
    return not operand or (len(operand) == len(shape) and all(n in (1, m) for n, m in zip(operand, shape, strict=True)))


def _body_is_elementwise(jaxpr: Any, shape: tuple[int, ...]) -> bool:
    for eqn in jaxpr.eqns:
        if not all(_spreads(atom.aval.shape, shape) for atom in (*eqn.invars, *eqn.outvars)):
            return False
        inner = eqn.params.get("jaxpr")
        if not (_body_is_elementwise(inner.jaxpr, shape) if inner is not None else eqn.primitive.name in _ELEMENTWISE):
            return False
    return True


def _is_linear(uses: Uses, step: Step, mapped: set[int]) -> bool:
    """Whether the step is affine in the mapped slots, by operands that are the same for all examples."""
    avals = uses.program.avals
    others = [slot for slot in step.inputs if slot not in mapped]
    if any(slot in uses.dependent for slot in others):
        return False
    if any(slot is not None and not jnp.issubdtype(avals[slot].dtype, jnp.inexact) for slot in step.outputs):
        return False
    if step.name in _MOVES or step.name in _SUMS:
        return True
    if len(others) != 1 or len(step.inputs) != 2:
        return False
    return step.name in ("mul", "dot_general") or (step.name == "div" and others[0] == step.inputs[1])
