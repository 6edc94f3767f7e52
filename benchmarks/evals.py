"""Clustered bootstrap of a whole outcome table against SciPy and NumPy loops, in turns; memory of a large table.

``python benchmarks/evals.py`` writes ``results/<device>/evals.json``. All three resample the same prompt means: SciPy's
``bootstrap`` in vectorised batches, NumPy one replicate at a time. ``recomputed`` is the loop that needs no thought:
draw clusters, take their prompts' labels, compute the statistics again; it does a hundredth of the replicates, and its
time is a hundred times that.
"""

import argparse
import json
import resource
import subprocess
import sys

import _harness
import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats

import verax.evals as ve

SHAPE, CLUSTERS, REPLICATES, TARGET = (4, 30, 300, 5), 100, 10_000, 50
LARGE = (10, 20, 10_000, 5)


def statistics(table):
    """Rate of BAD under each attack, and of any of them succeeding."""
    return jnp.concatenate([ve.rate(table, method="cluster_t").estimate, ve.any_of(table).estimate[:, None]], axis=1)


@jax.jit
def ours(table, key):
    return ve.bootstrap(table, statistics, num_resamples=REPLICATES, key=key)


def prompt_means(labels):
    """Means over samples, and the unbiased probability that some attack succeeds, [statistic, prompt]."""
    rate = labels.mean(-1)
    return np.concatenate([rate.reshape(-1, rate.shape[-1]), 1 - np.prod(1 - rate, axis=1)])


def by_cluster(x, cluster):
    """Sums over clusters, and their sizes."""
    sums = np.stack([x[:, cluster == c].sum(1) for c in range(CLUSTERS)], axis=1)
    return sums, np.bincount(cluster, minlength=CLUSTERS)


def with_numpy(labels, cluster, rng):
    sums, sizes = by_cluster(prompt_means(labels), cluster)
    draws = np.empty((REPLICATES, len(sums)))
    for row in range(REPLICATES):
        chosen = rng.integers(0, CLUSTERS, CLUSTERS)
        draws[row] = sums[:, chosen].sum(1) / sizes[chosen].sum()
    return np.quantile(draws, [0.025, 0.975], axis=0)


def recomputed(labels, cluster, rng):
    """A hundredth of the replicates."""
    members = [np.flatnonzero(cluster == c) for c in range(CLUSTERS)]
    draws = []
    for _ in range(REPLICATES // 100):
        prompts = np.concatenate([members[c] for c in rng.integers(0, CLUSTERS, CLUSTERS)])
        draws.append(prompt_means(labels[:, :, prompts]).mean(1))
    return np.quantile(draws, [0.025, 0.975], axis=0)


def with_scipy(labels, cluster, rng):
    sums, sizes = by_cluster(prompt_means(labels), cluster)

    def statistic(index, axis):
        del axis
        return sums[:, index].sum(-1) / sizes[index].sum(-1)

    found = scipy.stats.bootstrap(
        (np.arange(CLUSTERS),), statistic, n_resamples=REPLICATES, batch=100, method="percentile", rng=rng
    )
    return np.stack([found.confidence_interval.low, found.confidence_interval.high])


def large_table():
    """Peak memory of rates and any-of on ten million outcomes, in a process of its own."""
    labels = np.random.default_rng(0).integers(0, 4, LARGE, np.int8)
    table = ve.OutcomeTable(labels)
    jax.block_until_ready((ve.rate(table), ve.any_of(table)))
    print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024))


def main():
    """Run and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--large-table", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.large_table:
        large_table()
        return
    rng = np.random.default_rng(0)
    labels = (rng.random(SHAPE) < rng.beta(0.4, 1.6, (1, *SHAPE[1:3], 1))).astype(np.int8)
    cluster = rng.permutation(np.arange(SHAPE[2]) % CLUSTERS)
    table = ve.OutcomeTable(labels, cluster=cluster)
    key = jax.random.key(0)
    seconds = _harness.interleaved(
        {
            "verax": lambda: ours(table, key),
            "numpy": lambda: with_numpy(labels, cluster, np.random.default_rng(1)),
            "scipy": lambda: with_scipy(labels, cluster, np.random.default_rng(1)),
            "recomputed": lambda: recomputed(labels, cluster, np.random.default_rng(1)),
        },
        options.repeats,
    )
    seconds["recomputed"] = [100 * time for time in seconds["recomputed"]]
    mine = np.stack([np.asarray(side) for side in ours(table, key)])
    mine = np.concatenate([mine[:, :, :-1].reshape(2, -1), mine[:, :, -1]], axis=1)
    apart = float(np.abs(mine - with_numpy(labels, cluster, np.random.default_rng(1))).max())
    faster = _harness.ratios(seconds, ours="verax")
    for name, ratio in faster.items():
        print(
            f"{name}: {ratio:.1f} times slower; target {TARGET}: {'met' if ratio >= TARGET else 'MISSED'}", flush=True
        )
    code = [sys.executable, __file__, "--large-table"]
    peak = json.loads(subprocess.run(code, check=True, capture_output=True, text=True).stdout)
    print(f"ten million outcomes: peak memory {peak / 2**30:.2f} GiB; target 4")
    record = {
        "environment": _harness.environment(),
        "shape": SHAPE,
        "clusters": CLUSTERS,
        "replicates": REPLICATES,
        "repeats": options.repeats,
        "median_seconds": {name: float(np.median(times)) for name, times in seconds.items()},
        "times_faster": faster,
        "target": TARGET,
        "largest_difference_of_limits_from_numpy": apart,
        "peak_bytes_of_ten_million_outcomes": peak,
    }
    print(_harness.write("evals", record))


if __name__ == "__main__":
    main()
