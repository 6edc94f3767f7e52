"""Conjugate gradients over clients: the pooled ridge solution in few rounds, for features too many for their matrix."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from verax._errors import check_integer, check_option
from verax._progress import progress_bar
from verax._types import AnyArray

from ._linear_scaffold import LinearFit, in_double, stacked
from ._options import check_number
from ._standardize import check_features, check_targets


def conjugate_gradient_linear(
    features: Float[AnyArray, "K n m"],
    targets: Float[AnyArray, "K n C"],
    mask: Bool[AnyArray, "K n"],
    *,
    rounds: int,
    ridge: float | int = 0.0,
    weights: str = "num_examples",
    evaluate: Callable[[Any], dict[str, Any]] | None = None,
    progress: bool = False,
) -> LinearFit:
    r"""Minimise the pooled ridge objective by conjugate gradients whose matrix products are sums over clients.

    .. math::
        \Bigl(\sum_i \omega_i \Phi_i^\top \Phi_i / n_i + \lambda I\Bigr) \theta = \sum_i \omega_i \Phi_i^\top Y_i / n_i

    Each column of the targets has its own coefficients; the iterates are those of conjugate gradients on the pooled
    data, whatever the division among clients.

    Parameters
    ----------
    features : [K, n, m]
        Features of each client's examples.
    targets : [K, n, C]
        For classes, ``onehot - 1/C``.
    mask : [K, n]
        Which rows are examples.
    rounds
        Iterations, >= 1: ``m C`` numbers down and up for each client, and once ``m C`` up before.
    ridge
        ``lambda``, 1/n-normalised. About ``sqrt(lambda_max / lambda)`` rounds a digit.
    weights
        "num_examples" or "uniform".
    evaluate
        ``evaluate(coefficients) -> dict`` after each round, with float64 NumPy coefficients.
    progress
        Draw a progress bar.

    Returns
    -------
    LinearFit

    Raises
    ------
    ValueError
        As for `scaffold_linear`.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.federated import conjugate_gradient_linear
    >>> rng = np.random.default_rng(0)
    >>> features = rng.normal(size=(3, 20, 5)).astype(np.float32)
    >>> targets = features @ rng.normal(size=(5, 2)).astype(np.float32)
    >>> fit = conjugate_gradient_linear(features, targets, np.ones((3, 20), bool), rounds=5)
    >>> bool(np.allclose(features @ np.asarray(fit.coefficients), targets, atol=1e-4))
    True

    References
    ----------
    Hestenes and Stiefel, 1952.
    """
    phi, keep = check_features(features, mask)
    targets = check_targets(targets, keep)
    check_integer("rounds", rounds, minimum=1)
    check_number("ridge", ridge, minimum=0.0)
    check_option("weights", weights, ("num_examples", "uniform"))
    counts = keep.sum(1)
    share = counts / counts.sum() if weights == "num_examples" else np.full(len(counts), 1 / len(counts))
    objective, evaluations = np.empty(rounds), []
    # In double precision: with features far from zero the iterates of single precision lose their orthogonality.
    with jax.enable_x64(True):
        phi, y = in_double(phi, keep), in_double(targets, keep)
        scale, shift = jnp.asarray(share / counts), jnp.asarray(float(ridge))
        with jax.default_matmul_precision("highest"):
            right = jnp.einsum("k,knm,knc->mc", scale, phi, y)
            energy = float(jnp.einsum("k,knc,knc->", scale, y, y)) / 2
        theta, residual, direction = jnp.zeros_like(right), right, right
    with progress_bar("conjugate gradients", rounds, progress) as advance:
        for number in range(rounds):
            with jax.enable_x64(True):
                # theta . (b - r) is theta . A theta, so the objective needs no product of its own.
                objective[number] = energy - 0.5 * float(jnp.sum(theta * (right + residual)))
                theta, residual, direction = _iterate(phi, scale, shift, theta, residual, direction)
            if evaluate is not None:
                evaluations.append(evaluate(np.asarray(theta)))
            advance()
    return LinearFit(np.asarray(theta), objective, float("nan"), stacked(evaluations))


@jax.jit
def _iterate(
    phi: jax.Array, scale: jax.Array, ridge: jax.Array, theta: jax.Array, residual: jax.Array, direction: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    with jax.default_matmul_precision("highest"):
        seen = jnp.einsum("knm,mc->knc", phi, direction)
        product = jnp.einsum("k,knm,knc->mc", scale, phi, seen) + ridge * direction
    old = jnp.sum(jnp.square(residual), axis=0)
    curvature = jnp.sum(direction * product, axis=0)
    # A column that has converged has nothing left to divide by.
    step = jnp.where(curvature > 0, old / jnp.where(curvature > 0, curvature, 1), 0)
    theta = theta + step * direction
    residual = residual - step * product
    new = jnp.sum(jnp.square(residual), axis=0)
    return theta, residual, residual + jnp.where(old > 0, new / jnp.where(old > 0, old, 1), 0) * direction
