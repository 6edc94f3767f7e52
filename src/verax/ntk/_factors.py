"""The per-example factors from which every tile of the kernel is made: one forward and one backward pass a block."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from verax.kernels._dtypes import accumulator

from ._gram import gram_symmetric
from ._routes import Piece, Routes
from ._separable import mixing
from ._uses import Use, Uses

# Gradients narrower than this are laid side by side, so that many small parameters cost one matrix product.
_NARROW = 16_384


def form_factors(
    uses: Uses, routes: Routes, leaves: list[Array], frozen: list[Array], x_block: Any, basis: Any, full: bool
) -> dict[str, list[Any]]:
    """Factors of a block of examples.

    Parameters
    ----------
    uses, routes
        The analysed network and the route of each leaf.
    leaves, frozen
        Parameter leaves to differentiate, and the others.
    x_block : pytree, leading axis n
        Examples.
    basis : array, shape [O, num_outputs]
        Output cotangents: one row for each output direction.
    full : bool
        Keep the output axis of gradients apart (for all pairs of outputs).

    Returns
    -------
    dict
        ``"gradients"``: arrays ``[n, D]`` (``[n, O, D]`` when full); ``"hadamard"``: pairs of inputs ``[n, S, a]`` (or
        tokens ``[n, S]``) and cotangents ``[n, S, O, b]``.
    """
    parts = jax.vmap(_parts_of(uses, routes, leaves, frozen, basis))(x_block)
    gradients = [_gradients(piece, raw) for piece, raw in zip(routes.explicit, parts.contractions, strict=True)]
    num, outputs = jax.tree.leaves(x_block)[0].shape[0], basis.shape[0]
    if full:
        rows = [g.transpose(0, 3, 1, 2, 4).reshape(num, outputs, -1) for g in gradients]
        rows += [row.reshape(num, outputs, -1) for row in parts.rows]
    else:  # the order of entries is free, as long as it is the same for all examples
        rows = [g.reshape(num, -1) for g in (*gradients, *parts.rows)]
    return {"gradients": _side_by_side(rows), "hadamard": parts.hadamard}


def fused_kernel(
    uses: Uses, routes: Routes, leaves: list[Array], frozen: list[Array], x_block: Any, basis: Any, precision: str
) -> Array:
    """Kernel ``[n, n]`` of one block with itself, summed over outputs, without holding the factors.

    The gradient of one layer and one output direction is formed, multiplied and dropped while it is still in the cache.
    Arguments as for :func:`form_factors`.
    """
    parts = jax.vmap(_parts_of(uses, routes, leaves, frozen, basis))(x_block)
    num = jax.tree.leaves(x_block)[0].shape[0]

    def symmetric(gradients: list[Array], hadamard: list[Any]) -> Array:
        factors = {"gradients": gradients, "hadamard": hadamard}
        return gram_symmetric(factors, num=num, full=False, precision=precision)

    kernel = jnp.zeros((num, num), accumulator(basis.dtype))
    if parts.rows or parts.hadamard:
        kernel = symmetric(_side_by_side([row.reshape(num, -1) for row in parts.rows]), parts.hadamard)
    for piece, raw in zip(routes.explicit, parts.contractions, strict=True):
        if piece.num_gradients(basis.shape[0]) == 1:
            kernel = kernel + symmetric([_gradients(piece, raw).reshape(num, -1)], [])
            continue
        inputs, outer = jax.vmap(lambda raw, piece=piece: _contraction_parts(piece, *raw), out_axes=(0, 1))(raw)

        def add_output(total: Array, one_output: Array, inputs: Array = inputs) -> tuple[Array, None]:
            gradients = jnp.einsum("nsga,nsgb->ngab", inputs, one_output, precision="highest")
            return total + symmetric([gradients.reshape(num, -1)], []), None

        kernel, _ = jax.lax.scan(add_output, kernel, outer)
    return kernel


class _Parts(NamedTuple):
    """What one forward and backward pass leaves behind for one example."""

    contractions: Any  # for each explicit piece, the inputs and cotangents of its uses, as the network has them
    hadamard: Any  # pairs of inputs [S, a] (tokens [S] for a lookup) and cotangents [S, O, b]
    rows: Any  # explicit gradients [O, ...] of the other leaves


def _parts_of(
    uses: Uses, routes: Routes, leaves: list[Array], frozen: list[Array], basis: Any
) -> Callable[[Any], _Parts]:
    program = uses.program
    known = dict(zip(program.inputs, [*leaves, *frozen], strict=False))
    known = program.evaluate(known, uses.parameter_steps)
    weights_fn = _generic_weights(uses, routes, known)
    _, pull_back = jax.vjp(weights_fn, [leaves[leaf] for leaf in routes.generic])
    mixed = {piece.uses[0].step: mixing(piece.tail, program, known, basis) for piece in routes.pieces if piece.tail}

    def parts_of(example: Any) -> _Parts:
        data, cotangents = _capture(uses, known, jax.tree.leaves(example), basis)
        rows: list[Array] = []
        if routes.generic:
            weight_cotangents = _weight_cotangents(uses, routes, data, cotangents)
            rows = jax.vmap(lambda c: pull_back(c)[0])(weight_cotangents)
        for step, factors in mixed.items():
            (each,) = cotangents[step]
            cotangents[step] = [jnp.sum(factors * each, axis=0, keepdims=True)]
        return _Parts(
            [_of_uses(piece, data, cotangents) for piece in routes.explicit],
            [_hadamard_parts(piece, data, cotangents) for piece in routes.pieces if piece.hadamard],
            rows,
        )

    return parts_of


def _capture(uses: Uses, known: dict[int, Any], example: list[Array], basis: Any) -> tuple[dict, dict]:
    """Inputs of every use, and the derivative of each output direction with respect to every use's results.

    A zero probe is added to each result; the cotangent of the probe is that derivative.
    """
    program = uses.program
    by_step = {use.step: use for use in uses.uses}
    dependent = [
        (number, step)
        for number, step in enumerate(program.steps)
        if not all(slot in known for slot in step.outputs if slot is not None)
    ]
    start = {**known, **dict(zip(program.inputs[len(program.inputs) - len(example) :], example, strict=True))}

    def forward(probes: dict[int, list[Any]]) -> tuple[Array, dict[int, list[Any]]]:
        env, data = dict(start), {}
        for number, step in dependent:
            operands = [env[slot] for slot in step.inputs]
            results = list(step.call(*operands))
            if number in by_step:
                data[number] = operands
                results = _add_probes(step.outputs, results, probes[number])
            env.update((slot, value) for slot, value in zip(step.outputs, results, strict=True) if slot is not None)
        (output,) = (env[slot] for slot in program.outputs)
        return output, data

    probes = {
        number: [
            jnp.zeros(program.avals[slot].shape, program.avals[slot].dtype)
            for slot in _probed(uses, program.steps[number].outputs)
        ]
        for number in by_step
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


def _hadamard_parts(piece: Piece, data: dict, cotangents: dict) -> tuple[Array, Array]:
    """Inputs ``[S, a]`` (tokens ``[S]`` for a lookup) and cotangents ``[S, O, b]``."""
    inputs, outer = [], []
    for use in piece.uses:
        form = use.contraction
        assert form is not None
        rows = form.inputs(data[use.step][use.data])
        inputs.append(rows if form.is_lookup else rows[:, 0, :])
        outer.append(jax.vmap(form.cotangents, out_axes=1)(cotangents[use.step][0])[:, :, 0, :])
    left, right = jnp.concatenate(inputs), jnp.concatenate(outer)
    if left.ndim == 1:
        return left, _scaled(right, piece.scale)
    left = _scaled(left, piece.scale)
    constants = [jnp.full((left.shape[0], 1), scale, left.dtype) for _, scale in piece.biases]
    return jnp.concatenate([left, *constants], axis=1), right


def _of_uses(piece: Piece, data: dict, cotangents: dict) -> tuple[dict, dict]:
    """The captured values that one piece needs."""
    inputs = {use.step: {use.data: data[use.step][use.data]} for use in piece.uses}
    return inputs, {use.step: cotangents[use.step] for use in piece.uses}


def _gradients(piece: Piece, raw: tuple[dict, dict]) -> Array:
    """Explicit gradients ``[n, g, a, O, b]`` of a block, a few examples at a time so that windows stay in the cache."""
    num = jax.tree.leaves(raw)[0].shape[0]
    groups, a, _ = piece.shape
    window_bytes = piece.positions * groups * a * jax.tree.leaves(raw)[0].dtype.itemsize
    at_once = max(1, _window_bytes() // window_bytes)

    def one(raw: tuple[dict, dict]) -> Array:
        return _outer(*_contraction_parts(piece, *raw))

    if at_once >= num:
        return jax.vmap(one)(raw)
    return jax.lax.map(one, raw, batch_size=max(k for k in range(1, at_once + 1) if num % k == 0))


def _window_bytes() -> int:
    # On CPU about the second-level caches, the fastest of 0.5 to 8 MiB for ResNet-20; accelerators want large steps.
    return 2**20 if jax.default_backend() == "cpu" else 2**30


def _contraction_parts(piece: Piece, data: dict, cotangents: dict) -> tuple[Array, Array]:
    """Inputs ``[S, g, a]``, biases as further columns, and cotangents ``[O, S, g, b]``, one use after the other."""
    inputs, outer = [], []
    for use in piece.uses:
        assert use.contraction is not None
        inputs.append(use.contraction.inputs(data[use.step][use.data]))
        outer.append(_outer_cotangents(use, cotangents))
    left = _scaled(jnp.concatenate(inputs), piece.scale)
    constants = [jnp.full((*left.shape[:2], 1), scale, left.dtype) for _, scale in piece.biases]
    return jnp.concatenate([left, *constants], axis=2), jnp.concatenate(outer, axis=1)


def _outer_cotangents(use: Use, cotangents: dict) -> Array:
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


def _weight_cotangents(uses: Uses, routes: Routes, data: dict, cotangents: dict) -> list[Array]:
    """Derivative ``[O, *weight]`` with respect to each weight that depends on a generic leaf."""
    slots = _generic_slots(uses, routes)
    total: dict[int, Any] = dict.fromkeys(slots)
    for use in uses.uses:
        step = uses.program.steps[use.step]
        positions = [position for position in use.weights if step.inputs[position] in total]
        if not positions:
            continue
        form = use.contraction
        if form is not None and not form.is_lookup:
            gradient = _outer(form.inputs(data[use.step][use.data]), _outer_cotangents(use, cotangents))
            found = [jax.vmap(form.from_weight, in_axes=2)(gradient)]
        else:
            found = _step_cotangents(uses, use, positions, data[use.step], cotangents[use.step])
        for position, value in zip(positions, found, strict=True):
            slot = step.inputs[position]
            total[slot] = value if total[slot] is None else total[slot] + value
    return [total[slot] for slot in slots]


def _step_cotangents(uses: Uses, use: Use, positions: list[int], operands: list[Any], cotangents: list[Any]) -> list:
    """Differentiate one step with respect to its parameter operands."""
    step = uses.program.steps[use.step]
    probed = _probed(uses, step.outputs)

    def run(weights: list[Any]) -> list[Any]:
        values = list(operands)
        for position, weight in zip(positions, weights, strict=True):
            values[position] = weight
        results = dict(zip(step.outputs, step.call(*values), strict=True))
        return [results[slot] for slot in probed]

    _, pull_back = jax.vjp(run, [operands[position] for position in positions])
    return jax.vmap(lambda c: pull_back(c)[0])(cotangents)


def _side_by_side(rows: list[Array]) -> list[Array]:
    narrow = [row for row in rows if row.shape[-1] < _NARROW]
    wide = [row for row in rows if row.shape[-1] >= _NARROW]
    return [*wide, jnp.concatenate(narrow, axis=-1)] if narrow else wide
