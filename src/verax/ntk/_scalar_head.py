"""A fresh random scalar head on a network's features."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from verax._errors import check_integer, fail
from verax._types import ApplyFn


def with_scalar_head(features_fn: ApplyFn, width: int, *, key: Array) -> tuple[ApplyFn, dict[str, Array]]:
    r"""Network with one output: a fresh random linear head on given features.

    .. math:: f(x) = \phi(x)^\top v + c, \qquad v \sim N(0, I / \text{width}), \quad c = 0

    Its empirical NTK is the kernel by which More Than a Toy represents a pretrained network; head and bias are
    differentiated with everything else.

    Parameters
    ----------
    features_fn : callable
        ``features_fn(params, x) -> [n, width]``.
    width : int
        Number of features.
    key : jax.random.key
        Random key of the head.

    Returns
    -------
    apply_fn : callable
        ``apply_fn({"features": params, "head": head_params}, x) -> [n, 1]``.
    head_params : dict
        ``{"kernel": [width, 1], "bias": [1]}``, in the default float dtype; used in the dtype of the features.

    Raises
    ------
    ValueError
        If ``width`` is not a positive integer; from ``apply_fn``, if the features do not have shape ``[n, width]``.

    Notes
    -----
    The kernel gains ``phi(x)^T phi(x') + 1`` from the head itself.

    Examples
    --------
    >>> import jax, jax.numpy as jnp
    >>> from verax.ntk import empirical_ntk, with_scalar_head
    >>> apply_fn, head = with_scalar_head(lambda w, x: jnp.tanh(x @ w), 4, key=jax.random.key(0))
    >>> head["kernel"].shape, head["bias"].shape
    ((4, 1), (1,))
    >>> kernel = empirical_ntk(apply_fn, {"features": jnp.zeros((3, 4)), "head": head}, jnp.eye(3))
    >>> energy = jnp.sum(head["kernel"] ** 2)  # the features are all zero, with unit derivatives
    >>> bool(jnp.allclose(kernel, 1 + energy * jnp.eye(3), atol=1e-5))
    True

    References
    ----------
    Wei, Hu, Steinhardt, "More Than a Toy: Random Matrix Models Predict How Real-World Neural Representations
    Generalize", ICML 2022.
    """
    check_integer("width", width, minimum=1)
    if not callable(features_fn):
        fail("features_fn", type(features_fn).__name__, "a function features_fn(params, x) -> [n, width]")
    kernel = jax.random.normal(key, (width, 1))
    scale = jnp.asarray(width**-0.5, kernel.dtype)
    head_params = {"kernel": kernel * scale, "bias": jnp.zeros(1, kernel.dtype)}

    def apply_fn(params: dict[str, Any], x: Any) -> Array:
        features = features_fn(params["features"], x)
        if features.ndim != 2 or features.shape[1] != width:
            fail("features_fn", f"features of shape {features.shape}", f"[n, {width}]")
        head = jax.tree.map(lambda leaf: leaf.astype(features.dtype), params["head"])
        return features @ head["kernel"] + head["bias"]

    return apply_fn, head_params
