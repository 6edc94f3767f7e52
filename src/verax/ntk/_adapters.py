"""Flax modules as ``(apply_fn, params)``; flax is imported only when one of these is called."""

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax

from verax._errors import fail
from verax._extras import extra
from verax._frozen_state import tell
from verax._tree import leaf_paths
from verax._types import ApplyFn, PyTree

if TYPE_CHECKING:
    from flax import linen, nnx

# Arguments by which a flax module's __call__ conventionally asks for evaluation.
_EVALUATION = {
    "train": False,
    "training": False,
    "is_training": False,
    "deterministic": True,
    "use_running_average": True,
}


def from_nnx(model: "nnx.Module") -> tuple[ApplyFn, PyTree]:
    """Split a flax nnx module into ``(apply_fn, params)``, in evaluation mode.

    Parameters
    ----------
    model : nnx.Module
        Called as ``model(x)``; arguments of ``__call__`` named ``train``, ``training``, ``is_training``,
        ``deterministic`` or ``use_running_average`` are given their value for evaluation. The model is copied, and
        itself left as it is.

    Returns
    -------
    apply_fn : callable
        ``apply_fn(params, x)``. Dropout is off; running statistics are closed over.
    params : nested dict
        The arrays of all ``nnx.Param``, for example ``params["layers"][0]["kernel"]``. A shared ``nnx.Param`` is one
        leaf.

    Raises
    ------
    ValueError
        If ``model`` is not an ``nnx.Module`` or has no ``nnx.Param``; from ``apply_fn``, if ``params`` has another
        structure.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> from verax.ntk import empirical_ntk, from_nnx
    >>> apply_fn, params = from_nnx(nnx.Linear(3, 2, rngs=nnx.Rngs(0)))
    >>> print(empirical_ntk(apply_fn, params, jnp.eye(3)))
    [[4. 2. 2.]
     [2. 4. 2.]
     [2. 2. 4.]]
    """
    with extra("flax"):
        from flax import nnx

    if not isinstance(model, nnx.Module):
        fail("model", type(model).__name__, "a flax.nnx.Module")
    model = nnx.clone(model)
    model.eval()
    graph, param_state, rest = nnx.split(model, nnx.Param, ...)
    params = nnx.to_pure_dict(param_state)
    if not jax.tree.leaves(params):
        fail("model", f"a {type(model).__name__} without nnx.Param", "a module with parameters")
    treedef, state_treedef = jax.tree.structure(params), jax.tree.structure(param_state)
    options = _evaluation_options(type(model).__call__)
    statistics = nnx.to_flat_state(nnx.filter_state(rest, nnx.BatchStat))
    frozen = ["/".join(map(str, path)) for path, _ in statistics]

    def apply_fn(params: PyTree, x: Any) -> Any:
        tell(frozen)
        leaves, got = jax.tree.flatten(params)
        if got != treedef:
            fail("params", got, f"the structure that from_nnx returned, {treedef}")
        # Parameters are sorted by name in both trees.
        state = jax.tree.unflatten(state_treedef, leaves)
        return nnx.merge(graph, state, rest, copy=True)(x, **options)

    return apply_fn, params


def from_linen(module: "linen.Module", variables: Mapping[str, Any]) -> tuple[ApplyFn, PyTree]:
    """Split a flax linen module and its variables into ``(apply_fn, params)``, in evaluation mode.

    Parameters
    ----------
    module : linen.Module
        Applied as ``module.apply(variables, x)``; arguments of ``__call__`` named ``train``, ``training``,
        ``is_training``, ``deterministic`` or ``use_running_average`` are given their value for evaluation.
    variables : mapping
        As ``module.init`` returns it: ``"params"`` and any further collections.

    Returns
    -------
    apply_fn : callable
        ``apply_fn(params, x)``. Collections other than ``"params"`` (running statistics) are closed over.
    params : pytree
        ``variables["params"]``.

    Raises
    ------
    ValueError
        If ``module`` is not a ``linen.Module`` or ``variables`` has no ``"params"``.

    Examples
    --------
    >>> import jax, jax.numpy as jnp
    >>> from flax import linen
    >>> from verax.ntk import empirical_ntk, from_linen
    >>> module = linen.Dense(2)
    >>> apply_fn, params = from_linen(module, module.init(jax.random.key(0), jnp.eye(3)))
    >>> print(empirical_ntk(apply_fn, params, jnp.eye(3)))
    [[4. 2. 2.]
     [2. 4. 2.]
     [2. 2. 4.]]
    """
    with extra("flax"):
        from flax import linen

    if not isinstance(module, linen.Module):
        fail("module", type(module).__name__, "a flax.linen.Module")
    if not isinstance(variables, Mapping) or "params" not in variables:
        got = sorted(variables) if isinstance(variables, Mapping) else type(variables).__name__
        fail("variables", got, "the mapping that module.init returns, with 'params'")
    others = {name: value for name, value in variables.items() if name != "params"}
    options = _evaluation_options(type(module).__call__)
    frozen = [f"{name}/{path}" for name, value in others.items() for path in leaf_paths(value)]

    def apply_fn(params: PyTree, x: Any) -> Any:
        tell(frozen)
        return module.apply({"params": params, **others}, x, **options)

    return apply_fn, variables["params"]


def _evaluation_options(call: Any) -> dict[str, Any]:
    named = inspect.signature(call).parameters
    return {name: value for name, value in _EVALUATION.items() if name in named}
