"""A network, read once: its parameters split by the filter, and its program for one example."""

import contextlib
import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from verax._arrays import to_examples, to_tree
from verax._errors import check_function, fail
from verax._tree import leaf_paths
from verax._types import ApplyFn, PyTree

from ._coupling import check_examples_apart
from ._program import trace_program
from ._uses import Uses, find_uses

ParamFilter = Callable[[str, Any], bool]


@dataclasses.dataclass(frozen=True, eq=False)
class Network:
    """A function of parameters and one example, analysed; hashed by identity, so that it can be a static argument."""

    apply_one: Callable[[list[Array], list[Array], PyTree], Array]
    """``(leaves to differentiate, other leaves, example) -> outputs [O]``."""
    apply_batch: Callable[[list[Array], list[Array], PyTree], Array]
    """The user's function for several examples at once, ``[n, O]``."""
    selected: tuple[bool, ...]
    paths: tuple[str, ...]  # of the selected leaves
    output_shape: tuple[int, ...]
    output_dtype: np.dtype
    uses: Uses

    @property
    def num_outputs(self) -> int:
        """Size O of the flattened output of one example."""
        return math.prod(self.output_shape)

    def split(self, params: PyTree) -> tuple[list[Array], list[Array]]:
        """Leaves to differentiate and the others."""
        leaves = jax.tree.leaves(params)
        chosen = [leaf for leaf, keep in zip(leaves, self.selected, strict=True) if keep]
        return chosen, [leaf for leaf, keep in zip(leaves, self.selected, strict=True) if not keep]


class Arguments(NamedTuple):
    """Arguments that all functions of the package share, as JAX arrays."""

    network: Network
    leaves: list[Array]  # to differentiate
    frozen: list[Array]
    x: PyTree
    num: int  # examples


def read_network(
    apply_fn: ApplyFn, params: PyTree, x: PyTree, *, param_filter: ParamFilter | None = None, argument: str = "x1"
) -> Arguments:
    """Check the arguments that all functions share; analyse the network, once for each set of shapes."""
    check_function("apply_fn", apply_fn, "a function apply_fn(params, x) -> [n, ...]")
    if param_filter is not None:
        check_function("param_filter", param_filter, "a function param_filter(path, leaf) -> bool")
    params, selected, paths = read_params(params, param_filter)
    x, num = to_examples(argument, x)
    leaves, treedef = jax.tree.flatten(params)
    network = _analyse(
        _Hashable(apply_fn),
        treedef,
        tuple(_spec(leaf) for leaf in leaves),
        selected,
        paths,
        *_example_spec(x),
        argument,
    )
    check_examples_apart(network, params, x, argument)
    return Arguments(network, *network.split(params), x, num)


def read_params(params: PyTree, param_filter: ParamFilter | None) -> tuple[PyTree, tuple[bool, ...], tuple[str, ...]]:
    """Parameters as JAX arrays, whether each leaf is selected, and all paths."""
    params = to_tree("params", params)
    leaves, paths = jax.tree.leaves(params), leaf_paths(params)
    selected = tuple(param_filter is None or bool(param_filter(p, leaf)) for p, leaf in zip(paths, leaves, strict=True))
    if not any(selected):
        fail("params", "no leaf selected", "at least one parameter array; see param_filter")
    for path, leaf, keep in zip(paths, leaves, selected, strict=True):
        if keep and not jnp.issubdtype(leaf.dtype, jnp.floating):
            fail(
                f"params[{path!r}]",
                f"dtype {leaf.dtype}",
                "a real floating-point array; exclude the leaf with param_filter or close over it in apply_fn",
            )
    return params, selected, tuple(paths)


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


Spec: TypeAlias = tuple[tuple[int, ...], Any]  # shape and dtype, NumPy's or one of JAX's extended dtypes


def _spec(leaf: Array) -> Spec:
    return tuple(leaf.shape), leaf.dtype


def _example_spec(x: PyTree) -> tuple[Any, tuple[Spec, ...]]:
    leaves, treedef = jax.tree.flatten(x)
    return treedef, tuple((tuple(leaf.shape[1:]), leaf.dtype) for leaf in leaves)


@functools.lru_cache(maxsize=64)
def _analyse(
    apply_fn: _Hashable,
    treedef: Any,
    specs: tuple[Spec, ...],
    selected: tuple[bool, ...],
    paths: tuple[str, ...],
    x_tree: Any,
    x_specs: tuple[Spec, ...],
    argument: str,
) -> Network:
    fn = apply_fn.fn
    example = jax.tree.unflatten(x_tree, [jax.ShapeDtypeStruct(*spec) for spec in x_specs])
    structs = [jax.ShapeDtypeStruct(*spec) for spec in specs]
    chosen = [s for s, keep in zip(structs, selected, strict=True) if keep]
    frozen = [s for s, keep in zip(structs, selected, strict=True) if not keep]
    out = _output_spec(fn, jax.tree.unflatten(treedef, structs), example, argument)
    if not hasattr(out, "shape"):
        fail("apply_fn", f"an output of type {type(out).__name__}", "one array [n, ...]")
    if out.ndim == 0 or out.shape[0] != 2:
        fail("apply_fn", f"an output of shape {out.shape} for 2 examples", "one row per example, [n, ...]")
    if not jnp.issubdtype(out.dtype, jnp.floating):
        fail("apply_fn", f"an output of dtype {out.dtype}", "a real floating-point output")
    if 0 in out.shape:
        fail("apply_fn", f"an output of shape {out.shape} for 2 examples", "at least one output per example")

    def apply_batch(chosen: list[Array], frozen: list[Array], block: PyTree) -> Array:
        out = fn(_merge(treedef, selected, chosen, frozen), block)
        return out.reshape(out.shape[0], -1)

    def apply_one(chosen: list[Array], frozen: list[Array], example: PyTree) -> Array:
        return apply_batch(chosen, frozen, jax.tree.map(lambda leaf: leaf[None], example)).reshape(-1)

    with jax.default_matmul_precision("highest"):
        program = trace_program(apply_one, chosen, frozen, example)
    return Network(
        apply_one=apply_one,
        apply_batch=apply_batch,
        selected=selected,
        paths=tuple(path for path, keep in zip(paths, selected, strict=True) if keep),
        output_shape=tuple(out.shape[1:]),
        output_dtype=out.dtype,
        uses=find_uses(program, len(chosen), len(frozen)),
    )


def _merge(treedef: Any, selected: Sequence[bool], chosen: Sequence[Any], frozen: Sequence[Any]) -> PyTree:
    pick, rest = iter(chosen), iter(frozen)
    return jax.tree.unflatten(treedef, [next(pick) if keep else next(rest) for keep in selected])


def _output_spec(fn: ApplyFn, params: PyTree, example: PyTree, argument: str) -> Any:
    """Shape and dtype of the output for two examples."""
    batch = jax.tree.map(lambda s: jax.ShapeDtypeStruct((2, *s.shape), s.dtype), example)
    shapes = [leaf.shape for leaf in jax.tree.leaves(batch)]
    with naming_function("apply_fn", argument, shapes):
        return jax.eval_shape(fn, params, batch)


@contextlib.contextmanager
def naming_function(name: str, argument: str, shapes: Sequence[tuple[int, ...]]) -> Iterator[None]:
    """Turn an exception out of the user's function into a house error that names it."""
    try:
        yield
    except Exception as error:
        if isinstance(error, ValueError) and "; need " in str(error):  # from a function of this library
            raise
        first = (str(error).strip().splitlines() or [""])[0][:200]
        raise ValueError(
            f"{name}: got {type(error).__name__} ({first}) from {name}(params, {argument}) with arrays of shapes "
            f"{list(shapes[:3])}; need a function that JAX can trace, and arguments in their order: {name}, params, "
            f"{argument}"
        ) from error
