"""Any-of at more draws than were made, by a model of how prompts differ."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import betaln

from ._interval import Interval, Status
from ._numeric import module_for, take_count, take_level
from ._quantiles import normal_quantile
from ._table import Outcome, OutcomeTable

_MAX_STEPS = 60


def forecast_any_of(table: OutcomeTable, *, draws: int, level: float = 0.95) -> Interval:
    r"""Forecast of the share of prompts that give way within ``draws`` samples, for each model and attack.

    Prompts' success rates are taken as Beta-distributed, fitted by maximum likelihood to the counts ``c_p`` of ``n_p``:

    .. math:: \prod_p \frac{B(a + c_p, b + n_p - c_p)}{B(a, b)}, \qquad
        P_{any}(k) = 1 - \frac{B(a, b + k)}{B(a, b)}

    Parameters
    ----------
    table
        Verdicts, several samples a cell; UNCLEAR and MISSING are left out.
    draws
        ``k``, any number.
    level
        Coverage of the limits if the model holds, in (0, 1).

    Returns
    -------
    Interval
        Fields ``[model, attack]``; limits by the delta method on the logit scale. ``NOT_CONVERGED`` where the
        likelihood has no maximum, as for cells that never or always succeed: the limits are then 0 and 1.

    Raises
    ------
    ValueError
        For ``draws < 1`` or a level outside (0, 1).

    Notes
    -----
    Beyond the samples that were made this is an extrapolation: it rests on the left tail of the Beta distribution,
    which few samples say little of. Prompts count as independent.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.evals import OutcomeTable, forecast_any_of
    >>> rng = np.random.default_rng(0)
    >>> labels = rng.random((1, 1, 400, 8)) < rng.beta(0.5, 2.0, (1, 1, 400, 1))
    >>> found = forecast_any_of(OutcomeTable(labels.astype(int)), draws=64)
    >>> bool(found.lower[0, 0] < 1 - 0.1638 < found.upper[0, 0])  # 1 - B(0.5, 66) / B(0.5, 2)
    True

    References
    ----------
    Skellam (1948) for the distribution; Schaeffer et al. (2025) for the use.
    """
    draws, level = take_count("draws", draws), take_level(level)
    dtype, labels = jnp.result_type(float), jnp.asarray(table.labels)
    hits = (labels == int(Outcome.BAD)).sum(-1).astype(dtype)
    total = hits + (labels == int(Outcome.GOOD)).sum(-1).astype(dtype)
    found = _fit_all(hits, total, labels.shape[-1], draws, level)
    if module_for(table) is jnp:
        return found
    parts = (np.asarray(part) for part in found)
    return Interval(*(part.astype(np.float64) if part.dtype.kind == "f" else part for part in parts))


@functools.partial(jax.jit, static_argnums=(2, 3, 4))
def _fit_all(hits: Array, total: Array, samples: int, draws: int, level: float) -> Interval:
    return jax.vmap(jax.vmap(lambda c, n: _fit(c, n, samples, draws, level)))(hits, total)


def _fit(hits: Array, total: Array, samples: int, draws: int, level: float) -> Interval:
    # B(a + c, b + n - c) / B(a, b) is a product over steps below c, n - c and n, so that prompts enter as counts alone.
    below = jnp.arange(samples, dtype=hits.dtype)

    def beyond(number: Array) -> Array:
        return (number[:, None] > below).sum(0).astype(hits.dtype)

    bad, good, all_ = beyond(hits), beyond(total - hits), beyond(total)

    def loss(theta: Array) -> Array:
        a, b = jnp.exp(theta)
        return -(bad @ jnp.log(a + below) + good @ jnp.log(b + below) - all_ @ jnp.log(a + b + below))

    gradient, hessian = jax.grad(loss), jax.hessian(loss)
    mean = (hits.sum() + 0.5) / (total.sum() + 1)
    start = jnp.log(jnp.stack([mean, 1 - mean]))

    def step(_: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
        theta, damping = state
        curvature = hessian(theta) + damping * jnp.eye(2, dtype=theta.dtype)
        move = jnp.clip(_solve(curvature, gradient(theta)), -1, 1)
        better = loss(theta - move) <= loss(theta)
        return jnp.where(better, theta - move, theta), jnp.clip(jnp.where(better, damping / 4, damping * 8), 1e-6, 1e9)

    theta, _ = jax.lax.fori_loop(0, _MAX_STEPS, step, (start, jnp.ones((), start.dtype)))

    def logit_forecast(theta: Array) -> Array:
        a, b = jnp.exp(theta)
        log_miss = betaln(a, b + draws) - betaln(a, b)
        return jnp.log(-jnp.expm1(log_miss)) - log_miss

    curvature = hessian(theta)
    slope = jax.grad(logit_forecast)(theta)
    variance = slope @ _solve(curvature, slope)
    used = total > 0
    num = used.sum().astype(jnp.int32)
    steep = jnp.abs(gradient(theta)).max() > 1e-3 * jnp.maximum(1, num.astype(theta.dtype))
    bounded = (jnp.abs(theta) < 8).all() & (variance > 0) & ~steep
    centre, error = logit_forecast(theta), jnp.sqrt(jnp.where(bounded, variance, 1))
    z = normal_quantile((1 - level) / 2)
    estimate = jax.nn.sigmoid(centre)
    status = jnp.where(bounded, Status.OK, Status.NOT_CONVERGED)
    return Interval(
        estimate=jnp.where(num > 0, estimate, jnp.nan),
        lower=jnp.where(bounded, jax.nn.sigmoid(centre - z * error), 0),
        upper=jnp.where(bounded, jax.nn.sigmoid(centre + z * error), 1),
        standard_error=jnp.where(bounded, estimate * (1 - estimate) * error, jnp.nan),
        num_units=num,
        status=jnp.where(num > 0, status, Status.NO_VERDICT).astype(jnp.int32),
    )


def _solve(matrix: Array, vector: Array) -> Array:
    """Two by two, by Cramer's rule: a batched factorisation would cost more than all the rest."""
    determinant = matrix[0, 0] * matrix[1, 1] - matrix[0, 1] * matrix[1, 0]
    safe = jnp.where(jnp.abs(determinant) > 0, determinant, 1)
    return (
        jnp.stack(
            [
                matrix[1, 1] * vector[0] - matrix[0, 1] * vector[1],
                matrix[0, 0] * vector[1] - matrix[1, 0] * vector[0],
            ]
        )
        / safe
    )
