"""Which way each parameter's share of the kernel is computed, chosen by counted cost.

Per pair of examples, a weight ``[a, b]`` used at S positions, with O outputs:

- contraction of explicit gradients ``G_i [a, b]``: ``2 O a b`` operations;
- Hadamard product of Grams, ``sum_st (a_is . a_jt)(b_is . b_jt)``: ``2 S^2 (a + O b)``.

With O = 1 for layers of which one gradient serves all outputs.
"""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from ._separable import Tail, find_tail
from ._uses import Structure, Use, Uses

# Multiplying and summing an S x S tile of two Grams costs memory traffic, not only operations: counted as this many.
_ELEMENTWISE_COST = 12
# Forming G_i costs 2 S a b an example; a block of this many examples shares it.
_TYPICAL_BLOCK = 128
# Steps that run other functions: differentiated whole, with everything inside.
_FALLBACK_STEPS = frozenset({"scan", "while", "cond", "shard_map", "pure_callback"})


@dataclasses.dataclass(frozen=True, eq=False)
class Piece:
    """Uses of one leaf's same entries by contractions, and the biases that ride along as one more input feature."""

    leaf: int
    uses: tuple[Use, ...]
    scale: float
    hadamard: bool
    biases: tuple[tuple[int, float], ...] = ()  # (leaf, scale)
    tail: Tail | None = None  # where one gradient serves all outputs

    def num_gradients(self, num_outputs: int) -> int:
        """How many gradients of an example stand for all outputs."""
        return num_outputs if self.tail is None else 1

    @property
    def positions(self) -> int:
        return sum(use.contraction.positions for use in self.uses)  # pyright: ignore[reportOptionalMemberAccess]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Groups, a (biases included) and b."""
        form = self.uses[0].contraction
        assert form is not None
        return form.groups, form.a + len(self.biases), form.b


@dataclasses.dataclass(frozen=True, eq=False)
class Routes:
    """Pieces by contraction or Hadamard product, leaves differentiated use by use, and the reason for each leaf."""

    pieces: tuple[Piece, ...]
    generic: tuple[int, ...]
    labels: tuple[tuple[str, str], ...]  # (route, reason) of each leaf

    @property
    def explicit(self) -> tuple[Piece, ...]:
        """The pieces whose gradients are formed."""
        return tuple(piece for piece in self.pieces if not piece.hadamard)


@functools.lru_cache(maxsize=256)
def choose_routes(uses: Uses, num_outputs: int, full: bool) -> Routes:
    """Assign every leaf to pieces or to the generic route; cached, since compiled code is keyed by the result."""
    by_leaf: list[list[Use]] = [[] for _ in range(uses.num_leaves)]
    for use in uses.uses:
        for leaf in frozenset().union(*(uses.leaves_of[slot] for slot in _weight_slots(uses, use))):
            by_leaf[leaf].append(use)

    pieces: list[Piece] = []
    generic: list[int] = []
    labels: dict[int, tuple[str, str]] = {}
    for leaf, leaf_uses in enumerate(by_leaf):
        found = _pieces(uses, leaf, leaf_uses)
        if not leaf_uses:
            labels[leaf] = ("contraction", "does not reach the output: contributes zero")
        elif found is None:
            generic.append(leaf)
            labels[leaf] = _generic_label(uses, leaf_uses)
        else:
            if num_outputs > 1 and not full:
                found = [_with_tail(uses, piece) for piece in found]
            chosen = [
                dataclasses.replace(piece, hadamard=_prefers_hadamard(piece, num_outputs, full)) for piece in found
            ]
            if any(_is_lookup(piece) and not piece.hadamard for piece in chosen):
                generic.append(leaf)
                labels[leaf] = ("contraction", "table lookup, dense gradient is cheaper")
            else:
                pieces += chosen
                labels[leaf] = _piece_label(chosen)

    for leaf in list(generic):
        target = _bias_target(uses, leaf, by_leaf[leaf], pieces)
        if target is not None:
            number, scale = target
            pieces[number] = dataclasses.replace(pieces[number], biases=(*pieces[number].biases, (leaf, scale)))
            generic.remove(leaf)
            route = "hadamard" if pieces[number].hadamard else "contraction"
            labels[leaf] = (route, "bias, one more input feature of its layer's weight")
    return Routes(tuple(pieces), tuple(generic), tuple(labels[leaf] for leaf in range(uses.num_leaves)))


def pair_cost(positions: int, shape: tuple[int, int, int], num_outputs: int, full: bool, hadamard: bool) -> float:
    """Operations for one pair of examples."""
    groups, a, b = shape
    outputs = num_outputs**2 if full else num_outputs
    if not hadamard:
        return 2.0 * outputs * groups * a * b
    elementwise = _ELEMENTWISE_COST * positions**2 if positions > 1 else 2
    return 2.0 * positions**2 * (a + outputs * b) + elementwise * (outputs if full else 1)


def example_cost(positions: int, shape: tuple[int, int, int], num_outputs: int, hadamard: bool) -> float:
    """Operations for one example before any pair: forming its gradient."""
    groups, a, b = shape
    return 0.0 if hadamard else 2.0 * positions * groups * a * b * num_outputs


def _weight_slots(uses: Uses, use: Use) -> list[int]:
    return [uses.program.steps[use.step].inputs[position] for position in use.weights]


def _is_lookup(piece: Piece) -> bool:
    form = piece.uses[0].contraction
    return form is not None and form.is_lookup


def _pieces(uses: Uses, leaf: int, leaf_uses: Sequence[Use]) -> list[Piece] | None:
    """Group the uses by the entries that they read; None unless all are contractions of whole, disjoint groups."""
    groups: list[tuple[np.ndarray, float, list[Use]]] = []
    for use in leaf_uses:
        structure = uses.structures.get(_weight_slots(uses, use)[0])
        if use.contraction is None or structure is None or structure.leaf != leaf:
            return None
        index = np.asarray(use.contraction.weight(structure.index))
        if np.unique(index).size != index.size:
            return None
        for known, scale, members in groups:
            same_kind = members[0].contraction.is_lookup == use.contraction.is_lookup  # pyright: ignore[reportOptionalMemberAccess]
            if np.array_equal(known, index) and scale == structure.scale and same_kind:
                members.append(use)
                break
        else:
            if any(np.intersect1d(known, index).size for known, _, _ in groups):
                return None
            groups.append((index, structure.scale, [use]))
    return [Piece(leaf, tuple(members), scale, hadamard=False) for _, scale, members in groups]


def _with_tail(uses: Uses, piece: Piece) -> Piece:
    return dataclasses.replace(piece, tail=find_tail(uses, piece.uses[0])) if len(piece.uses) == 1 else piece


def _prefers_hadamard(piece: Piece, num_outputs: int, full: bool) -> bool:
    if piece.shape[0] != 1:
        return False
    num_outputs = piece.num_gradients(num_outputs)
    shape = (1, 1, piece.shape[2]) if _is_lookup(piece) else piece.shape
    hadamard = pair_cost(piece.positions, shape, num_outputs, full, hadamard=True)
    contraction = pair_cost(piece.positions, piece.shape, num_outputs, full, hadamard=False)
    formation = example_cost(piece.positions, piece.shape, num_outputs, hadamard=False)
    return hadamard < contraction + formation / _TYPICAL_BLOCK


def _piece_label(pieces: Sequence[Piece]) -> tuple[str, str]:
    piece = pieces[0]
    groups, a, b = piece.shape
    group_text = f", {groups} groups" if groups > 1 else ""
    reuse = f", {len(piece.uses)} uses" if len(piece.uses) > 1 else ""
    shared = ", one gradient for all outputs" if all(piece.tail is not None for piece in pieces) else ""
    text = f"[{a}, {b}] at {piece.positions} positions{group_text}{reuse}{shared}"
    route = "hadamard" if all(piece.hadamard for piece in pieces) else "contraction"
    return route, text


def _generic_label(uses: Uses, leaf_uses: Sequence[Use]) -> tuple[str, str]:
    names = sorted({uses.program.steps[use.step].name for use in leaf_uses})
    unknown = [name for name in names if name in _FALLBACK_STEPS]
    if unknown:
        return "fallback", f"inside {', '.join(unknown)}: differentiated whole"
    return "contraction", f"explicit gradient through {', '.join(names)}"


def _bias_target(uses: Uses, leaf: int, leaf_uses: Sequence[Use], pieces: Sequence[Piece]) -> tuple[int, float] | None:
    """The piece whose layer outputs this leaf is added to, everywhere it is used."""
    layers: set[int] = set()
    scales: set[float] = set()
    for use in leaf_uses:
        step = uses.program.steps[use.step]
        structure = uses.structures.get(_weight_slots(uses, use)[0])
        if step.name not in ("add", "add_any") or structure is None or structure.leaf != leaf or len(use.weights) != 1:
            return None
        source = step.inputs[1 - use.weights[0]]
        layer = next((other for other in uses.uses if source in uses.program.steps[other.step].outputs), None)
        if layer is None or layer.contraction is None or _num_readers(uses, source) != 1:
            return None
        if not _spans_channels(layer, structure, uses.program.avals[source].shape):
            return None
        layers.add(layer.step)
        scales.add(structure.scale)
    if len(scales) != 1:
        return None
    for number, piece in enumerate(pieces):
        if {use.step for use in piece.uses} == layers and not _is_lookup(piece) and piece.shape[0] == 1:
            return number, scales.pop()
    return None


def _num_readers(uses: Uses, slot: int) -> int:
    reads = sum(step.inputs.count(slot) for step in uses.program.steps)
    return reads + uses.program.outputs.count(slot)


def _spans_channels(layer: Use, structure: Structure, out_shape: tuple[int, ...]) -> bool:
    """Whether the bias is one number an output channel, the same at all positions, each entry once."""
    form = layer.contraction
    assert form is not None
    if structure.index.ndim != len(out_shape) or form.groups != 1:
        return False
    spread = np.broadcast_to(structure.index, out_shape)  # an addition may stretch axes of length one
    index = np.asarray(form.cotangents(spread)).reshape(form.positions, form.b)
    return bool((index == index[:1]).all()) and np.unique(index[0]).size == form.b
