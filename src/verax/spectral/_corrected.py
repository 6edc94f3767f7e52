"""Generalized cross-validation for samples that are correlated with each other."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Float

from verax._errors import check, is_traced
from verax._types import AnyArray

from ._checks import check_center, check_kernel, check_ridge, check_targets
from ._effective_ridge import check_nonnegative
from ._solve import align, check_solved, keep_double, resolve


@keep_double("kernel", "targets", "ridge", "sample_correlation")
def corrected_gcv(
    kernel: Float[AnyArray, "n n"],
    targets: Float[AnyArray, "n *C"],
    ridge: int | float | Float[AnyArray, ""],
    sample_correlation: Float[AnyArray, "n n"],
    *,
    center: bool = True,
) -> Float[AnyArray, ""]:
    r"""Generalized cross-validation corrected for correlated samples, such as time series.

    .. math::
        \hat R = \frac{R_{\mathrm{train}}}{\tilde\kappa\,(d - d_2)}, \qquad
        d = \tfrac1n \operatorname{tr} C (C + \tilde\kappa)^{-1} = \mathrm{df}_1 / n, \qquad
        d_2 = \tfrac1n \operatorname{tr} C^2 (C + \tilde\kappa)^{-2}

    For features ``X = C^{1/2} Z Sigma^{1/2}`` and label noise of the same correlation ``C`` between samples, it
    estimates the risk on a fresh sample that is independent of the training samples; plain GCV is then too small. The
    features must be independent of these labels.

    Parameters
    ----------
    kernel : [n, n]
        Gram matrix, not divided by ``n``.
    targets : [n] or [n, C]
        Real targets.
    ridge
        Non-negative, 1/n-normalised.
    sample_correlation : [n, n]
        ``C``, positive definite; scaled to trace ``n`` here. The identity gives `gcv`.
    center
        Fit an unpenalised intercept (an error of order ``1/n`` beyond the theory's assumptions).

    Returns
    -------
    scalar
        Estimated risk, label noise included, summed over targets. Differentiable in kernel, targets and ridge. Float64
        for a float64 NumPy kernel, even with x64 off.

    Raises
    ------
    ValueError
        For bad input, and where ``K/n + ridge`` or ``C`` is not positive definite; under ``jit`` the result is then
        NaN.

    Notes
    -----
    About ``3 n^3`` flops and the eigenvalues of ``C``. Finite at ridge 0 when the centred kernel has full rank. For
    stationary series a Toeplitz ``C`` from the known or fitted autocorrelation serves; a wrong ``C`` is not detected.

    Examples
    --------
    >>> import numpy as np, verax.spectral as vs
    >>> features = np.random.default_rng(0).normal(size=(40, 100))
    >>> kernel, targets = features @ features.T, features[:, 0]
    >>> plain, corrected = vs.gcv(kernel, targets, 0.5), vs.corrected_gcv(kernel, targets, 0.5, np.eye(40))
    >>> bool(np.isclose(plain, corrected))
    True

    References
    ----------
    Atanasov, Zavatone-Veth, Pehlevan, "Risk and cross validation in ridge regression with correlated samples" (2024).
    """
    num_samples = check_kernel(kernel)
    check_targets(targets, num_samples)
    check_center(center, num_samples)
    check_ridge(ridge)
    check_nonnegative("ridge", ridge)
    size = check_kernel(sample_correlation, "sample_correlation")
    check(size == num_samples, "sample_correlation", f"shape {(size, size)}", f"shape {(num_samples, num_samples)}")
    k, y, lam = align(kernel, targets, ridge)
    correlation = jnp.linalg.eigvalsh(jnp.asarray(sample_correlation).astype(k.dtype))
    correlation = correlation / jnp.mean(correlation)
    if not is_traced(correlation):
        least = float(correlation[0])
        check(
            least > size * float(jnp.finfo(k.dtype).eps),
            "sample_correlation",
            f"smallest eigenvalue {least:.3g} of the matrix scaled to trace n",
            "a positive definite correlation matrix",
        )
    result = _corrected(k, y, lam, correlation, bool(center))
    check_solved(result, "the precision of the kernel")
    return result


@functools.partial(jax.jit, static_argnums=4)
def _corrected(
    kernel: jax.Array, targets: jax.Array, ridge: jax.Array, correlation: jax.Array, center: bool
) -> jax.Array:
    inverse, _, solution = resolve(kernel, targets, ridge, center)
    n = kernel.shape[0]
    trace = jnp.trace(inverse) / n
    untouched = ridge * trace  # 1 - d
    odds = untouched / (1 - untouched)
    # kappa~ = r odds with r between the smallest eigenvalue of C and 1, which stays well posed as the ridge goes to 0
    # and there gives r = 1 / mean(1/c): d = 1 - kappa~ g(kappa~), hence r g(r odds) = 1 - untouched.

    def mean_inverse(r: jax.Array) -> jax.Array:
        return jnp.mean(1 / (correlation + r * odds))

    def halve(_: Any, bracket: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        low, high = bracket
        middle = (low + high) / 2
        small = jnp.exp(middle) * mean_inverse(jnp.exp(middle)) < 1 - untouched
        return jnp.where(small, middle, low), jnp.where(small, high, middle)

    bracket = (jnp.log(correlation[0]), jnp.zeros((), correlation.dtype))
    low, high = jax.lax.fori_loop(0, 60, halve, jax.lax.stop_gradient(bracket))
    r = jax.lax.stop_gradient(jnp.exp((low + high) / 2))
    # One Newton step from the root changes nothing but the derivative, which becomes that of the implicit function.
    slope = jnp.mean(correlation / (correlation + r * odds) ** 2)
    r = r - (r * mean_inverse(r) - (1 - untouched)) / jax.lax.stop_gradient(slope)
    spread = jnp.mean(correlation / (correlation + r * odds) ** 2)
    # R_train / (kappa~ (d - d2)) with the factors ridge^2 and kappa~^2 cancelled.
    return jnp.sum(solution**2) / n * mean_inverse(r) ** 2 / (trace**2 * spread)
