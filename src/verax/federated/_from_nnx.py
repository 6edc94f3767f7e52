"""Flax networks with everything that training changes; flax is imported only when this is called."""

import inspect
from typing import TYPE_CHECKING, Any, cast

import jax
import jax.numpy as jnp

from verax._errors import fail
from verax._extras import extra
from verax._types import ApplyFn, PyTree

from ._state import Variables

if TYPE_CHECKING:
    from collections.abc import Callable

    from flax import nnx

# Arguments by which a flax module's __call__ conventionally asks for training.
_MODES = {
    "train": True,
    "training": True,
    "is_training": True,
    "deterministic": False,
    "use_running_average": False,
}


def from_nnx(model: "nnx.Module") -> "tuple[Callable[..., Any], ApplyFn, Variables]":
    """Split a flax nnx module into its training mode, its evaluation mode, and its variables.

    Parameters
    ----------
    model : nnx.Module
        Called as ``model(x)``; arguments of ``__call__`` named ``train``, ``training``, ``is_training``,
        ``deterministic`` or ``use_running_average`` are given their value. The model itself is left as it is.

    Returns
    -------
    train_fn : callable
        ``train_fn(params, state, x, *, key) -> (outputs, new state)``: dropout drawn by the key, running statistics
        updated.
    apply_fn : callable
        ``apply_fn(variables, x) -> outputs`` in evaluation mode, for `evaluator` and `tct`.
    variables : Variables
        Parameters, the arrays of all ``nnx.Param``; and state, all other arrays but random streams.

    Raises
    ------
    ValueError
        If ``model`` is not an ``nnx.Module`` or has no ``nnx.Param``.

    Examples
    --------
    >>> import jax, jax.numpy as jnp, optax
    >>> from flax import nnx
    >>> from verax.federated import ClientData, fedavg, from_nnx, run
    >>> rngs = nnx.Rngs(0)
    >>> model = nnx.Sequential(nnx.Linear(3, 4, rngs=rngs), nnx.BatchNorm(4, rngs=rngs), nnx.Linear(4, 2, rngs=rngs))
    >>> train_fn, apply_fn, variables = from_nnx(model)
    >>> def loss_fn(params, state, x, y, *, key):
    ...     logits, state = train_fn(params, state, x, key=key)
    ...     return optax.softmax_cross_entropy_with_integer_labels(logits, y), state
    >>> clients = ClientData(jnp.ones((2, 4, 3)), jnp.zeros((2, 4), int), jnp.ones((2, 4), bool))
    >>> algorithm = fedavg(loss_fn, learning_rate=0.1, state="average")
    >>> variables, history = run(algorithm, variables, clients, rounds=2, key=jax.random.key(0))
    >>> apply_fn(variables, clients.x[0]).shape, history.status.tolist()
    ((4, 2), [0, 0])
    """
    with extra("flax"):
        from flax import nnx

    if not isinstance(model, nnx.Module):
        fail("model", type(model).__name__, "a flax.nnx.Module")
    graph, params, streams, state = nnx.split(nnx.clone(model), nnx.Param, nnx.RngState, ...)
    if not jax.tree.leaves(params):
        fail("model", f"a {type(model).__name__} without nnx.Param", "a module with parameters")
    pure = [nnx.to_pure_dict(part) for part in (params, state)]
    structures = [jax.tree.structure(part) for part in (params, state)]
    named = inspect.signature(type(model).__call__).parameters
    options = {name: value for name, value in _MODES.items() if name in named}

    def merged(parts: tuple[PyTree, PyTree], streams: Any) -> "nnx.Module":
        # Entries are sorted by name in pure dictionaries and in nnx's own states.
        filled = [jax.tree.unflatten(to, jax.tree.leaves(part)) for to, part in zip(structures, parts, strict=True)]
        return nnx.merge(graph, filled[0], streams, filled[1])

    def train_fn(params: PyTree, state: PyTree, x: Any, *, key: jax.Array) -> tuple[Any, PyTree]:
        leaves, structure = jax.tree.flatten(streams)
        drawn = [
            jax.random.fold_in(key, place) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else jnp.zeros_like(leaf)
            for place, leaf in enumerate(leaves)
        ]
        module = merged((params, state), jax.tree.unflatten(structure, drawn))
        module.train()
        outputs = module(x, **options)
        return outputs, nnx.to_pure_dict(cast(nnx.State, nnx.split(module, nnx.Param, nnx.RngState, ...)[3]))

    def apply_fn(variables: Variables, x: Any) -> Any:
        module = merged((variables.params, variables.state), streams)
        module.eval()
        return module(x, **{name: not value for name, value in options.items()})

    return train_fn, apply_fn, Variables(*pure)
