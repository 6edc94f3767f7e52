"""Robustness against consistency: everything that is measured, as arrays."""

import pathlib
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from verax.online import caching, learning, scheduling, ski_rental

GAMMAS = (1.6, 1.8, 2.0, 3.0, 6.0)


class Frontiers(NamedTuple):
    """Ski rental at each price (rows) and robustness (columns)."""

    closed_form: np.ndarray
    programme: np.ndarray
    certified: np.ndarray
    vertices: np.ndarray
    policy: np.ndarray
    limit: np.ndarray


def ski_rental_frontiers(prices: tuple[int, ...]) -> Frontiers:
    """The frontier by closed form, linear programme, certificate, interpolated vertices and measured policy."""
    gammas = np.array(GAMMAS)
    rows = []
    with jax.enable_x64(True):
        for price in prices:
            robustness, consistency = (np.asarray(side)[::-1] for side in ski_rental.frontier_vertices(price))
            game = ski_rental.rental_game(price, 2 * price + 2)
            policy = ski_rental.optimal_distribution(gammas, price)
            rows.append(
                (
                    ski_rental.consistency_lower_bound(gammas, price),
                    game.frontier(gammas, 2 * price + 1).consistency,
                    [ski_rental.lower_bound_certificate(float(gamma), price).bound for gamma in gammas],
                    np.interp(gammas, robustness, consistency),
                    ski_rental.worst_case(policy, price).consistency,
                    ski_rental.consistency_lower_bound(gammas),
                )
            )
        return Frontiers(*(np.array([np.asarray(row[k]) for row in rows]) for k in range(6)))


class Schedules(NamedTuple):
    """Excess consistency at each number of jobs (rows) and robustness (columns), NaN where it is not attained."""

    num_jobs: tuple[int, ...]
    robustness: np.ndarray  # one row a number of jobs
    bound: np.ndarray
    search: np.ndarray
    two_stage: np.ndarray
    preferential: np.ndarray
    worst_two_jobs: float  # two-stage against the bound, exact worst case, two jobs
    adversary: (
        float  # two-stage, exact worst case against the adversary that ends all others at once, equal predictions
    )
    tight: float  # preferential round robin on its tight instances, against the closed forms


def schedules(num_jobs: tuple[int, ...], points: int) -> Schedules:
    """Frontiers of schedules for equal predictions."""
    with jax.enable_x64(True):
        robustness = np.stack([np.linspace(2 * n / (n + 1), max(2.0, 0.6 * n), points + 2)[1:-1] for n in num_jobs])
        found = [
            [scheduling.search_schedule(n, float(g)) for g in row] for n, row in zip(num_jobs, robustness, strict=True)
        ]
        search = np.array([[float(s.consistency) for s in row] for row in found])
        bound = np.array([[float(s.lower_bound) for s in row] for row in found])
        two_stage, preferential = np.empty_like(search), np.empty_like(search)
        for row, n in enumerate(num_jobs):
            lam = np.linspace(1e-4, (n - 1) / (n + 1), 400)
            worst = np.asarray(scheduling.two_stage_equal_jobs(n, lam)[0])
            two_stage[row] = 1 + np.interp(robustness[row], worst[::-1], lam[::-1])
            share = np.linspace(0, 1 - 1e-9, 2000)
            ratio = np.asarray(scheduling.preferential_round_robin_robustness(n, share))
            preferential[row] = np.interp(
                robustness[row], ratio, np.asarray(scheduling.preferential_round_robin_consistency(n, share))
            )
        lams = np.array([0.02, 0.05, 0.1, 0.2, 0.3])
        worst = [float(scheduling.two_stage_worst_case(np.ones(2), float(lam)).robustness) for lam in lams]
        worst_two_jobs = float(np.abs(worst - np.asarray(scheduling.robustness_lower_bound(2, lams))).max())
        adversary = max(_beyond_adversary(n, lam) for n in num_jobs for lam in (0.02, 0.1, 0.3))
        tight = max(_tightness(n, lam) for n in num_jobs for lam in (0.2, 0.5, 0.8))
    return Schedules(num_jobs, robustness, bound, search, two_stage, preferential, worst_two_jobs, adversary, tight)


def _beyond_adversary(n: int, lam: float) -> float:
    equal, _ = scheduling.two_stage_equal_jobs(n, lam)
    return abs(float(scheduling.two_stage_worst_case(np.ones(n), lam).robustness) - float(equal))


def _tightness(n: int, lam: float) -> float:
    equal, order = np.ones(n), np.arange(1.0, n + 1)
    long = np.append(n / (1 - lam) - (n - 1), np.ones(n - 1))
    ratios = [
        float(scheduling.preferential_round_robin_cost(x, order, lam) / scheduling.optimal_cost(x))
        for x in (equal, long)
    ]
    forms = (
        scheduling.preferential_round_robin_consistency(n, lam),
        scheduling.preferential_round_robin_robustness(n, lam),
    )
    return max(abs(ratio - float(form)) for ratio, form in zip(ratios, forms, strict=True))


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


def image_requests(folder: pathlib.Path, num_blocks: int) -> np.ndarray:
    """Mean ratio of each schedule on image-generation requests in order of arrival, ``[schedule, block]``."""
    with np.load(folder / "alibaba_genai_requests.npz", allow_pickle=False) as archive:
        numbers = [archive[n] for n in ("prompt_length", "num_images_per_prompt", "num_inference_steps", "num_lora")]
        kinds = [archive[n] for n in ("model", "type", "user_group")]
        seconds = archive["exec_time_s"].astype(np.float64)
    filled = [np.log1p(np.where(np.isfinite(column), column, np.nanmedian(column))) for column in numbers]
    flags = [(kind[:, None] == np.unique(kind)[:30]).astype(np.float64) for kind in kinds]
    return _by_fitted_sizes(np.concatenate([np.stack(filled, axis=1), *flags], axis=1), seconds, num_blocks)


def language_requests(folder: pathlib.Path, num_blocks: int) -> np.ndarray:
    """The same on requests to a language model: generated tokens predicted from the length of the context."""
    with np.load(folder / "azure_llm_trace.npz", allow_pickle=False) as archive:
        context, generated = (archive[f"conv_{name}_tokens"].astype(np.float64) for name in ("context", "generated"))
    logs = np.log1p(context)
    return _by_fitted_sizes(np.stack([logs, logs**2], axis=1), generated, num_blocks)


def _by_fitted_sizes(features: np.ndarray, sizes: np.ndarray, num_blocks: int) -> np.ndarray:
    """Fit the logarithm of the size linearly on the first half; schedule the second half, in batches of 50, by it."""
    kept = np.isfinite(sizes) & (sizes > 0)
    features, sizes = np.concatenate([np.ones((int(kept.sum()), 1)), features[kept]], axis=1), sizes[kept]
    half = len(sizes) // 2
    fitted, *_ = np.linalg.lstsq(features[:half], np.log(sizes[:half]), rcond=1e-8)
    predicted = np.exp(features[half:] @ fitted)
    num = len(predicted) // 50 * 50
    ratios = schedule_ratios(sizes[half:][:num].reshape(-1, 50), predicted[:num].reshape(-1, 50))
    return np.stack([block.mean(1) for block in np.array_split(ratios, num_blocks, axis=1)], axis=1)


def ink_series() -> dict[str, np.ndarray]:
    """The embedded series: ink of scikit-learn's digits in file order, a stand-in for demand."""
    from sklearn.datasets import load_digits

    images, _ = load_digits(return_X_y=True)
    return {"ink of digits": np.asarray(images).sum(1)}


def demand_series(folder: pathlib.Path) -> dict[str, np.ndarray]:
    """The series of the data folder."""
    with np.load(folder / "demand_series.npz", allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files if not name.endswith("__t")}


class Rental(NamedTuple):
    """Total cost over total optimum on the second half of each series' seasons."""

    names: tuple[str, ...]
    ratios: np.ndarray  # [series, (no prediction, repeat the last, learned)]
    caps: np.ndarray


def rentals(series: dict[str, np.ndarray], lam: float) -> Rental:
    """Rent a further machine while demand is above its median, or buy it: predict a season from those before.

    The price is the mean season, at least 4. "No prediction" is the most robust policy.
    """
    names, ratios, caps = [], [], []
    for name, values in series.items():
        days = _seasons(values)
        if len(days) < 60:
            continue
        price = max(4, round(float(days.mean())))
        half = len(days) // 2
        last = np.stack([days[1:-1], days[:-2]], axis=1)
        features, days = np.log(last), days[2:]
        params = _train(features[:half], days[:half], price, lam)
        learned = learning.evaluate_predictor(params, _predict, features[half:], days[half:], price, lam)
        optimum = float(np.minimum(days[half:], price).sum())
        robust = ski_rental.buy_distribution_cost(days[half:], price, price, 1.0)
        repeated = ski_rental.buy_distribution_cost(days[half:], last[half:, 0], price, lam)
        names.append(name)
        ratios.append((float(robust.sum() / optimum), float(repeated.sum() / optimum), float(learned.total_ratio)))
        caps.append(float(learned.robustness))
    return Rental(tuple(names), np.array(ratios), np.array(caps))


def _seasons(values: np.ndarray) -> np.ndarray:
    """Lengths of the runs above the median."""
    high = np.concatenate([[False], values > np.median(values), [False]])
    edges = np.flatnonzero(high[1:] != high[:-1])
    return (edges[1::2] - edges[::2]).astype(np.int32)


def _predict(params: dict[str, jax.Array], features: jax.Array) -> jax.Array:
    return jax.nn.sigmoid(features.astype(params["slope"].dtype) @ params["slope"] + params["offset"])


def _train(features: np.ndarray, days: np.ndarray, price: int, lam: float) -> dict[str, jax.Array]:
    dtype = jnp.result_type(float)
    params = {"slope": jnp.zeros(features.shape[1], dtype), "offset": jnp.zeros((), dtype)}
    optimizer = optax.adam(0.1)
    x, seasons = jnp.asarray(features, dtype), jnp.asarray(days)

    def loss(params: dict[str, jax.Array]) -> jax.Array:
        return learning.evaluate_predictor(params, _predict, x, seasons, price, lam).total_ratio

    def step(state: tuple, _: None) -> tuple[tuple, jax.Array]:
        params, inner = state
        value, gradient = jax.value_and_grad(loss)(params)
        with jax.numpy_dtype_promotion("standard"):  # optax's adam mixes weak types
            updates, inner = optimizer.update(gradient, inner)
            params = optax.apply_updates(params, updates)
        return (params, inner), value

    def fit(params: dict[str, jax.Array]) -> dict[str, jax.Array]:
        (params, _), _ = jax.lax.scan(step, (params, optimizer.init(params)), length=200)
        return params

    return jax.jit(fit)(params)


CACHES = ("marker", "blind oracle", "predictive marker", "combined")


def cache_misses(series: dict[str, np.ndarray], key: jax.Array, *, length: int = 1000) -> tuple[np.ndarray, float]:
    """Misses over those of the optimum, ``[policy, series]``, and the worst of (combined - cache size) / better.

    Pages are the series' 32 quantile bins, the cache holds 8, and the predicted next request is as far ahead as the
    last one was behind.
    """
    pages, size = 32, 8

    def one(requests: jax.Array, predicted: jax.Array, key: jax.Array) -> tuple[jax.Array, ...]:
        optimum = caching.belady(requests, size, num_pages=pages)
        first = caching.marker(requests, size, num_pages=pages, key=key)
        oracle = caching.blind_oracle(requests, predicted, size, num_pages=pages)
        marked = caching.predictive_marker(requests, predicted, size, num_pages=pages, key=key)
        both = caching.combine(requests, oracle, first, size)
        return tuple(run.num_misses for run in (optimum, first, oracle, marked, both))

    traces, predictions = [], []
    for values in series.values():
        cut = values[:length]
        if len(cut) < length:
            continue
        ranks = np.argsort(np.argsort(cut, kind="stable"), kind="stable")
        trace = (ranks * pages // length).astype(np.int32)
        seen: dict[int, int] = {}
        predicted = np.empty(length, np.float32)
        for time, page in enumerate(trace.tolist()):
            predicted[time] = time + (time - seen[page] if page in seen else length)
            seen[page] = time
        traces.append(trace)
        predictions.append(predicted)
    keys = jax.random.split(key, len(traces))
    misses = np.stack(jax.jit(jax.vmap(one))(jnp.asarray(traces), jnp.asarray(predictions), keys)).astype(np.float64)
    better = np.minimum(misses[1], misses[2])
    return misses[1:] / misses[0], float(((misses[4] - size) / better).max())
