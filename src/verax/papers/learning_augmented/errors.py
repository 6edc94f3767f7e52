"""Learning-augmented algorithms: ratios as the errors of predictions grow."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from verax.online import scheduling, ski_rental


class ErrorCurves(NamedTuple):
    """Ratios by trade-off (or schedule), noise and seed."""

    noise: np.ndarray
    mean: np.ndarray  # [choice, noise, seed]
    worst: np.ndarray
    caps: np.ndarray  # [choice]


def rental_errors(lams: tuple[float, ...], num_seasons: int, num_seeds: int, key: jax.Array) -> ErrorCurves:
    """A price of 100, seasons uniform in 1..400, predictions with Gaussian errors."""
    price = 100
    noise = price * np.array([0.0, 0.1, 0.3, 1.0, 2.0, 4.0])

    def one(key: jax.Array, sigma: jax.Array, lam: jax.Array) -> tuple[jax.Array, jax.Array]:
        first, second = jax.random.split(key)
        days = jax.random.randint(first, (num_seasons,), 1, 4 * price + 1)
        predicted = days.astype(sigma.dtype) + sigma * jax.random.normal(second, days.shape, sigma.dtype)
        predicted = jnp.maximum(1, jnp.round(predicted)).astype(days.dtype)
        cost = ski_rental.buy_distribution_cost(days, predicted, price, lam)
        ratio = cost / ski_rental.optimal_cost(days, price).astype(cost.dtype)
        return ratio.mean(), ratio.max()

    over = jax.vmap(jax.vmap(jax.vmap(one, (0, None, None)), (None, 0, None)), (None, None, 0))
    dtype = jnp.result_type(float)
    keys = jax.random.split(key, num_seeds)
    mean, worst = jax.jit(over)(keys, jnp.asarray(noise, dtype), jnp.asarray(lams, dtype))
    caps = [max(_cap(price, lam, prediction) for prediction in (1, price)) for lam in lams]
    return ErrorCurves(noise / price, np.asarray(mean), np.asarray(worst), np.array(caps))


def _cap(price: int, lam: float, prediction: int) -> float:
    return float(ski_rental.worst_case(ski_rental.buy_distribution(prediction, price, lam), price).robustness)


SCHEDULES = ("round robin", "shortest predicted first", "preferential, 0.5", "two-stage, 0.2")


def schedule_ratios(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Ratio to the optimum of each of ``SCHEDULES`` on each batch of ``[b, n]``."""
    return np.asarray(_schedule_ratios(jnp.asarray(x), jnp.asarray(y)))


@jax.jit  # one compilation for all seeds and errors
def _schedule_ratios(x: jax.Array, y: jax.Array) -> jax.Array:
    costs = (
        scheduling.round_robin_cost(x),
        scheduling.shortest_predicted_first_cost(x, y),
        scheduling.preferential_round_robin_cost(x, y, 0.5),
        scheduling.two_stage_cost(x, y, 0.2),
    )
    return jnp.stack(costs) / scheduling.optimal_cost(x)


def schedule_errors(num_batches: int, num_seeds: int, rng: np.random.Generator) -> ErrorCurves:
    """Batches of 50 jobs, Pareto sizes of index 1.1, predictions off by a log-normal factor."""
    noise = np.array([0.0, 0.1, 0.5, 1.0, 2.0])
    mean, worst = np.empty((2, len(SCHEDULES), len(noise), num_seeds))
    for seed in range(num_seeds):
        x = 1 + rng.pareto(1.1, (num_batches, 50))
        factors = rng.standard_normal(x.shape)
        for column, sigma in enumerate(noise):
            ratios = schedule_ratios(x, x * np.exp(sigma * factors))
            mean[:, column, seed], worst[:, column, seed] = ratios.mean(1), ratios.max(1)
    return ErrorCurves(noise, mean, worst, np.full(len(SCHEDULES), np.nan))
