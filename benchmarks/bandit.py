"""Rounds of MatchUCB a second, against a Python loop around SciPy, in turns.

``python benchmarks/bandit.py`` writes ``results/<device>/bandit.json``. Midpoint prices, unit noise, 16 runs of one
market; the loop plays a few hundred rounds of one run, and its rate is per round all the same.
"""

import argparse

import _harness
import jax
import numpy as np
from scipy.optimize import linear_sum_assignment

from verax import matching as vm

SEEDS = 16


def extreme(weights, match, owner):
    """Least column prices of an optimal matching, by repeated relaxation."""
    price = np.zeros(weights.shape[1])
    rows = np.arange(len(weights))
    for _ in range(len(weights) + 1):
        row = np.where(match >= 0, weights[rows, match] - price[match], 0)
        higher = np.where(owner >= 0, np.maximum(price, (weights - row[:, None]).max(0)), 0)
        if (higher <= price).all():
            break
        price = higher
    return np.maximum(row, 0), price


def python_loop(customer, provider, horizon, rounds, rng):
    """MatchUCB by SciPy: rounds as they come, one run."""
    n, m = customer.shape
    plays, sums = np.zeros((n, m)), np.zeros((2, n, m))
    for _ in range(rounds):
        with np.errstate(divide="ignore"):
            width = np.sqrt(np.log((n + m) * horizon) / plays)
        upper = np.clip(sums / np.maximum(plays, 1) + width, -1, 1)
        weights = upper.sum(0)
        row, col = linear_sum_assignment(np.maximum(weights, 0), maximize=True)
        match, owner = np.full(n, -1), np.full(m, -1)
        kept = weights[row, col] > 0
        match[row[kept]], owner[col[kept]] = col[kept], row[kept]
        high_row, low_col = extreme(weights, match, owner)
        high_col, low_row = extreme(weights.T, owner, match)
        prices = (high_row + low_row) / 2, (high_col + low_col) / 2
        i, j = row[kept], col[kept]
        _transfers = prices[0][i] - upper[0][i, j], prices[1][j] - upper[1][i, j]
        plays[i, j] += 1
        sums[0][i, j] += customer[i, j] + rng.normal(size=len(i))
        sums[1][i, j] += provider[i, j] + rng.normal(size=len(i))
    return plays


def measure(n, horizon, repeats):
    """Rounds a second of each path."""
    market = vm.random_market(n, n, key=jax.random.key(0))
    keys = jax.random.split(jax.random.key(1), SEEDS)
    sides = [np.asarray(side, np.float64) for side in market]

    def ours(implementation, rounds):
        def run(key):
            policy = vm.match_ucb(vm.Unstructured(), horizon=rounds, confidence_scale=1.0)
            history = vm.simulate(policy, market, horizon=rounds, key=key, implementation=implementation)
            return history.outcome, history.state

        return jax.jit(jax.vmap(run))

    scan = max(256, horizon // 16 // 256 * 256)
    loop = max(50, 5000 // n)
    native, portable = ours("native", horizon), ours("xla", scan)
    rng = np.random.default_rng(0)
    seconds = _harness.interleaved(
        {
            "verax": lambda: native(keys),
            "verax scan": lambda: portable(keys),
            "python": lambda: python_loop(*sides, horizon, loop, rng),
        },
        repeats,
    )
    rounds = {"verax": SEEDS * horizon, "verax scan": SEEDS * scan, "python": loop}
    rates = {name: rounds[name] / float(np.median(times)) for name, times in seconds.items()}
    faster = {
        name: float(np.median(np.divide(seconds[name], seconds["verax"]))) * rounds["verax"] / rounds[name]
        for name in ("verax scan", "python")
    }
    print(f"n = {n}: " + ", ".join(f"{who} {rate:,.0f} rounds/s" for who, rate in rates.items()), faster, flush=True)
    return {"rounds_per_second": rates, "times_faster": faster, "target": 20, "met": faster["python"] >= 20}


def main():
    """Run both sizes and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    rows = {n: measure(n, horizon, options.repeats) for n, horizon in ((10, 16384), (50, 4096))}
    record = {"environment": _harness.environment(), "repeats": options.repeats, "seeds": SEEDS, "rows": rows}
    print(_harness.write("bandit", record))


if __name__ == "__main__":
    main()
