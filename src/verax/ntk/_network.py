"""A network, read once: its parameters split by the filter, its program for one example, its output directions."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from verax._errors import check_finite, fail, is_traced
from verax._tree import leading_size, leaf_paths
from verax._types import ApplyFn, PyTree

from ._program import trace_program
from ._uses import Uses, find_uses

ParamFilter = Callable[[str, Any], bool]


@dataclasses.dataclass(frozen=True, eq=False)
class Network:
    """What can be known of ``apply_fn`` from shapes; hashed by identity, so that it can be a static argument."""

    apply_fn: ApplyFn
    treedef: Any
    selected: tuple[bool, ...]
    paths: tuple[str, ...]  # of the selected leaves
    output_shape: tuple[int, ...]
    output_dtype: Any
    uses: Uses

    @property
    def num_outputs(self) -> int:
        """Size O of the flattened output of one example."""
        return int(np.prod(self.output_shape))

    def split(self, params: PyTree) -> tuple[list[Array], list[Array]]:
        """Leaves to differentiate and the others, those of NumPy as JAX arrays."""
        leaves = [jnp.asarray(leaf) if isinstance(leaf, np.ndarray) else leaf for leaf in jax.tree.leaves(params)]
        chosen = [leaf for leaf, keep in zip(leaves, self.selected, strict=True) if keep]
        return chosen, [leaf for leaf, keep in zip(leaves, self.selected, strict=True) if not keep]

    def apply_one(self, leaves: Sequence[Array], frozen: Sequence[Array], example: Any) -> Array:
        """Flattened output ``[O]`` of one example."""
        params = _merge(self.treedef, self.selected, leaves, frozen)
        return _apply_one(self.apply_fn, params, example)


class Directions(NamedTuple):
    """The output directions that a kernel is made of: rows of ``basis``, summed over or kept in pairs."""

    kind: str | int
    num: int
    full: bool

    def basis(self, network: Network) -> Array:
        """Cotangents, shape [O, num_outputs]."""
        total, dtype = network.num_outputs, network.output_dtype
        if self.kind == "sum":
            return jnp.ones((1, total), dtype)
        if isinstance(self.kind, int):
            return jnp.zeros((1, total), dtype).at[0, self.kind].set(1)
        return jnp.eye(total, dtype=dtype)

    def finish(self, kernel: Array) -> Array:
        """Apply the scale that the kind asks for."""
        return kernel / jnp.asarray(self.num, kernel.dtype) if self.kind == "mean" else kernel


_KINDS = ("trace", "mean", "full", "sum")


def directions(output: str | int, network: Network) -> Directions:
    """Read the ``output`` option of the public functions."""
    total = network.num_outputs
    if isinstance(output, bool) or not isinstance(output, str | int | np.integer):
        fail("output", repr(output), "'trace', 'mean', 'full', 'sum' or the index of one output")
    if isinstance(output, str):
        if output not in _KINDS:
            fail("output", repr(output), "'trace', 'mean', 'full', 'sum' or the index of one output")
        return Directions(output, 1 if output == "sum" else total, output == "full")
    if not -total <= output < total:
        fail("output", output, f"an index below the {total} outputs")
    return Directions(int(output) % total, 1, full=False)


def read_network(
    apply_fn: ApplyFn, params: PyTree, x: PyTree, *, param_filter: ParamFilter | None = None, argument: str = "x1"
) -> Network:
    """Check the arguments that all functions of the room share; analyse the network, once for each set of shapes."""
    if not callable(apply_fn):
        fail("apply_fn", type(apply_fn).__name__, "a function apply_fn(params, x) -> [n, ...]")
    num = check_examples(argument, x)
    leaves, treedef = jax.tree.flatten(params)
    paths = leaf_paths(params)
    selected = tuple(param_filter is None or bool(param_filter(p, leaf)) for p, leaf in zip(paths, leaves, strict=True))
    if not any(selected):
        fail("params", "no leaf selected", "at least one parameter array; see param_filter")
    for path, leaf, keep in zip(paths, leaves, selected, strict=True):
        if keep and not jnp.issubdtype(
            jnp.asarray(leaf).dtype if not hasattr(leaf, "dtype") else leaf.dtype, jnp.floating
        ):
            fail(
                f"params[{path!r}]",
                f"dtype {getattr(leaf, 'dtype', type(leaf).__name__)}",
                "a real floating-point array; exclude the leaf with param_filter or close over it in apply_fn",
            )
    check_finite("params", params)
    network = _analyse(
        _Hashable(apply_fn), treedef, tuple(_spec(leaf) for leaf in leaves), selected, tuple(paths), *_example_spec(x)
    )
    _check_examples_apart(network, params, x, num)
    return network


def check_examples(argument: str, x: PyTree) -> int:
    """Refuse an empty or non-finite set of examples; its size."""
    num = leading_size(x, argument)
    if num == 0:
        fail(argument, "no examples", "at least one example along the leading axis")
    check_finite(argument, x)
    return num


class _Hashable:
    """Key of a function: its own equality where it has one (bound methods), its identity otherwise."""

    def __init__(self, fn: ApplyFn):
        self.fn = fn
        try:
            hash(fn)
            self.key: Any = fn
        except TypeError:
            self.key = id(fn)

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Hashable) and self.key == other.key


def _spec(leaf: Any) -> tuple[tuple[int, ...], Any]:
    return tuple(np.shape(leaf)), jnp.result_type(leaf)


def _example_spec(x: PyTree) -> tuple[Any, tuple[tuple[tuple[int, ...], Any], ...]]:
    leaves, treedef = jax.tree.flatten(x)
    return treedef, tuple((tuple(leaf.shape[1:]), jnp.result_type(leaf)) for leaf in leaves)


@functools.lru_cache(maxsize=64)
def _analyse(
    apply_fn: _Hashable,
    treedef: Any,
    specs: Any,
    selected: tuple[bool, ...],
    paths: tuple[str, ...],
    x_tree: Any,
    x_specs: Any,
) -> Network:
    fn = apply_fn.fn
    example = jax.tree.unflatten(x_tree, [jax.ShapeDtypeStruct(*spec) for spec in x_specs])
    structs = [jax.ShapeDtypeStruct(*spec) for spec in specs]
    chosen = [s for s, keep in zip(structs, selected, strict=True) if keep]
    frozen = [s for s, keep in zip(structs, selected, strict=True) if not keep]
    params = jax.tree.unflatten(treedef, structs)
    batch = jax.tree.map(lambda s: jax.ShapeDtypeStruct((2, *s.shape), s.dtype), example)
    out = jax.eval_shape(fn, params, batch)
    if not hasattr(out, "shape"):
        fail("apply_fn", f"an output of type {type(out).__name__}", "one array [n, ...]")
    if out.ndim == 0 or out.shape[0] != 2:
        fail("apply_fn", f"an output of shape {out.shape} for 2 examples", "one row an example, [n, ...]")
    if not jnp.issubdtype(out.dtype, jnp.floating):
        fail("apply_fn", f"an output of dtype {out.dtype}", "a real floating-point output")

    def one(chosen: list[Array], frozen: list[Array], example: Any) -> Array:
        return _apply_one(fn, _merge(treedef, selected, chosen, frozen), example)

    with jax.default_matmul_precision("highest"):
        program = trace_program(one, chosen, frozen, example)
    return Network(
        apply_fn=fn,
        treedef=treedef,
        selected=selected,
        paths=tuple(path for path, keep in zip(paths, selected, strict=True) if keep),
        output_shape=tuple(out.shape[1:]),
        output_dtype=out.dtype,
        uses=find_uses(program, len(chosen), len(frozen)),
    )


def _apply_one(apply_fn: ApplyFn, params: PyTree, example: Any) -> Array:
    return apply_fn(params, jax.tree.map(lambda leaf: leaf[None], example)).reshape(-1)


def _merge(treedef: Any, selected: Sequence[bool], chosen: Sequence[Any], frozen: Sequence[Any]) -> PyTree:
    pick, rest = iter(chosen), iter(frozen)
    return jax.tree.unflatten(treedef, [next(pick) if keep else next(rest) for keep in selected])


def _check_examples_apart(network: Network, params: PyTree, x: PyTree, num: int) -> None:
    """Refuse a network in which one example's output depends on the others (batch normalisation in training mode)."""
    if is_traced((params, x)):
        return
    first = jax.tree.leaves(x)[0]
    candidates = np.asarray(first[: min(num, 64)]).reshape(min(num, 64), -1).astype(np.float64)
    other = int(np.argmax(((candidates - candidates[0]) ** 2).sum(1)))
    with jax.ensure_compile_time_eval():  # concrete values stay concrete inside somebody else's trace
        pair = jax.tree.map(lambda leaf: jnp.stack([leaf[0], leaf[other] if other else jnp.zeros_like(leaf[0])]), x)
        together, apart = _together_and_apart(network, *network.split(params), pair)
        gap, scale = float(jnp.abs(together - apart).max()), float(jnp.abs(apart).max())
    tolerance = 10 * float(jnp.finfo(together.dtype).eps) ** 0.5
    if gap > tolerance * scale:
        fail(
            "apply_fn",
            f"an output that changes by {gap:.2g} (of {scale:.2g}) when another example joins the batch",
            "an evaluation mode that treats examples separately, such as batch normalisation with frozen statistics",
        )


@functools.partial(jax.jit, static_argnames=("network",))
def _together_and_apart(network: Network, leaves: list[Array], frozen: list[Array], pair: Any) -> tuple[Array, Array]:
    params = _merge(network.treedef, network.selected, leaves, frozen)
    with jax.default_matmul_precision("highest"):
        together = network.apply_fn(params, pair).reshape(2, -1)
        apart = jax.vmap(lambda example: network.apply_one(leaves, frozen, example))(pair)
    return together, apart
