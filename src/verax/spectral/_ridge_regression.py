"""Kernel ridge regression: fit and predict."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from verax._arrays import to_array, to_host
from verax._errors import is_traced
from verax._results import result
from verax._types import AnyArray

from ._checks import check_center, check_kernel, check_ridge, check_targets
from ._solve import align, check_solved, keep_double


@result()
class KernelRidge(NamedTuple):
    """Predictor fitted by kernel ridge regression.

    ``f(x) = (k(x) - kernel_mean) @ dual_coefficients + target_mean``.

    Attributes
    ----------
    dual_coefficients : [n] or [n, C]
        Solution of ``(K_c + n ridge I) a = y_c``.
    kernel_mean : [n]
        Column means of the training kernel (zero without an intercept).
    target_mean : [] or [C]
        Mean of the targets (zero without an intercept).
    ridge : []
        1/n-normalised.
    """

    dual_coefficients: AnyArray
    kernel_mean: AnyArray
    target_mean: AnyArray
    ridge: AnyArray

    def predict(self, cross_kernel: Float[AnyArray, "m n"]) -> Float[AnyArray, "m *C"]:
        """Predictions for ``m`` points from their kernel with the training points, ``[m]`` or ``[m, C]``.

        A predictor fitted in float64 NumPy predicts in float64 NumPy.
        """
        shape = ("m", self.kernel_mean.shape[0])  # rows for the points to predict, columns for the training points
        if isinstance(self.dual_coefficients, np.ndarray) and not is_traced(cross_kernel):
            cross = to_host("cross_kernel", cross_kernel, shape=shape).astype(self.dual_coefficients.dtype)
            return (cross - self.kernel_mean) @ self.dual_coefficients + self.target_mean
        dual = jnp.asarray(self.dual_coefficients)
        cross = to_array("cross_kernel", cross_kernel, shape=shape).astype(dual.dtype) - self.kernel_mean
        return jnp.matmul(cross, dual, precision="highest") + self.target_mean


@keep_double("kernel", "targets", "ridge")
def kernel_ridge_fit(
    kernel: Float[AnyArray, "n n"],
    targets: Float[AnyArray, "n *C"],
    ridge: int | float | Float[AnyArray, ""],
    *,
    center: bool = True,
) -> KernelRidge:
    r"""Fit kernel ridge regression.

    .. math:: (K_c + n \lambda I)\, a = y - \bar y

    Parameters
    ----------
    kernel : [n, n]
        Training Gram matrix, not divided by ``n``.
    targets : [n] or [n, C]
        Real targets; class labels as one-hot columns.
    ridge
        1/n-normalised: the objective is ``(1/n) ||y - f||^2 + ridge ||f||^2``; scikit-learn's ``alpha`` is ``n *
        ridge``.
    center
        Fit an unpenalised intercept.

    Returns
    -------
    KernelRidge
        ``.predict(cross_kernel)`` takes ``[m, n]``. Float64 NumPy for a float64 NumPy kernel, even with x64 off.

    Raises
    ------
    ValueError
        For bad input, and where ``K/n + ridge`` is not positive definite; under ``jit`` the result is then NaN.

    Notes
    -----
    One Cholesky factorisation, ``n^3 / 3`` flops.

    Examples
    --------
    >>> import numpy as np, verax.spectral as vs
    >>> x = np.linspace(-1, 1, 20)[:, None]
    >>> model = vs.kernel_ridge_fit(x @ x.T, 2 * x[:, 0] + 1, 1e-6)
    >>> np.round(model.predict(np.array([[0.5]]) @ x.T), 3)
    array([2.])
    """
    num_samples = check_kernel(kernel)
    check_targets(targets, num_samples)
    check_center(center, num_samples)
    check_ridge(ridge)
    result = _fit(*align(kernel, targets, ridge), bool(center))
    check_solved(result, "the precision of the kernel")
    return result


@functools.partial(jax.jit, static_argnums=3)
def _fit(kernel: jax.Array, targets: jax.Array, ridge: jax.Array, center: bool) -> KernelRidge:
    n = kernel.shape[0]
    k = (kernel + kernel.T) / (2 * n)
    row = jnp.zeros(n, k.dtype)
    mean = jnp.zeros(targets.shape[1:], k.dtype)
    if center:
        row, mean = jnp.mean(k, axis=0), jnp.mean(targets, axis=0)
        k = k - row - row[:, None] + jnp.mean(row)
        # The null vector 1 gets the mean eigenvalue: centred targets do not see it, the factorisation at ridge 0 does.
        k = k + jnp.abs(jnp.trace(k)) / n**2
    factor = jax.scipy.linalg.cho_factor(k + ridge * jnp.eye(n, dtype=k.dtype), lower=True)
    dual = jax.scipy.linalg.cho_solve(factor, targets - mean) / n
    if center:
        # Exact coefficients sum to zero. What rounding leaves of the sum would be multiplied by the kernel's mean.
        dual = dual - jnp.mean(dual, axis=0)
    return KernelRidge(dual, row * n, mean, ridge)
