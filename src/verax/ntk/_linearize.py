"""First-order Taylor expansion of a network in its parameters."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from verax._arrays import to_tree
from verax._errors import check_function, fail
from verax._types import ApplyFn, PyTree

from ._network import ParamFilter, naming_function, read_params


def linearize(apply_fn: ApplyFn, params: PyTree, *, param_filter: ParamFilter | None = None) -> ApplyFn:
    r"""First-order Taylor expansion of a network around ``params``.

    .. math:: f^{lin}(\theta, x) = f(\theta_0, x) + J_{\theta_0}(x) (\theta - \theta_0)

    Gradient descent on the expansion is kernel regression with the empirical NTK at ``params``.

    Parameters
    ----------
    apply_fn : callable
        ``apply_fn(params, x)``; any pytree of arrays comes out.
    params : pytree of floating-point arrays
        The point of expansion.
    param_filter : callable, optional
        As for :func:`empirical_ntk`: the expansion is in the selected leaves, and constant in the others.

    Returns
    -------
    callable
        ``apply_fn'(new_params, x)``, exact in ``x`` and affine in ``new_params``, which must have the structure and
        shapes of ``params``.

    Raises
    ------
    ValueError
        For leaves that are not real floating-point arrays; from the returned function, if ``new_params`` has another
        structure or other shapes than ``params``.

    Notes
    -----
    Costs about two forward passes and no memory for a backward pass; differentiable in ``new_params``.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from verax.ntk import linearize
    >>> linear = linearize(lambda w, x: jnp.sum(w**2) * x, jnp.array([1.0, 2.0]))
    >>> print(linear(jnp.array([1.5, 2.0]), jnp.array([1.0, 10.0])))
    [ 6. 60.]

    References
    ----------
    Lee, Xiao, Schoenholz, Bahri, Novak, Sohl-Dickstein, Pennington, "Wide Neural Networks of Any Depth Evolve as Linear
    Models Under Gradient Descent", NeurIPS 2019, equation 8.
    """
    check_function("apply_fn", apply_fn, "a function apply_fn(params, x)")
    params, selected, _ = read_params(params, param_filter)
    expected = jax.tree.map(lambda leaf: tuple(leaf.shape), params)
    kept = jax.tree.unflatten(jax.tree.structure(params), selected)

    def linear_apply_fn(new_params: PyTree, x: Any) -> Any:
        new_params, x = to_tree("new_params", new_params), to_tree("x", x)
        got = jax.tree.map(lambda leaf: tuple(leaf.shape), new_params)
        if got != expected:
            fail("new_params", got, f"the structure and shapes of params, {expected}")

        def change(keep: bool, new: Array, old: Array) -> Any:
            if keep:
                return new.astype(old.dtype) - old
            return np.zeros(old.shape, jax.dtypes.float0) if not _has_tangent(old) else jnp.zeros_like(old)

        step = jax.tree.map(change, kept, new_params, params)
        with naming_function("apply_fn", "x", [leaf.shape for leaf in jax.tree.leaves(x)]):
            value, moved = jax.jvp(lambda p: apply_fn(p, x), (params,), (step,))
        return jax.tree.map(lambda v, c: v + c if _has_tangent(v) else v, value, moved)

    return linear_apply_fn


def _has_tangent(leaf: Array) -> bool:
    return jnp.issubdtype(leaf.dtype, jnp.inexact)
