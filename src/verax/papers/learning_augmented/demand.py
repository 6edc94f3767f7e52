"""Learning-augmented algorithms: rent-or-buy and caching on series of demand."""

import pathlib
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from verax._extras import extra
from verax.online import caching, learning, ski_rental


def ink_series() -> dict[str, np.ndarray]:
    """The embedded series: ink of scikit-learn's digits in file order, a stand-in for demand."""
    with extra("probe"):
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
        return tuple(jnp.asarray(run.num_misses) for run in (optimum, first, oracle, marked, both))

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
