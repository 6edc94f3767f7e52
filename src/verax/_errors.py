"""Argument checks that all packages share: a ``ValueError`` names the argument, what came and what is needed."""

from collections.abc import Collection
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np


def fail(argument: str, got: object, need: str) -> NoReturn:
    """Raise the ``ValueError`` that every check of arguments raises."""
    raise ValueError(f"{argument}: got {got}; need {need}")


def check(condition: bool | np.bool_, argument: str, got: object, need: str) -> None:
    """Raise unless the condition holds."""
    if not condition:
        fail(argument, got, need)


def check_option(argument: str, value: object, allowed: Collection[str]) -> None:
    """Raise unless ``value`` is one of the allowed names."""
    if not isinstance(value, str) or value not in allowed:
        fail(argument, repr(value), "one of " + ", ".join(repr(name) for name in allowed))


def check_function(argument: str, value: object, need: str) -> None:
    """Raise unless ``value`` is a function; ``need`` says how it is called: "a function apply_fn(params, x) -> [n]"."""
    libraries = {base.__module__.partition(".")[0] for base in type(value).__mro__}
    if libraries & {"torch", "flax"}:
        remedy = f"{need}, as verax.ntk.from_nnx, from_linen and from_torch make"
        fail(argument, f"a model ({type(value).__name__})", remedy)
    check(callable(value), argument, type(value).__name__, need)


def check_integer(argument: str, value: object, *, minimum: int) -> None:
    """Raise unless ``value`` is a Python or NumPy integer of at least ``minimum``."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < minimum:
        fail(argument, repr(value), f"an integer >= {minimum}")


def is_traced(x: object) -> bool:
    """Whether any leaf of ``x`` is an abstract value inside a JAX transformation: its entries cannot be read."""
    return any(_leaf_is_traced(leaf) for leaf in jax.tree.leaves(x))


def _leaf_is_traced(leaf: Any) -> bool:
    if not isinstance(leaf, jax.Array):
        return False
    try:
        leaf.is_deleted()  # a concrete array answers; a tracer has no buffer to ask about
    except (AttributeError, jax.errors.JAXTypeError):
        return True
    return False


def check_finite(argument: str, x: Any) -> None:
    """Raise if a concrete array leaf holds NaN or infinity; traced values pass, since they cannot be read."""
    for leaf in jax.tree.leaves(x):
        if is_traced(leaf):
            continue
        array = leaf if isinstance(leaf, jax.Array) else np.asarray(leaf)
        if jnp.issubdtype(array.dtype, jnp.inexact):
            refuse_non_finite(argument, array)


def refuse_non_finite(argument: str, array: Any) -> None:
    """Raise if a concrete array of floats holds NaN or infinity, with the place of the first."""
    with jax.ensure_compile_time_eval():  # a concrete array that a function under `jit` closes over can be read too
        on_host = not isinstance(array, jax.Array) or all(device.platform == "cpu" for device in array.devices())
        finite = np.isfinite(np.asarray(array)) if on_host else jnp.isfinite(array)
        if bool(finite.all()):
            return
        places = np.argwhere(~np.asarray(finite))
    first = f" (the first at {places[0].tolist()})" if places.shape[1] else ""
    fail(argument, f"{len(places)} non-finite entries of {array.size}{first}", "finite values")


def check_floating(argument: str, x: Any) -> None:
    """Raise unless the array holds real floating-point numbers."""
    if not jnp.issubdtype(x.dtype, jnp.floating):
        fail(argument, f"dtype {x.dtype}", "a real floating-point dtype")
