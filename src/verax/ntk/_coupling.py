"""Refusal of networks in which one example's output depends on the others, such as batch norm in training mode."""

import functools
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from verax._errors import fail, is_traced
from verax._types import PyTree

if TYPE_CHECKING:
    from ._network import Network

# Examples among which the probe looks for the one least like the first.
_CANDIDATES = 64


def check_examples_apart(network: "Network", params: PyTree, x: PyTree, argument: str) -> None:
    """Compare the outputs of two examples together with those of each alone; concrete values only.

    The two are the first example and the one least like it in all leaves. Where all examples are alike, the derivative
    of the first output with respect to the second example is compared with zero.
    """
    if is_traced((params, x)):
        return
    with jax.ensure_compile_time_eval():  # concrete values stay concrete inside somebody else's trace
        other = _least_alike(x)
        pair = jax.tree.map(lambda leaf: _rows(leaf, [0, other]), x)
        leaves, frozen = network.split(params)
        if other:
            together, apart = (
                np.asarray(out, np.float64) for out in _together_and_apart(network, leaves, frozen, pair)
            )
            difference, scale = _gap(together, apart), np.abs(apart[np.isfinite(apart)]).max(initial=0.0)
        else:
            difference, scale = _influence(network, leaves, frozen, pair)
    tolerance = 10 * float(jnp.finfo(network.output_dtype).eps) ** 0.5
    if not (difference <= tolerance * scale):
        fail(
            "apply_fn",
            f"an output that changes by {difference:.2g} (of {scale:.2g}) when another example of {argument} joins the "
            "batch",
            "an evaluation mode that treats examples separately, such as batch normalisation with frozen statistics",
        )


def _rows(leaf: Array, places: list[int]) -> Array | np.ndarray:
    """Some examples; of numbers through NumPy, which compiles nothing."""
    is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return leaf[np.array(places)] if is_key else np.asarray(leaf)[places]


def _least_alike(x: PyTree) -> int:
    """The example whose entries differ most from those of the first; 0 if none differs."""
    total = 0.0
    for leaf in jax.tree.leaves(x):
        rows = jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf
        rows = np.asarray(rows[:_CANDIDATES]).astype(np.float64).reshape(min(len(rows), _CANDIDATES), -1)
        rows = rows / max(np.abs(rows).max(initial=0.0), np.finfo(np.float64).tiny)
        total = total + (np.abs(rows - rows[:1]).mean(1) if rows.size else 0.0)
    return int(np.argmax(total))


def _gap(together: np.ndarray, apart: np.ndarray) -> float:
    """Largest difference; NaN where only one of the two is a number. Equal infinities and two NaN do not differ."""
    same = (together == apart) | (np.isnan(together) & np.isnan(apart))
    with np.errstate(invalid="ignore"):
        return float(np.abs(together[~same] - apart[~same]).max(initial=0.0))


@functools.partial(jax.jit, static_argnames=("network",))
def _together_and_apart(
    network: "Network", leaves: list[Array], frozen: list[Array], pair: PyTree
) -> tuple[Array, Array]:
    with jax.default_matmul_precision("highest"):
        together = network.apply_batch(leaves, frozen, pair)
        apart = jax.vmap(lambda example: network.apply_one(leaves, frozen, example))(pair)
    return together, apart


def _influence(network: "Network", leaves: list[Array], frozen: list[Array], pair: PyTree) -> tuple[float, float]:
    """Largest derivative of the first example's output by the second example, and by the first, as products."""
    moved, structure = jax.tree.flatten(pair)
    numbers = [index for index, leaf in enumerate(moved) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    if not numbers:
        return 0.0, 0.0

    @jax.jit
    def derivatives(leaves: list[Array], frozen: list[Array], moved: list[Array]) -> list[Array]:
        def first(values: list[Array]) -> Array:
            full = list(moved)
            for index, value in zip(numbers, values, strict=True):
                full[index] = value
            return network.apply_batch(leaves, frozen, jax.tree.unflatten(structure, full))[0]

        with jax.default_matmul_precision("highest"):
            out, pull_back = jax.vjp(first, [moved[index] for index in numbers])
            weights = 1 + jnp.arange(out.size, dtype=jnp.int32).astype(out.dtype) / out.size
            return pull_back(weights)[0]

    try:
        found = [np.asarray(each, np.float64) for each in derivatives(leaves, frozen, moved)]
    except (NotImplementedError, TypeError, ValueError):  # not differentiable by its examples: nothing to compare
        return 0.0, 0.0
    # Where the first example's own derivative is not finite, a vanishing one of the second shows as NaN.
    seen = [np.abs(each[:, np.isfinite(each[0])]) for each in found]
    return max(each[1].max(initial=0.0) for each in seen), max(each[0].max(initial=0.0) for each in seen)
