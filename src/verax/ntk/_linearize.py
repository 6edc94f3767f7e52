"""First-order Taylor expansion of a network in its parameters."""

from typing import Any

import jax

from verax._errors import fail
from verax._types import ApplyFn, PyTree


def linearize(apply_fn: ApplyFn, params: PyTree) -> ApplyFn:
    r"""First-order Taylor expansion of a network around ``params``.

    .. math:: f^{lin}(\theta, x) = f(\theta_0, x) + J_{\theta_0}(x) (\theta - \theta_0)

    Gradient descent on the expansion is kernel regression with the empirical NTK at ``params``.

    Parameters
    ----------
    apply_fn : callable
        ``apply_fn(params, x)``; any pytree of arrays comes out.
    params : pytree of floating-point arrays
        The point of expansion.

    Returns
    -------
    callable
        ``apply_fn'(new_params, x)``, exact in ``x`` and affine in ``new_params``, which must have the structure and
        shapes of ``params``.

    Raises
    ------
    ValueError
        From the returned function, if ``new_params`` has another structure or other shapes than ``params``.

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
    expected = jax.tree.map(lambda leaf: tuple(leaf.shape), params)

    def linear_apply_fn(new_params: PyTree, x: Any) -> Any:
        got = jax.tree.map(lambda leaf: tuple(leaf.shape), new_params)
        if got != expected:
            fail("new_params", got, f"the structure and shapes of params, {expected}")
        step = jax.tree.map(lambda new, old: new - old, new_params, params)
        value, change = jax.jvp(lambda p: apply_fn(p, x), (params,), (step,))
        return jax.tree.map(lambda v, c: v + c, value, change)

    return linear_apply_fn
