"""Differentiable generalized cross-validation."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Float

from verax._types import AnyArray

from ._checks import check_center, check_kernel, check_ridge, check_targets
from ._solve import align, check_solved, keep_double, resolve


@keep_double("kernel", "targets", "ridge")
def gcv(
    kernel: Float[AnyArray, "n n"],
    targets: Float[AnyArray, "n"] | Float[AnyArray, "n C"],
    ridge: int | float | Float[AnyArray, ""],
    *,
    center: bool = True,
) -> Float[AnyArray, ""]:
    r"""Generalized cross-validation at one ridge, differentiable in kernel, targets and ridge.

    .. math::
        \mathrm{GCV} = \frac{\frac1n \lVert A^{-1} y \rVert^2}{\bigl[\frac1n \operatorname{tr} A^{-1}\bigr]^2},
        \qquad A = K / n + \lambda I

    The features behind the kernel must be independent of these labels. Minimising GCV over a kernel's own parameters
    makes them depend on the labels: the minimum is then too small, and only fresh data tells by how much.

    Parameters
    ----------
    kernel : [n, n]
        Gram matrix, not divided by ``n``; only its symmetric part counts.
    targets : [n] or [n, C]
        Real targets; class labels as one-hot columns.
    ridge
        1/n-normalised; 0 and negative values are allowed while ``K/n + ridge`` stays positive definite.
    center
        Fit an unpenalised intercept (one more degree of freedom).

    Returns
    -------
    scalar
        Estimated risk on a fresh sample, label noise included, summed over targets. A float64 NumPy kernel is computed
        in float64 even with x64 off; otherwise in JAX's precision.

    Raises
    ------
    ValueError
        For bad shapes, dtypes or values, and where ``K/n + ridge`` is not positive definite. Under ``jit`` values
        cannot be seen, and the result is then NaN.

    Notes
    -----
    About ``3 n^3`` flops. Derivatives come from the same factorisation: no eigendecomposition is differentiated, so
    repeated eigenvalues do no harm. Forward and reverse mode both work, to second order too. For many ridges
    `risk_path` is faster.

    Examples
    --------
    >>> import jax, jax.numpy as jnp, verax.spectral as vs
    >>> features = jax.random.normal(jax.random.key(0), (60, 200))
    >>> kernel, targets = features @ features.T, features[:, 0]
    >>> value, slope = jax.value_and_grad(vs.gcv, argnums=2)(kernel, targets, 0.5)
    >>> bool(value > 0), slope.shape
    (True, ())

    References
    ----------
    Craven and Wahba (1978); Jacot et al. (2020), KARE.
    """
    num_samples = check_kernel(kernel)
    check_targets(targets, num_samples)
    check_center(center, num_samples)
    check_ridge(ridge)
    result = _gcv(*align(kernel, targets, ridge), bool(center))
    check_solved(result, "the precision of the kernel")
    return result


# custom_jvp rather than custom_vjp: the rule is linear in the tangents, so JAX transposes it for reverse mode, and
# forward mode and Hessians come with it.
@functools.partial(jax.custom_jvp, nondiff_argnums=(3,))
@functools.partial(jax.jit, static_argnums=3)
def _gcv(kernel: jax.Array, targets: jax.Array, ridge: jax.Array, center: bool) -> jax.Array:
    inverse, _, p = resolve(kernel, targets, ridge, center)
    n = kernel.shape[0]
    return n * jnp.sum(p**2) / jnp.trace(inverse) ** 2


@_gcv.defjvp
def _gcv_jvp(center: bool, primals: Any, tangents: Any) -> tuple[jax.Array, jax.Array]:
    kernel, targets, ridge = primals
    n = kernel.shape[0]
    inverse, _, p = resolve(kernel, targets, ridge, center)
    trace = jnp.trace(inverse)
    value = n * jnp.sum(p**2) / trace**2
    multiply = functools.partial(jnp.matmul, precision="highest")
    q = multiply(inverse, p)
    # d(numerator) = -2 q.dA p and d(trace) = -tr(A^-2 dA), on the directions that the intercept leaves.
    gradient = -2 * n / trace**2 * (multiply(p, q.T) + multiply(q, p.T)) / 2
    gradient = gradient + 2 * value / trace * multiply(inverse, inverse)
    d_kernel, d_targets, d_ridge = tangents
    tangent = (
        jnp.sum(gradient * d_kernel) / n
        + jnp.trace(gradient) * d_ridge
        + 2 * n / trace**2 * jnp.sum(q.reshape(targets.shape) * d_targets)
    )
    return value, tangent
