"""The effective ridge of a population spectrum, and the effective dimensions at it."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from verax._arrays import to_array
from verax._errors import check, is_traced
from verax._types import AnyArray

from ._solve import keep_double


@keep_double("eigenvalues", "num_samples", "ridge")
def effective_ridge(
    eigenvalues: Float[AnyArray, "p"],
    num_samples: int | float | AnyArray,
    ridge: int | float | Float[AnyArray, "..."],
) -> Float[AnyArray, "..."]:
    r"""Ridge ``kappa`` that acts on the population when ``num_samples`` are fitted with a ridge.

    .. math:: n = \sum_i \frac{\lambda_i}{\lambda_i + \kappa} + \frac{n \lambda}{\kappa}

    Parameters
    ----------
    eigenvalues : [p]
        Non-negative population eigenvalues ``lambda_i`` of the feature covariance (estimated by those of ``K/n`` of a
        sample much larger than ``num_samples``).
    num_samples
        ``n``, a number or an array that broadcasts with ``ridge``.
    ridge
        Non-negative and 1/n-normalised. At ridge 0 the result is 0 when at most ``n`` eigenvalues are positive, since
        the data then determine every coefficient.

    Returns
    -------
    array, the broadcast shape of ``num_samples`` and ``ridge``
        ``kappa >= ridge``, to the precision of the dtype. Float64 for float64 NumPy eigenvalues, even with x64 off.

    Raises
    ------
    ValueError
        For negative or non-finite arguments, or when no eigenvalue is positive. Under ``jit`` values cannot be seen: a
        negative ridge then gives NaN.

    Notes
    -----
    Bisection of ``log kappa`` between rigorous bounds, at most 80 sums over the spectrum. The derivative in every
    argument is that of the implicit function, ``d kappa / d ridge = 1 / (1 - df2/n)``.

    Examples
    --------
    >>> import numpy as np, verax.spectral as vs
    >>> eigenvalues = np.arange(1.0, 2001) ** -1.5
    >>> kappa = vs.effective_ridge(eigenvalues, 100, 1e-3)
    >>> df1, _ = vs.effective_dimensions(eigenvalues, kappa)
    >>> bool(np.isclose(df1 + 100 * 1e-3 / kappa, 100))
    True

    References
    ----------
    Wei, Hu, Steinhardt, "More Than a Toy" (ICML 2022); Jacot et al. (2020), "signal capture threshold"; Simon et al.,
    "The Eigenlearning Framework" (2021).
    """
    eigenvalues = check_eigenvalues(eigenvalues)
    check_nonnegative("ridge", ridge)
    check_positive("num_samples", num_samples)
    samples, ridges = jnp.broadcast_arrays(
        jnp.asarray(num_samples).astype(eigenvalues.dtype), jnp.asarray(ridge).astype(eigenvalues.dtype)
    )
    solve = _solve
    for _ in range(samples.ndim):
        solve = jax.vmap(solve, in_axes=(None, 0, 0))
    return solve(eigenvalues, samples, ridges)


@keep_double("eigenvalues", "kappa")
def effective_dimensions(
    eigenvalues: Float[AnyArray, "p"], kappa: int | float | Float[AnyArray, "..."]
) -> tuple[Float[AnyArray, "..."], Float[AnyArray, "..."]]:
    r"""Effective dimensions of a spectrum at an effective ridge.

    .. math:: \mathrm{df}_m(\kappa) = \sum_i \Bigl(\frac{\lambda_i}{\lambda_i + \kappa}\Bigr)^m

    Parameters
    ----------
    eigenvalues : [p]
        Non-negative population eigenvalues.
    kappa
        Non-negative effective ridge; at 0 both dimensions are the number of positive eigenvalues.

    Returns
    -------
    df1, df2
        Each of ``kappa``'s shape.

    Raises
    ------
    ValueError
        For negative or non-finite arguments.

    Examples
    --------
    >>> import numpy as np, verax.spectral as vs
    >>> df1, df2 = vs.effective_dimensions(np.array([1.0, 1.0]), 1.0)
    >>> float(df1), float(df2)
    (1.0, 0.5)
    """
    eigenvalues = check_eigenvalues(eigenvalues)
    check_nonnegative("kappa", kappa)
    learned = learned_fraction(eigenvalues, jnp.asarray(kappa).astype(eigenvalues.dtype)[..., None])
    return learned.sum(-1), (learned**2).sum(-1)


def learned_fraction(eigenvalues: jax.Array, kappa: jax.Array) -> jax.Array:
    """``lambda / (lambda + kappa)``, 0 for a vanishing eigenvalue even at ``kappa = 0``."""
    positive = eigenvalues > 0
    return jnp.where(positive, eigenvalues / jnp.where(positive, eigenvalues + kappa, 1), 0)


def check_eigenvalues(eigenvalues: Any) -> jax.Array:
    """Return concrete eigenvalues as a JAX array once known to be finite, non-negative and not all zero."""
    eigenvalues = to_array("eigenvalues", eigenvalues, shape=("p",))
    check_nonnegative("eigenvalues", eigenvalues)
    if not is_traced(eigenvalues):
        check(
            bool((np.asarray(eigenvalues) > 0).any()), "eigenvalues", "zeros only", "at least one positive eigenvalue"
        )
    return eigenvalues


def check_nonnegative(argument: str, value: Any) -> None:
    """Raise unless a concrete number or array is finite and non-negative."""
    to_array(argument, value, within="[0, inf)")


def check_positive(argument: str, value: Any) -> None:
    """Raise unless a concrete number or array is finite and positive."""
    to_array(argument, value, within="(0, inf)")


@jax.custom_jvp
def _solve(eigenvalues: jax.Array, samples: jax.Array, ridge: jax.Array) -> jax.Array:
    positive = eigenvalues > 0
    num_positive = jnp.sum(positive.astype(eigenvalues.dtype))
    smallest = jnp.min(jnp.where(positive, eigenvalues, jnp.inf))
    # Bounds: n <= tr/kappa + n ridge/kappa above, kappa >= ridge below, and for ridge 0 the kappa at which equal
    # eigenvalues of the smallest size would use up n dimensions.
    upper = jnp.log(ridge + jnp.sum(eigenvalues) / samples)
    lower = jnp.log(jnp.maximum(ridge, smallest * (num_positive / samples - 1)))
    determined = (ridge == 0) & (num_positive <= samples)
    lower = jnp.where(determined, upper, jnp.minimum(lower, upper))

    def halve(_: Any, bracket: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        low, high = bracket
        middle = (low + high) / 2
        kappa = jnp.exp(middle)
        too_small = jnp.sum(eigenvalues / (eigenvalues + kappa)) + samples * ridge / kappa > samples
        return jnp.where(too_small, middle, low), jnp.where(too_small, high, middle)

    # 80 halvings of at most a few hundred e-folds reach the spacing of float64; then one Newton step, which removes the
    # rounding of the logarithm.
    low, high = jax.lax.fori_loop(0, 80, halve, (lower, upper))
    kappa = jnp.exp((low + high) / 2)
    learned = eigenvalues / (eigenvalues + kappa)
    excess = jnp.sum(learned) + samples * ridge / kappa - samples
    slope = jnp.sum(learned * (1 - learned)) + samples * ridge / kappa
    kappa = jnp.maximum(kappa * jnp.exp(jnp.clip(excess / slope, -1e-3, 1e-3)), ridge)
    kappa = jnp.where(determined, 0, kappa)
    return jnp.where(ridge >= 0, kappa, jnp.nan)


@_solve.defjvp
def _solve_jvp(primals: Any, tangents: Any) -> tuple[jax.Array, jax.Array]:
    eigenvalues, samples, ridge = primals
    kappa = _solve(eigenvalues, samples, ridge)
    learned = learned_fraction(eigenvalues, kappa)
    d_eigenvalues, d_samples, d_ridge = tangents
    # The implicit function theorem, both sides multiplied by kappa: the left-hand factor becomes n - df2.
    change = jnp.sum((1 - learned) ** 2 * d_eigenvalues) + samples * d_ridge - (kappa - ridge) * d_samples
    return kappa, change / (samples - jnp.sum(learned**2))
