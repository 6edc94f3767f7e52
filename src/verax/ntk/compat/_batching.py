"""Where neural-tangents' users keep their examples: any axis of inputs, outputs and keyword arguments."""

from collections.abc import Callable, Hashable, Mapping
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from verax._arrays import to_examples, to_key, to_tree
from verax._errors import fail
from verax._types import ApplyFn, PyTree
from verax.ntk._network import naming_function

VmapAxes: TypeAlias = int | tuple[PyTree, PyTree, Mapping[str, int | None]] | None


class Batch(NamedTuple):
    """Inputs and keyword arguments, examples along axis 0; what all examples share is repeated."""

    x: PyTree
    kwargs: dict[str, PyTree]


class Batching:
    """Moves examples to axis 0 before, and the outputs' examples back within, the user's function."""

    def __init__(self, f: Callable[..., PyTree], vmap_axes: VmapAxes) -> None:
        self.f = f
        axes = (
            (vmap_axes, vmap_axes, {}) if isinstance(vmap_axes, int) else (0, 0, {}) if vmap_axes is None else vmap_axes
        )
        shaped = isinstance(axes, tuple) and len(axes) == 3 and isinstance(axes[2], Mapping)
        if isinstance(vmap_axes, bool) or not shaped or not all(_is_axis(axis) for axis in _leaves(axes)):
            fail("vmap_axes", repr(vmap_axes), "None, an integer, or (in_axes, out_axes, kwargs_axes)")
        self.in_axes, self.out_axes, self.kwargs_axes = axes
        # One function object for each set of options and each output, since compiled kernels are remembered by it.
        self._functions: dict[Hashable, Any] = {}

    def batches(
        self, x1: PyTree, x2: PyTree | None, kwargs: Mapping[str, object]
    ) -> tuple[Callable[[PyTree, Batch], PyTree], Batch, Batch | None]:
        """The user's function on batches, and the batches."""
        first, second = _split(kwargs, same=x2 is None)
        options1, arrays1 = _sorted_out(first)
        options2, arrays2 = _sorted_out(second)
        if options1 != options2:
            fail("kwargs", f"{options1} for x1 and {options2} for x2", "options that are the same for both")
        if self.in_axes == 0:  # nested lists of numbers are arrays too
            x1, x2 = to_examples("x1", x1)[0], None if x2 is None else to_examples("x2", x2)[0]
        batch1 = self._batch("x1", to_tree("x1", x1), arrays1)
        shared = x2 is None and all(first[name] is second[name] for name in first)
        batch2 = None if shared else self._batch("x2", to_tree("x2", x1 if x2 is None else x2), arrays2)
        return self._function(options1), batch1, batch2

    def _batch(self, argument: str, x: PyTree, kwargs: Mapping[str, PyTree]) -> Batch:
        axes = _checked(argument, self.in_axes, x)
        for name in sorted(kwargs):
            axes += _checked(name, self.kwargs_axes.get(name), kwargs[name])
        leaves, structure = jax.tree.flatten(Batch(x, dict(kwargs)))
        sizes = {leaf.shape[axis] for leaf, axis in zip(leaves, axes, strict=True) if axis is not None}
        if len(sizes) != 1:
            fail(argument, f"{sorted(sizes)} examples along the axes of vmap_axes", "one number of examples")
        (num,) = sizes
        moved = [
            jnp.broadcast_to(leaf[None], (num, *leaf.shape)) if axis is None else _move(leaf, axis, 0)
            for leaf, axis in zip(leaves, axes, strict=True)
        ]
        return jax.tree.unflatten(structure, moved)

    def _function(self, options: dict[str, object]) -> Callable[[PyTree, Batch], PyTree]:
        def apply_fn(params: PyTree, batch: Batch) -> PyTree:
            def placed(value: PyTree, axes: PyTree) -> PyTree:
                leaves, structure = jax.tree.flatten(value)
                found = _like(axes, leaves)
                moved = [
                    leaf[0] if axis is None else _move(leaf, 0, axis) for leaf, axis in zip(leaves, found, strict=True)
                ]
                return jax.tree.unflatten(structure, moved)

            arrays = {name: placed(value, self.kwargs_axes.get(name)) for name, value in batch.kwargs.items()}
            return self.f(params, placed(batch.x, self.in_axes), **arrays, **options)

        return self._functions.setdefault(tuple(sorted(options.items())), apply_fn)

    def output(self, apply_fn: Callable[[PyTree, Batch], PyTree], params: PyTree, batch: Batch) -> PyTree:
        """Shapes of the outputs for a batch."""
        with naming_function("f", "x", [leaf.shape for leaf in jax.tree.leaves(batch)]):
            return jax.eval_shape(apply_fn, params, batch)

    def output_axes(self, structure: Any) -> list[int]:
        """The axis of the examples in each output."""
        if isinstance(self.out_axes, int):
            return [self.out_axes] * structure.num_leaves
        axes = jax.tree.leaves(self.out_axes)
        if len(axes) != structure.num_leaves or not all(isinstance(axis, int) for axis in axes):
            fail("vmap_axes", f"out_axes {self.out_axes}", f"an integer for each of {structure.num_leaves} outputs")
        return axes

    def part(self, apply_fn: Callable[[PyTree, Batch], PyTree], number: int, axis: int) -> ApplyFn:
        """One output, examples along axis 0."""

        def one(params: PyTree, batch: Batch) -> Array:
            return _move(jax.tree.leaves(apply_fn(params, batch))[number], axis, 0)

        return self._functions.setdefault((id(apply_fn), number), one)


def _is_axis(axis: object) -> bool:
    return axis is None or (isinstance(axis, int) and not isinstance(axis, bool))


def _leaves(tree: PyTree) -> list[Any]:
    return jax.tree.leaves(tree, is_leaf=lambda node: node is None)


def _like(axes: PyTree, leaves: list[Array]) -> list[int | None]:
    """The axis of each leaf: ``axes`` is one axis for all, or a pytree of them."""
    return [axes] * len(leaves) if _is_axis(axes) else _leaves(axes)


def _checked(argument: str, axes: PyTree, value: PyTree) -> list[int | None]:
    leaves = jax.tree.leaves(value)
    found = _like(axes, leaves)
    if len(found) != len(leaves):
        fail("vmap_axes", f"{len(found)} axes", f"one for each of the {len(leaves)} arrays of {argument}")
    for leaf, axis in zip(leaves, found, strict=True):
        if axis is not None and not -leaf.ndim <= axis < leaf.ndim:
            fail(argument, f"an array of shape {leaf.shape}", f"one with the axis {axis} of examples (vmap_axes)")
    return found


def _move(leaf: Array, source: int, destination: int) -> Array:
    return leaf if source == destination else jnp.moveaxis(leaf, source, destination)


def _split(kwargs: Mapping[str, object], *, same: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """Keyword arguments for ``x1`` and for ``x2``."""
    first, second = dict(kwargs), dict(kwargs)
    for name, value in kwargs.items():
        if name == "rng" and not same and value is not None:
            first[name], second[name] = jax.random.split(to_key(name, value))
        elif isinstance(value, tuple) and len(value) == 2:
            first[name], second[name] = value
    return first, second


def _sorted_out(kwargs: Mapping[str, Any]) -> tuple[dict[str, object], dict[str, PyTree]]:
    """Options, which are constants of the program, and arrays."""
    options: dict[str, object] = {
        name: value
        for name, value in kwargs.items()
        if value is None or isinstance(value, bool | int | float | str | bytes) or callable(value)
    }
    arrays = {
        name: to_tree(name, value if not isinstance(value, np.generic) else np.asarray(value))
        for name, value in sorted(kwargs.items())
        if name not in options
    }
    return options, arrays
