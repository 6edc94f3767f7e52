"""Matching markets: runs of policies, as arrays."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from verax import matching as vm


class Curves(NamedTuple):
    """Outcome of each round, one row per seed."""

    instability: np.ndarray
    utility_gap: np.ndarray
    revenue: np.ndarray

    def regret(self) -> np.ndarray:
        """Sum of the instability so far."""
        return self.instability.cumsum(1)


def golden() -> tuple[float, float]:
    """Instability and welfare gap of one customer matched to the worse of two providers (3 and 2)."""
    market = vm.Market(jnp.array([[9.0, 12.0]]), jnp.array([[-5.0, -10.0]]))
    outcome = vm.Outcome(jnp.array([1]), jnp.array([-11.0]), jnp.array([0.0, 11.0]))
    value = vm.subset_instability(market, outcome).value
    return float(value), float(vm.utility_gap(market, outcome))


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _play(policy_fn: Any, make_fn: Any, horizon: int, keys: jax.Array) -> Any:
    def one(key: jax.Array) -> Any:
        market_key, run_key = jax.random.split(key)
        market, preferences, arrivals = make_fn(market_key, horizon)
        history = vm.simulate(policy_fn(preferences, horizon), market, horizon=horizon, arrivals=arrivals, key=run_key)
        return history.instability, history.utility_gap, history.revenue

    return jax.vmap(one)(keys)


def play(policy_fn: Any, make_fn: Any, horizon: int, keys: jax.Array) -> Curves:
    """Run ``policy_fn(preferences, horizon)`` in ``make_fn(key, horizon)``, one market per key."""
    return Curves(*(np.asarray(part, np.float64) for part in _play(policy_fn, make_fn, horizon, keys)))


def ucb(prices: str = "midpoint", fee: float = 0.0, scale: float = 1.0) -> Any:
    """MatchUCB; the heuristic scale, since the valid one still explores at the horizons that fit here."""
    return _ucb(prices, fee, scale)


@functools.cache  # one object for each choice, so that it is compiled once
def _ucb(prices: str, fee: float, scale: float) -> Any:
    return lambda model, horizon: vm.match_ucb(model, horizon=horizon, confidence_scale=scale, prices=prices, fee=fee)


def unpaid(model: Any, horizon: int) -> vm.Policy:
    """UCB without transfers."""
    return vm.ucb_without_transfers(model, horizon=horizon, confidence_scale=1.0)


def commit(model: Any, horizon: int) -> vm.Policy:
    """Explore, then commit."""
    return vm.explore_then_commit(model, horizon=horizon)


def greedy(model: Any, horizon: int) -> vm.Policy:
    """Epsilon-greedy."""
    del horizon
    return vm.epsilon_greedy(model)


def thompson(model: Any, horizon: int) -> vm.Policy:
    """Thompson sampling."""
    del horizon
    return vm.thompson(model)


@functools.cache
def minimax(size: int) -> Any:
    """The hard market of each horizon."""
    return lambda key, horizon: (vm.minimax_market(size, horizon=horizon, key=key), vm.Unstructured(), None)


@functools.cache
def uniform(size: int) -> Any:
    """Utilities drawn independently."""
    return lambda key, horizon: (vm.random_market(size, size, key=key), vm.Unstructured(), None)


@functools.cache
def typed(size: int, present: int | None) -> Any:
    """Three types per side; some of each side come in a round, or all."""
    types = np.arange(size) % 3

    def make(key: jax.Array, horizon: int) -> Any:
        market_key, arrival_key = jax.random.split(key)
        arrivals = None
        if present is not None and present < size:
            arrivals = vm.random_arrivals(size, size, present=present, horizon=horizon, key=arrival_key)
        return vm.typed_market(types, types, key=market_key), vm.Typed(types, types), arrivals

    return make


@functools.cache
def linear(size: int, dimension: int) -> Any:
    """Utilities linear in known contexts."""

    def make(key: jax.Array, horizon: int) -> Any:
        del horizon
        market, model = vm.linear_market(size, size, dimension, key=key)
        return market, model, None

    return make


def slope(x: Any, y: np.ndarray) -> np.ndarray:
    """Least-squares slope of log y in log x, one a row of ``y``."""
    log_x = np.log(np.asarray(x, float))
    centred = log_x - log_x.mean()
    return np.asarray((np.log(np.maximum(y, 1e-12)) * centred).sum(-1) / (centred**2).sum())


def late_slope(regret: np.ndarray) -> np.ndarray:
    """Slope of log regret in log time over the last three quarters, one per seed."""
    horizon = regret.shape[1]
    times = np.unique(np.geomspace(horizon // 4, horizon, 20).astype(int))
    return slope(times, regret[:, times - 1])
