"""Leave-one-out residuals and errors from one factorisation."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from verax._errors import check, check_integer, fail, is_traced
from verax._types import AnyArray

from ._checks import check_center, check_kernel, check_ridge, check_targets
from ._solve import align, check_solved, keep_double, resolve


@keep_double
def loo_residuals(
    kernel: Float[AnyArray, "n n"],
    targets: Float[AnyArray, "n *C"],
    ridge: int | float | Float[AnyArray, ""],
    *,
    center: bool = True,
) -> Float[AnyArray, "n *C"]:
    r"""Residuals of predictions made for each sample by a fit to all the others.

    .. math:: e_i = \frac{y_i - \hat y_i}{1 - H_{ii}} = \frac{(A^{-1} y)_i}{(A^{-1})_{ii}}, \qquad A = K / n + \lambda I

    Parameters
    ----------
    kernel : [n, n]
        Gram matrix of features that are independent of these labels.
    targets : [n] or [n, C]
        Real targets.
    ridge
        1/n-normalised, as everywhere. The refits keep the penalty ``n * ridge`` on the sum of squares, so in their own
        normalisation the ridge is ``ridge * n / (n - 1)``.
    center
        Fit an unpenalised intercept, refitted each time.

    Returns
    -------
    array of the targets' shape
        ``y_i`` minus the prediction made without sample ``i``. Float64 for a float64 NumPy kernel, even with x64 off.

    Raises
    ------
    ValueError
        For bad input, and where ``K/n + ridge`` is not positive definite; under ``jit`` the result is then NaN.

    Notes
    -----
    About ``3 n^3`` flops. Equal to ``n`` refits, up to rounding.

    Examples
    --------
    >>> import numpy as np, verax.spectral as vs
    >>> x = np.array([[0.0], [1.0], [2.0], [4.0]])
    >>> residuals = vs.loo_residuals(x @ x.T, x[:, 0], 1e-3)  # a line through the others finds the one left out
    >>> bool(np.abs(residuals).max() < 1e-2)
    True
    """
    num_samples = check_kernel(kernel)
    check_targets(targets, num_samples)
    check_center(center, num_samples)
    check_ridge(ridge)
    check(num_samples >= 2, "kernel", "1 sample", "at least two samples to leave one out")
    result = _residuals(*align(kernel, targets, ridge), bool(center)).reshape(targets.shape)
    check_solved(result, "the precision of the kernel")
    return result


@functools.partial(jax.jit, static_argnums=3)
def _residuals(kernel: jax.Array, targets: jax.Array, ridge: jax.Array, center: bool) -> jax.Array:
    inverse, _, solution = resolve(kernel, targets, ridge, center)
    return solution / jnp.diagonal(inverse)[:, None]


@keep_double
def loo_error(
    kernel: Float[AnyArray, "n n"],
    labels: Int[AnyArray, "n"],
    ridge: int | float | Float[AnyArray, ""],
    *,
    center: bool = True,
    num_classes: int | None = None,
) -> Float[AnyArray, ""]:
    """Leave-one-out 0-1 error of kernel ridge regression on one-hot labels.

    Parameters
    ----------
    kernel : [n, n]
        Gram matrix of features that are independent of these labels.
    labels : [n]
        Integer classes from 0.
    ridge
        1/n-normalised.
    center
        Fit an unpenalised intercept.
    num_classes
        Default: the largest label plus one; needed under ``jit``.

    Returns
    -------
    scalar
        Share of samples whose class is not the argmax of the prediction made without them.

    Raises
    ------
    ValueError
        For bad input, labels below 0 or beyond ``num_classes``, and where ``K/n + ridge`` is not positive definite.

    Examples
    --------
    >>> import numpy as np, verax.spectral as vs
    >>> rng = np.random.default_rng(0)
    >>> x = np.concatenate([rng.normal(-3, 1, (20, 2)), rng.normal(3, 1, (20, 2))])
    >>> float(vs.loo_error(x @ x.T, np.repeat([0, 1], 20), 0.1))
    0.0
    """
    num_samples = check_kernel(kernel)
    check(
        hasattr(labels, "dtype") and labels.shape == (num_samples,) and jnp.issubdtype(labels.dtype, jnp.integer),
        "labels",
        f"shape {np.shape(labels)} of dtype {getattr(labels, 'dtype', type(labels).__name__)}",
        f"integer classes of shape [{num_samples}]",
    )
    traced = is_traced(labels)
    if num_classes is None:
        if traced:
            fail("num_classes", "None with traced labels", "the number of classes")
        num_classes = int(np.max(labels)) + 1
    check_integer("num_classes", num_classes, minimum=1)
    if not traced:
        low, high = int(np.min(labels)), int(np.max(labels))
        check(low >= 0 and high < num_classes, "labels", f"classes {low}..{high}", f"classes 0..{num_classes - 1}")
    targets = jax.nn.one_hot(labels, num_classes, dtype=jnp.asarray(kernel).dtype)
    residuals = loo_residuals(kernel, targets, ridge, center=center)
    predicted = jnp.argmax(targets - residuals, axis=1).astype(labels.dtype)
    return jnp.mean((predicted != jnp.asarray(labels)).astype(residuals.dtype))
