r"""Outputs behind a linear head: the trace kernel needs as many directions as the head has inputs, not outputs.

Let the outputs be ``f_s = W^T h_s + b`` at positions s, with ``W [a, O]``. For the parameters before the head,

.. math:: \sum_o \langle J_h^\top w_o, J_{h'}^\top w_o \rangle
    = \sum_k \langle J_h^\top r_k, J_{h'}^\top r_k \rangle, \qquad R^\top R = W W^\top,

so that the network with outputs ``R h_s``, at most a per position, has the same kernel. The head itself
adds ``O <h_s, h'_s>``, and each bias ``O``, summed over positions.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from verax._types import PyTree

from ._contractions import Contraction, canonical_form
from ._network import Network
from ._program import Program, Step, live_steps, trace_program
from ._uses import Structure, Uses, find_uses

# Outputs per input of the head from which the reduction is worth its decomposition.
_ENOUGH = 2
_MOVES = frozenset({"reshape", "squeeze", "expand_dims", "transpose", "copy"})


@dataclasses.dataclass(frozen=True, eq=False)
class LinearHead:
    """A linear head, and the network with rotated features as outputs."""

    reduced: Network
    """Takes ``[*frozen, R]`` for the leaves that are not differentiated."""
    body: tuple[Step, ...]
    features: int  # the slot of h
    weight: int  # the slot of W
    contraction: Contraction
    weight_scale: float | None  # None where W is not differentiated
    bias_scales: tuple[float, ...]
    leaves: tuple[int, ...]  # the differentiated leaves of the head

    def rotation(self, uses: Uses, leaves: list[Array], frozen: list[Array]) -> Array:
        """``R [a, a]``, by a QR decomposition of ``W^T``."""
        values = dict(zip(uses.program.inputs, [*leaves, *frozen], strict=False))
        weight = self.contraction.weight(uses.program.evaluate(values, uses.parameter_steps)[self.weight])[0]
        wide = weight.astype(np.promote_types(weight.dtype, np.float32))
        return jnp.linalg.qr(wide.T, mode="r").astype(weight.dtype)

    def inputs(self, program: Program, leaves: list[Array], frozen: list[Array], example: PyTree) -> Array:
        """Inputs of the head ``[S, a]`` for one example."""
        values = dict(zip(program.inputs, [*leaves, *frozen, *jax.tree.leaves(example)], strict=True))
        return self.contraction.inputs(program.evaluate(values, self.body)[self.features])[:, 0, :]


@functools.lru_cache(maxsize=64)
def find_head(network: Network) -> LinearHead | None:
    """The linear head of a network whose outputs are more than its inputs; None if there is no such head."""
    uses, program = network.uses, network.uses.program
    makers = {slot: step for step in program.steps for slot in step.outputs if slot is not None}
    readers = [slot for step in program.steps for slot in step.inputs]
    (slot,) = program.outputs
    biases: list[Structure] = []
    while True:
        step = makers.get(slot)
        if step is None or readers.count(slot) > (slot not in program.outputs):
            return None
        dependent = [position for position, read in enumerate(step.inputs) if read in uses.dependent]
        if len(dependent) != 1:
            return None
        if step.name in ("add", "add_any"):
            (other,) = (read for read in step.inputs if read not in uses.dependent)
            structure = uses.structures.get(other)
            if uses.leaves_of[other] and (
                structure is None or program.avals[step.inputs[dependent[0]]].shape != program.avals[slot].shape
            ):
                return None
            if structure is not None:
                biases.append(structure)
        elif step.name not in _MOVES:
            break
        slot = step.inputs[dependent[0]]
    if len(step.inputs) != 2:
        return None
    features, weight = step.inputs[dependent[0]], step.inputs[1 - dependent[0]]
    form = canonical_form(step, program.avals, 1 - dependent[0])
    if form is None or form.is_lookup or form.groups != 1 or form.b < _ENOUGH * form.a:
        return None
    structure = uses.structures.get(weight)
    if uses.leaves_of[weight] and (structure is None or np.unique(structure.index).size != structure.index.size):
        return None
    parts = [structure, *biases] if structure is not None else biases
    leaves = [part.leaf for part in parts]
    body = live_steps(program.steps, [features])
    used = frozenset().union(*(uses.leaves_of[read] for one in body for read in one.inputs))
    if len(set(leaves)) != len(leaves) or used.intersection(leaves):
        return None
    return LinearHead(
        reduced=_reduced(network, body, features, form),
        body=body,
        features=features,
        weight=weight,
        contraction=form,
        weight_scale=None if structure is None else structure.scale,
        bias_scales=tuple(bias.scale for bias in biases),
        leaves=tuple(leaves),
    )


def _reduced(network: Network, body: tuple[Step, ...], features: int, form: Contraction) -> Network:
    program, num_leaves = network.uses.program, network.uses.num_leaves

    def apply_one(leaves: list[Array], frozen: list[Array], example: PyTree) -> Array:
        *frozen, rotation = frozen
        values = dict(zip(program.inputs, [*leaves, *frozen, *jax.tree.leaves(example)], strict=True))
        rows = form.inputs(program.evaluate(values, body)[features])[:, 0, :]
        return jnp.einsum("sa,ka->sk", rows, rotation, precision="highest").reshape(-1)

    structs = [jax.ShapeDtypeStruct(program.avals[slot].shape, program.avals[slot].dtype) for slot in program.inputs]
    leaves, others = structs[:num_leaves], structs[num_leaves : network.uses.num_parameters]
    rotation = jax.ShapeDtypeStruct((form.a, form.a), network.output_dtype)
    with jax.default_matmul_precision("highest"):
        traced = trace_program(apply_one, leaves, [*others, rotation], structs[network.uses.num_parameters :])
    return dataclasses.replace(
        network,
        apply_one=apply_one,
        output_shape=(form.positions * form.a,),
        uses=find_uses(traced, num_leaves, len(others) + 1),
    )
