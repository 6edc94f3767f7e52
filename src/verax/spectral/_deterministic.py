"""Risk of kernel ridge regression from the population spectrum."""

import jax.numpy as jnp
from jaxtyping import Float

from verax._arrays import to_array
from verax._types import AnyArray

from ._effective_ridge import (
    check_eigenvalues,
    check_nonnegative,
    effective_ridge,
    learned_fraction,
)
from ._solve import keep_double


@keep_double("eigenvalues", "target_energy", "num_samples", "ridge", "noise_variance")
def deterministic_risk(
    eigenvalues: Float[AnyArray, "p"],
    target_energy: Float[AnyArray, "p"],
    num_samples: int | float | AnyArray,
    ridge: int | float | Float[AnyArray, "..."],
    *,
    noise_variance: int | float | AnyArray = 0.0,
) -> Float[AnyArray, "..."]:
    r"""Risk that random-matrix theory gives a known population: what GCV estimates without knowing it.

    .. math::
        R = \frac{\sum_i \bigl(\frac{\kappa}{\lambda_i + \kappa}\bigr)^2 \lambda_i \beta_i^2 + \sigma^2}
                 {1 - \mathrm{df}_2(\kappa) / n}

    Parameters
    ----------
    eigenvalues : [p]
        Population eigenvalues ``lambda_i``.
    target_energy : [p]
        ``lambda_i beta_i^2``, eigenvalue times squared coefficient: the variance of the target along eigendirection i.
        Summed over targets if there are several.
    num_samples
        ``n``, a number or an array that broadcasts with ``ridge``.
    ridge
        Non-negative, 1/n-normalised.
    noise_variance
        ``sigma^2`` of the label noise (and of anything else the features cannot express), summed over targets.

    Returns
    -------
    array, the broadcast shape of ``num_samples`` and ``ridge``
        Expected squared error on a fresh sample, label noise included. Infinite at ridge 0 when exactly ``n``
        eigenvalues are positive, the interpolation threshold.

    Raises
    ------
    ValueError
        For negative or non-finite arguments, or lengths that differ.

    Examples
    --------
    >>> import numpy as np, verax.spectral as vs
    >>> eigenvalues = np.arange(1.0, 1001) ** -1.5
    >>> risk = vs.deterministic_risk(eigenvalues, eigenvalues, np.array([50, 100, 200]), 1e-4, noise_variance=0.01)
    >>> bool((np.diff(risk) < 0).all())
    True

    References
    ----------
    Wei, Hu, Steinhardt, "More Than a Toy" (ICML 2022); Simon et al., "The Eigenlearning Framework" (2021).
    """
    eigenvalues = check_eigenvalues(eigenvalues)
    target_energy = to_array("target_energy", target_energy, shape=eigenvalues.shape)
    check_nonnegative("target_energy", target_energy)
    check_nonnegative("noise_variance", noise_variance)
    kappa = jnp.asarray(effective_ridge(eigenvalues, num_samples, ridge))
    learned = learned_fraction(eigenvalues, kappa[..., None])
    bias = jnp.sum((1 - learned) ** 2 * jnp.asarray(target_energy).astype(eigenvalues.dtype), axis=-1)
    samples = jnp.asarray(num_samples).astype(eigenvalues.dtype)
    noise = jnp.asarray(noise_variance).astype(eigenvalues.dtype)
    return (bias + noise) / (1 - jnp.sum(learned**2, axis=-1) / samples)
