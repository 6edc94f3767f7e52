"""Matrix products, convolutions and table lookups by a weight, in one canonical form."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from verax._types import AnyArray

from ._conv_patches import patches
from ._program import Aval, Step

Shape = tuple[int, ...]


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
    inputs: Callable[[Array], Array]
    cotangents: Callable[[AnyArray], Any]
    weight: Callable[[AnyArray], Any]
    from_weight: Callable[[AnyArray], Any]
    is_lookup: bool = False


def _dot(params: dict[str, Any], shapes: Sequence[Shape], _: Shape, weight: int) -> Contraction:
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

    def cotangents(c: AnyArray) -> AnyArray:  # dimensions of the result: batch, free of lhs, free of rhs
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


def _conv(params: dict[str, Any], shapes: Sequence[Shape], out: Shape, weight: int) -> Contraction | None:
    if weight != 1 or params["batch_group_count"] != 1:
        return None
    dims = params["dimension_numbers"]
    groups = params["feature_group_count"]
    rhs = [shapes[1][d] for d in dims.rhs_spec]  # out channels, in channels of a group, window
    result = [out[d] for d in dims.out_spec]  # batch, channels, positions
    b, a = rhs[0] // groups, math.prod(rhs[1:])
    positions = result[0] * math.prod(result[2:])

    channels_last = [dims.lhs_spec[0], *dims.lhs_spec[2:], dims.lhs_spec[1]]

    def cotangents(c: AnyArray) -> AnyArray:
        c = c.transpose(dims.out_spec).reshape(result[0], groups, b, -1)
        return c.transpose(0, 3, 1, 2).reshape(positions, groups, b)

    order = [*dims.rhs_spec[2:], dims.rhs_spec[1], dims.rhs_spec[0]]  # window, in channels, out channels

    def weight_form(w: AnyArray) -> AnyArray:
        return w.transpose(order).reshape(a, groups, b).swapaxes(0, 1)

    def from_weight(g: AnyArray) -> AnyArray:
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


def _lookup(params: dict[str, Any], shapes: Sequence[Shape], out: Shape, weight: int) -> Contraction | None:
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

    def tokens(
        x: Array,
    ) -> Array:  # a token outside the table has no gradient under fill, and its neighbour's under clip
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


_FORMS = {"dot_general": _dot, "conv_general_dilated": _conv, "gather": _lookup}


def canonical_form(step: Step, avals: Mapping[int, Aval], weight: int) -> Contraction | None:
    """The canonical form of a step whose operand at position ``weight`` is a weight; None for any other step."""
    if step.name not in _FORMS or len(step.inputs) != 2:
        return None
    (result,) = step.outputs
    involved = [slot for slot in (*step.inputs, result) if slot is not None]
    if any(jnp.issubdtype(avals[slot].dtype, jnp.complexfloating) for slot in involved):
        return None  # a real weight may meet complex inputs, so the derivative of its layer is no outer product
    shapes = [avals[slot].shape for slot in step.inputs]
    out = avals[result].shape if result is not None else ()
    return _FORMS[step.name](step.params, shapes, out, weight)


def repeated(form: Contraction, length: int, sliced: bool) -> Contraction | None:
    """The contraction in all iterations of a loop, whose values come stacked along a leading axis.

    A weight that the loop slices has ``length`` groups; one that stays the same is used at as many more positions.
    """
    if sliced and form.is_lookup:
        return None
    if not sliced:

        def flat(rows: AnyArray) -> AnyArray:
            return rows.reshape(length * form.positions, *rows.shape[2:])

        return dataclasses.replace(
            form,
            positions=length * form.positions,
            inputs=lambda x: flat(_each(form.inputs, x)),
            cotangents=lambda c: flat(_each(form.cotangents, c)),
        )

    def grouped(rows: AnyArray) -> AnyArray:  # [L, S, g, ...] to [S, L * g, ...]
        return rows.swapaxes(0, 1).reshape(form.positions, length * form.groups, *rows.shape[3:])

    return dataclasses.replace(
        form,
        groups=length * form.groups,
        inputs=lambda x: grouped(_each(form.inputs, x)),
        cotangents=lambda c: grouped(_each(form.cotangents, c)),
        weight=lambda w: _each(form.weight, w).reshape(length * form.groups, form.a, form.b),
        from_weight=lambda g: _each(form.from_weight, g.reshape(length, form.groups, form.a, form.b)),
    )


def _each(fn: Callable[[Any], Any], x: AnyArray) -> Any:
    """The function of each iteration's value; of indices in NumPy without a trace."""
    return np.stack([fn(one) for one in x]) if isinstance(x, np.ndarray) else jax.vmap(fn)(x)
