"""Instances a second of the online room against NumPy and plain Python, in turns.

``python benchmarks/online.py`` writes ``results/<device>/online.json``. Plain Python runs the published algorithms one
instance at a time on a thousandth of the instances; its rate is per instance all the same.
"""

import argparse

import _harness
import jax
import jax.numpy as jnp
import numpy as np

from verax.online import scheduling, ski_rental

TARGETS = {"deterministic": 1e9, "randomized": 5e8, "preferential round robin": 3e6}
PRICE, LAM, JOBS = 100, 0.5, 8


def numpy_deterministic(days, predicted):
    day = np.where(predicted >= PRICE, np.float32(np.ceil(LAM * PRICE)), np.float32(np.ceil(PRICE / LAM)))
    return np.where(days < day, days, day + (PRICE - 1))


def numpy_randomized(days, predicted):
    support = np.where(predicted >= PRICE, np.float32(LAM * PRICE), np.float32(PRICE / LAM))
    return np.minimum(days, support) / (1 - np.float32(1 - 1 / PRICE) ** support)


def numpy_preferential(x, y):
    left = np.take_along_axis(x, np.argsort(y, axis=1, kind="stable"), axis=1)
    unfinished, total = np.ones(left.shape, bool), np.zeros(len(left), left.dtype)
    for number in range(left.shape[1], 0, -1):
        first = unfinished & (np.cumsum(unfinished, axis=1) == 1)
        rate = np.where(unfinished, (1 - LAM) / number + LAM * first, np.inf).astype(left.dtype)
        span = np.where(unfinished, left / rate, np.inf)
        job, elapsed = span.argmin(1), span.min(1)
        left = left - np.where(unfinished, rate * elapsed[:, None], 0)
        unfinished[np.arange(len(left)), job] = False
        total += elapsed * number
    return total


def python_deterministic(days, predicted):
    return [
        x if x < (day := 50 if y >= PRICE else 200) else day + PRICE - 1 for x, y in zip(days, predicted, strict=True)
    ]


def python_randomized(days, predicted):
    costs = []
    for x, y in zip(days, predicted, strict=True):
        support = 50 if y >= PRICE else 200
        q = 1 - 1 / PRICE
        pmf = [q ** (support - i) / (PRICE * (1 - q**support)) for i in range(1, support + 1)]
        costs.append(sum(p * (x if x < i else i - 1 + PRICE) for i, p in enumerate(pmf, start=1)))
    return costs


def python_preferential(x, y):
    costs = []
    for sizes, predicted in zip(x.tolist(), y.tolist(), strict=True):
        left = [sizes[j] for j in sorted(range(len(sizes)), key=predicted.__getitem__)]
        unfinished, now, total = list(range(len(left))), 0.0, 0.0
        while unfinished:
            common = (1 - LAM) / len(unfinished)
            rates = {j: common + (LAM if j == unfinished[0] else 0.0) for j in unfinished}
            elapsed, job = min((left[j] / rates[j], j) for j in unfinished)
            for j in unfinished:
                left[j] -= rates[j] * elapsed
            now += elapsed
            total += now
            unfinished.remove(job)
        costs.append(total)
    return costs


def measure(ours, with_numpy, with_python, arguments, repeats):
    """Instances a second of each, and how much faster ours is."""
    num, few = len(arguments[0]), max(1, len(arguments[0]) // 1000)
    on_device = [jnp.asarray(argument) for argument in arguments]
    short = [argument[:few] for argument in arguments]
    lists = [argument.tolist() if argument.ndim == 1 else argument for argument in short]
    seconds = _harness.interleaved(
        {
            "verax": lambda: ours(*on_device),
            "numpy": lambda: with_numpy(*arguments),
            "python": lambda: with_python(*lists),
        },
        repeats,
    )
    expected = np.asarray(with_python(*lists), np.float64)
    agreement = {
        "numpy": float(np.abs(with_numpy(*short) / expected - 1).max()),
        "verax": float(np.abs(np.asarray(ours(*[a[:few] for a in on_device])) / expected - 1).max()),
    }
    rates = {name: (few if name == "python" else num) / float(np.median(times)) for name, times in seconds.items()}
    faster = {name: rates["verax"] / rate for name, rate in rates.items() if name != "verax"}
    return {
        "num_instances": num,
        "instances_per_second": rates,
        "times_faster": faster,
        "largest_relative_difference_from_python": agreement,
    }


def main():
    """Run all rows and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--num", type=int, default=4_000_000, help="seasons; a twentieth as many batches of jobs")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    days = rng.integers(1, 4 * PRICE, options.num).astype(np.float32)
    predicted = np.maximum(1, days + rng.normal(0, PRICE, options.num)).astype(np.float32).round()
    x, y = (rng.exponential(size=(options.num // 20, JOBS)).astype(np.float32) for _ in range(2))
    rows = {
        "deterministic": measure(
            jax.jit(lambda d, p: ski_rental.buy_day_cost(ski_rental.buy_day(p, PRICE, LAM).astype(d.dtype), d, PRICE)),
            numpy_deterministic,
            python_deterministic,
            (days, predicted),
            options.repeats,
        ),
        "randomized": measure(
            jax.jit(lambda d, p: ski_rental.buy_distribution_cost(d, p, PRICE, LAM)),
            numpy_randomized,
            python_randomized,
            (days, predicted),
            options.repeats,
        ),
        "preferential round robin": measure(
            jax.jit(lambda x, y: scheduling.preferential_round_robin_cost(x, y, LAM)),
            numpy_preferential,
            python_preferential,
            (x, y),
            options.repeats,
        ),
    }
    for name, row in rows.items():
        row["target"] = TARGETS[name]
        row["met"] = row["instances_per_second"]["verax"] >= TARGETS[name]
        rates = ", ".join(f"{who} {rate:.3g}/s" for who, rate in row["instances_per_second"].items())
        print(f"{name:26} {rates}; target {row['target']:.0e} {'met' if row['met'] else 'MISSED'}", flush=True)
    print(_harness.write("online", {"environment": _harness.environment(), "repeats": options.repeats, "rows": rows}))


if __name__ == "__main__":
    main()
