"""Leave-one-out residuals and errors from one factorisation."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from verax._arrays import to_array, to_host, to_integer, to_labels
from verax._errors import check, fail, is_traced
from verax._types import AnyArray

from ._checks import check_center, check_kernel, check_ridge, check_targets
from ._solve import align, check_solved, keep_double, resolve


@keep_double("kernel", "targets", "ridge")
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


@keep_double("kernel", "ridge")
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
        Labels of any kind; integer classes from 0 with ``num_classes`` and under ``jit``.
    ridge
        1/n-normalised.
    center
        Fit an unpenalised intercept.
    num_classes
        Default: the number of different labels; needed under ``jit``.

    Returns
    -------
    scalar
        Share of samples whose class is not the argmax of the prediction made without them.

    Raises
    ------
    ValueError
        For bad input, missing labels, integers beyond ``num_classes``, and where ``K/n + ridge`` is not positive
        definite.

    Examples
    --------
    >>> import numpy as np, verax.spectral as vs
    >>> rng = np.random.default_rng(0)
    >>> x = np.concatenate([rng.normal(-3, 1, (20, 2)), rng.normal(3, 1, (20, 2))])
    >>> float(vs.loo_error(x @ x.T, np.repeat([0, 1], 20), 0.1))
    0.0
    """
    num_samples = check_kernel(kernel)
    if is_traced(labels):
        labels = to_array("labels", labels, shape=(num_samples,), dtype="integer")
        if num_classes is None:
            fail("num_classes", "None with traced labels", "the number of classes")
    elif num_classes is None:
        labels, classes = to_labels("labels", labels, num=num_samples)
        check(bool(np.all(labels >= 0)), "labels", "missing labels", "a label for every sample")
        num_classes = len(classes)
    else:
        labels = to_host("labels", labels, shape=(num_samples,), dtype="integer")
        low, high = int(labels.min()), int(labels.max())
        check(low >= 0 and high < num_classes, "labels", f"classes {low}..{high}", f"classes 0..{num_classes - 1}")
    num_classes = to_integer("num_classes", num_classes, minimum=1)
    labels = jnp.asarray(labels if is_traced(labels) else labels.astype(np.int32)).astype(jnp.int32)
    targets = jax.nn.one_hot(labels, num_classes, dtype=jnp.asarray(kernel).dtype)
    residuals = loo_residuals(kernel, targets, ridge, center=center)
    predicted = jnp.argmax(targets - residuals, axis=1).astype(jnp.int32)
    return jnp.mean((predicted != labels).astype(residuals.dtype))
