"""Which way each parameter's share of the kernel is computed, chosen by counted cost.

Per pair of examples, a weight ``[a, b]`` used at S positions, with O outputs:

- contraction of explicit gradients ``G_i [a, b]``: ``2 O a b`` operations;
- Hadamard product of Grams, ``sum_st (a_is . a_jt)(b_is . b_jt)``: ``2 S^2 (a + O b)``.

With O = 1 for layers of which one gradient serves all outputs.
"""

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ._contractions import Contraction
from ._program import all_steps
from ._separable import Tail, find_tail
from ._uses import Use, Uses

# Multiplying and summing an S x S tile of two Grams costs memory traffic, not only operations: counted as this many.
_ELEMENTWISE_COST = 12
# Forming G_i costs 2 S a b an example; a block of this many examples shares it.
_TYPICAL_BLOCK = 128
# Groups beyond which no products of Grams are made, one for each group.
_MOST_GROUPS = 64
# Steps that run other functions: differentiated whole, with everything inside.
_FALLBACK_STEPS = frozenset({"scan", "while", "cond", "shard_map", "pure_callback"})


class Bias(NamedTuple):
    """A bias of a layer: ``entries [b]`` holds the places of its entries in the flattened leaf."""

    leaf: int
    entries: np.ndarray
    scale: float


@dataclasses.dataclass(frozen=True, eq=False)
class LayerGradient:
    """Gradient of the entries of one leaf that some contractions share, with biases as further input features.

    ``entries [groups, a, b]`` holds their places in the flattened leaf; the gradient with respect to them is
    ``scale * sum_s a_s b_s^T`` over all positions of all uses.
    """

    leaf: int
    entries: np.ndarray
    uses: tuple[Use, ...]
    scale: float
    hadamard: bool
    biases: tuple[Bias, ...] = ()
    tail: Tail | None = None  # where one gradient serves all outputs

    def num_gradients(self, num_outputs: int) -> int:
        """How many gradients of an example stand for all outputs."""
        return num_outputs if self.tail is None else 1

    @property
    def positions(self) -> int:
        """Positions of all uses."""
        return sum(form.positions for form in self.contractions)

    @property
    def contractions(self) -> list[Contraction]:
        """The canonical form of each use."""
        return [use.contraction for use in self.uses if use.contraction is not None]

    @property
    def is_lookup(self) -> bool:
        """Whether the layer reads rows of a table."""
        return self.contractions[0].is_lookup

    @property
    def shape(self) -> tuple[int, int, int]:
        """Groups, a (biases included) and b."""
        form = self.contractions[0]
        return form.groups, form.a + len(self.biases), form.b


@dataclasses.dataclass(frozen=True, eq=False)
class Routes:
    """Layer gradients, leaves differentiated use by use, and the route of each leaf with its reason."""

    layers: tuple[LayerGradient, ...]
    generic: tuple[int, ...]
    labels: tuple[tuple[str, str], ...]  # (route, reason) of each leaf

    @property
    def explicit(self) -> tuple[LayerGradient, ...]:
        """The layers whose gradients are formed."""
        return tuple(layer for layer in self.layers if not layer.hadamard)


@functools.lru_cache(maxsize=256)
def choose_routes(uses: Uses, num_outputs: int, full: bool, *, keep_lookups: bool = False) -> Routes:
    """Assign every leaf to layers or to the generic route; cached, since compiled code is keyed by the result.

    ``keep_lookups`` keeps table lookups as layers, for callers that never form a dense gradient of a table.
    """
    by_leaf: list[list[Use]] = [[] for _ in range(uses.num_leaves)]
    for use in uses.uses:
        for leaf in frozenset().union(*(uses.leaves_of[slot] for slot in use.slots)):
            by_leaf[leaf].append(use)

    layers: list[LayerGradient] = []
    generic: list[int] = []
    labels: dict[int, tuple[str, str]] = {}
    for leaf, leaf_uses in enumerate(by_leaf):
        found = _layer_gradients(uses, leaf, leaf_uses)
        if not leaf_uses:
            labels[leaf] = ("contraction", "does not reach the output: contributes zero")
        elif found is None:
            generic.append(leaf)
            labels[leaf] = _generic_label(leaf_uses)
        else:
            if num_outputs > 1 and not full:
                found = [_with_tail(uses, layer) for layer in found]
            chosen = [
                dataclasses.replace(layer, hadamard=_prefers_hadamard(layer, num_outputs, full)) for layer in found
            ]
            if any(layer.is_lookup and not layer.hadamard for layer in chosen) and not keep_lookups:
                generic.append(leaf)
                labels[leaf] = ("contraction", "table lookup, dense gradient is cheaper")
            else:
                layers += chosen
                labels[leaf] = _layer_label(chosen)

    for leaf in list(generic):
        target = _bias_target(uses, leaf, by_leaf[leaf], layers)
        if target is not None:
            number, bias = target
            layers[number] = dataclasses.replace(layers[number], biases=(*layers[number].biases, bias))
            generic.remove(leaf)
            route = "hadamard" if layers[number].hadamard else "contraction"
            labels[leaf] = (route, "bias, one more input feature of its layer's weight")
    return Routes(tuple(layers), tuple(generic), tuple(labels[leaf] for leaf in range(uses.num_leaves)))


def pair_cost(positions: int, shape: tuple[int, int, int], num_outputs: int, full: bool, hadamard: bool) -> float:
    """Operations for one pair of examples."""
    groups, a, b = shape
    outputs = num_outputs**2 if full else num_outputs
    if not hadamard:
        return 2.0 * outputs * groups * a * b
    elementwise = _ELEMENTWISE_COST * positions**2 if positions > 1 else 2
    return groups * (2.0 * positions**2 * (a + outputs * b) + elementwise * (outputs if full else 1))


def example_cost(positions: int, shape: tuple[int, int, int], num_outputs: int, hadamard: bool) -> float:
    """Operations for one example before any pair: forming its gradient."""
    groups, a, b = shape
    return 0.0 if hadamard else 2.0 * positions * groups * a * b * num_outputs


def _layer_gradients(uses: Uses, leaf: int, leaf_uses: Sequence[Use]) -> list[LayerGradient] | None:
    """Group the uses by the entries that they read; None unless all are contractions of whole, disjoint groups."""
    groups: list[tuple[np.ndarray, float, list[Use]]] = []
    for use in leaf_uses:
        structure = uses.structures.get(use.slots[0])
        if use.contraction is None or structure is None or structure.leaf != leaf:
            return None
        index = np.asarray(use.contraction.weight(structure.index))
        if np.unique(index).size != index.size:
            return None
        for known, scale, members in groups:
            (form, *_) = (member.contraction for member in members)
            same_kind = form is not None and form.is_lookup == use.contraction.is_lookup
            if np.array_equal(known, index) and scale == structure.scale and same_kind:
                members.append(use)
                break
        else:
            if any(np.intersect1d(known, index).size for known, _, _ in groups):
                return None
            groups.append((index, structure.scale, [use]))
    return [LayerGradient(leaf, index, tuple(members), scale, hadamard=False) for index, scale, members in groups]


def _with_tail(uses: Uses, layer: LayerGradient) -> LayerGradient:
    return dataclasses.replace(layer, tail=find_tail(uses, layer.uses[0])) if len(layer.uses) == 1 else layer


def _prefers_hadamard(layer: LayerGradient, num_outputs: int, full: bool) -> bool:
    if layer.shape[0] > _MOST_GROUPS:
        return False
    num_outputs = layer.num_gradients(num_outputs)
    shape = (1, 1, layer.shape[2]) if layer.is_lookup else layer.shape
    hadamard = pair_cost(layer.positions, shape, num_outputs, full, hadamard=True)
    contraction = pair_cost(layer.positions, layer.shape, num_outputs, full, hadamard=False)
    formation = example_cost(layer.positions, layer.shape, num_outputs, hadamard=False)
    return hadamard < contraction + formation / _TYPICAL_BLOCK


def _layer_label(layers: Sequence[LayerGradient]) -> tuple[str, str]:
    layer = layers[0]
    groups, a, b = layer.shape
    in_layers = math.prod(
        length for length, sliced in zip(layer.uses[0].lengths, layer.uses[0].stacked[0], strict=True) if sliced
    )
    group_text = f", {groups // in_layers} groups" if groups > in_layers else ""
    reuse = f", {len(layer.uses)} uses" if len(layer.uses) > 1 else ""
    shared = ", one gradient for all outputs" if all(layer.tail is not None for layer in layers) else ""
    text = f"[{a}, {b}] at {layer.positions} positions{group_text}{reuse}{shared}{layer.uses[0].loops}"
    route = "hadamard" if all(layer.hadamard for layer in layers) else "contraction"
    return route, text


def _generic_label(leaf_uses: Sequence[Use]) -> tuple[str, str]:
    names = sorted({use.origin.name for use in leaf_uses})
    unknown = [name for name in names if name in _FALLBACK_STEPS]
    if unknown:
        return "fallback", f"inside {', '.join(unknown)}: differentiated whole"
    return "contraction", f"explicit gradient through {', '.join(names)}{leaf_uses[0].loops}"


def _bias_target(
    uses: Uses, leaf: int, leaf_uses: Sequence[Use], layers: Sequence[LayerGradient]
) -> tuple[int, Bias] | None:
    """The layer whose results this leaf is added to, everywhere it is used."""
    steps: set[int] = set()
    scales: set[float] = set()
    index: np.ndarray | None = None
    for use in leaf_uses:
        step = use.origin
        structure = uses.structures.get(use.slots[0])
        if step.name not in ("add", "add_any") or structure is None or structure.leaf != leaf or len(use.weights) != 1:
            return None
        source = step.inputs[1 - use.weights[0]]
        layer = next((other for other in uses.uses if source in other.origin.outputs), None)
        if layer is None or layer.contraction is None or _num_readers(uses, source) != 1:
            return None
        out_shape = (*use.lengths, *uses.program.avals[source].shape)
        index = _channels(layer.contraction, use.aligned(structure.index), out_shape)
        if index is None:
            return None
        steps.add(layer.step)
        scales.add(structure.scale)
    if len(scales) != 1 or index is None:
        return None
    for number, layer in enumerate(layers):
        if {use.step for use in layer.uses} == steps and not layer.is_lookup and layer.shape[0] == 1:
            return number, Bias(leaf, index, scales.pop())
    return None


def _num_readers(uses: Uses, slot: int) -> int:
    reads = uses.program.outputs.count(slot)
    for step, _ in all_steps(uses.program.steps):
        reads += step.inputs.count(slot)
        if step.loop is not None:
            reads += step.loop.next_carry.count(slot) + step.loop.ys.count(slot)
    return reads


def _channels(form: Contraction, entries: np.ndarray, out_shape: tuple[int, ...]) -> np.ndarray | None:
    """Index ``[b]`` of a bias with one number per output channel, the same at all positions; None for any other."""
    if entries.ndim != len(out_shape) or form.groups != 1:
        return None
    spread = np.broadcast_to(entries, out_shape)  # an addition may stretch axes of length one
    index = np.asarray(form.cotangents(spread)).reshape(form.positions, form.b)
    alike = (index == index[:1]).all() and np.unique(index[0]).size == form.b
    return index[0] if alike else None
