"""Exact assignment and transport against SciPy, lapx, optax and POT, in turns.

``python benchmarks/assignment.py`` writes ``results/<device>/assignment.json``, or renews its ``--sections``. Double
precision, costs to minimise, everybody matched; ``singly`` is one call a problem from Python, ``in one call`` a batch.
lapx and POT are in ``benchmarks/peers/assignment``.
"""

import argparse
import functools

import _harness
import jax
import jax.numpy as jnp
import numpy as np
import optax
import scipy.optimize
from scipy import sparse

from verax.matching import solve_assignment, solve_transport

jax.config.update("jax_enable_x64", True)

KINDS = ("uniform", "integers", "geometric", "low rank")
FASTEST_LAPX = ("lapjvr", "lapjvh", "lapjvs")


def costs(kind, n, rng, batch=()):
    """Uniform, integers with ties, distances between clusters, or of rank 3."""
    if kind == "uniform":
        return rng.random((*batch, n, n))
    if kind == "integers":
        return rng.integers(0, 100, (*batch, n, n)).astype(float)
    if kind == "geometric":
        centres = 5 * rng.normal(size=(10, 2))
        a, b = (centres[rng.integers(0, 10, (*batch, n))] + rng.normal(size=(*batch, n, 2)) for _ in range(2))
        return np.linalg.norm(a[..., :, None, :] - b[..., None, :, :], axis=-1)
    return rng.normal(size=(*batch, n, 3)) @ rng.normal(size=(*batch, 3, n))


def ours(implementation):
    """Minimum cost, everybody matched."""
    return functools.partial(solve_assignment, maximize=False, allow_unmatched=False, implementation=implementation)


@jax.jit
def optax_columns(cost):
    """Rows and columns by optax, one problem."""
    return optax.assignment.hungarian_algorithm(cost)


optax_batch = jax.jit(jax.vmap(optax_columns))


def single(n, rng, lap, repeats):
    """One problem a call, of every kind."""
    rows = {}
    for kind in KINDS:
        cost = costs(kind, n, rng)
        device = jnp.asarray(cost)
        contestants = {
            "verax": lambda device=device: ours("native")(device).col_of_row,
            "scipy": lambda cost=cost: scipy.optimize.linear_sum_assignment(cost),
        }
        contestants |= {name: functools.partial(getattr(lap, name), cost) for name in FASTEST_LAPX}
        if n <= 500 and kind == "uniform":
            contestants["optax"] = lambda device=device: optax_columns(device)
            contestants["verax pure"] = lambda device=device: ours("xla")(device).col_of_row
        seconds = _harness.interleaved(contestants, repeats)
        row, col = scipy.optimize.linear_sum_assignment(cost)
        assert np.isclose(float(ours("native")(device).value), cost[row, col].sum())
        rows[kind] = summary(seconds)
        report(f"{n} {kind}, singly", rows[kind])
    return rows


def together(num, n, kind, rng, lap, repeats):
    """A batch in one call; optax and the pure-JAX version only where they take less than minutes."""
    cost = costs(kind, n, rng, (num,))
    device = jnp.asarray(cost)
    contestants = {
        "verax": lambda: ours("native")(device).col_of_row,
        "scipy": lambda: [scipy.optimize.linear_sum_assignment(one) for one in cost],
    }
    for name in FASTEST_LAPX:
        contestants[f"{name}_batch"] = functools.partial(getattr(lap, f"{name}_batch"), cost, n_threads=2)
    if n <= 128 and kind == "uniform":
        contestants["verax pure"] = lambda: ours("xla")(device).col_of_row
        contestants["optax vmap"] = lambda: optax_batch(device)
    row = summary(_harness.interleaved(contestants, repeats))
    report(f"{num} of {n} {kind}, in one call", row)
    return row


def warm(n, rng, repeats):
    """The trace of a bandit: as many entries change a round as are matched."""
    weights = [rng.random((n, n))]
    for _ in range(64):
        following = weights[-1].copy()
        following[np.arange(n), rng.permutation(n)] += 0.02 * rng.normal(size=n)
        weights.append(following)
    trace = jnp.asarray(np.stack(weights))

    @functools.partial(jax.jit, static_argnums=0)
    def run(is_warm):
        def step(before, weights):
            solved = solve_assignment(weights, warm=before if is_warm else None, implementation="native")
            return solved, solved.value

        return jax.lax.scan(step, solve_assignment(trace[0], implementation="native"), trace[1:])[1]

    np.testing.assert_allclose(run(True), run(False))
    row = summary(_harness.interleaved({"verax": lambda: run(True), "cold": lambda: run(False)}, repeats))
    report(f"{n}, warm", row)
    return row


def transport(num, columns, rng, ot, repeats):
    """Softmax rows of equal mass to shares of labels."""
    cost = 1 - rng.dirichlet(np.full(columns, 0.1), num)
    supply, demand = np.full(num, 1 / num), rng.dirichlet(np.full(columns, 5.0))
    device = [jnp.asarray(x) for x in (cost, supply, demand)]

    def highs():
        rows = sparse.kron(sparse.eye_array(num), np.ones((1, columns)))
        cols = sparse.kron(np.ones((1, num)), sparse.eye_array(columns)).tocsr()[:-1]
        amounts = np.concatenate([supply, demand[:-1]])
        return scipy.optimize.linprog(cost.ravel(), A_eq=sparse.vstack([rows, cols]), b_eq=amounts, method="highs").fun

    contestants = {
        "verax": lambda: solve_transport(*device).value,
        "pot": lambda: ot.emd2(supply, demand, cost, numItermax=10**7),
        "highs": highs,
    }
    assert np.ptp([float(f()) for f in contestants.values()]) < 1e-9
    row = summary(_harness.interleaved(contestants, repeats))
    report(f"transport {num} to {columns}", row)
    return row


def summary(seconds):
    """Medians, and how many times longer the others take."""
    medians = {name: float(np.median(times)) for name, times in seconds.items()}
    return {"seconds": medians, "times_ours": _harness.ratios(seconds, ours="verax")}


def report(name, row):
    """One line."""
    others = ", ".join(f"{who} {ratio:.2f}x" for who, ratio in row["times_ours"].items())
    print(f"{name:32} {1e3 * row['seconds']['verax']:9.3f} ms; {others}", flush=True)


def main():
    """Run all rows and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--largest", type=int, default=2000)
    parser.add_argument("--sections", nargs="+", default=["singly", "batches", "warm", "transport"])
    options = parser.parse_args()
    import lap
    import ot

    rng = np.random.default_rng(0)
    sizes = [n for n in (100, 500, 1000, 2000) if n <= options.largest]
    batches = [(64, 64), (1024, 32), (256, 128), *((32, n) for n in sizes)]

    def repeats(n):
        return {1000: 3, 2000: 1}.get(n, options.repeats)

    def kinds(n):  # 32 of 2,000 take minutes a call on the other kinds
        return KINDS if n < 2000 else ("uniform", "integers")

    sections = {
        "singly": lambda: {n: single(n, rng, lap, repeats(n)) for n in sizes},
        "batches": lambda: {
            f"{num} of {n}": {kind: together(num, n, kind, rng, lap, repeats(n)) for kind in kinds(n)}
            for num, n in batches
        },
        "warm": lambda: {n: warm(n, rng, options.repeats) for n in (10, 50, 100)},
        "transport": lambda: {num: transport(num, 10, rng, ot, 5) for num in (1000, 10000)},
    }
    record = {name: part for name, part in _harness.read("assignment").items() if name in sections}
    for name in options.sections:
        environment = _harness.environment("lapx", "optax", "POT")  # the load is that before the section
        record[name] = {"environment": environment, "rows": sections[name]()}
        print(_harness.write("assignment", record))


if __name__ == "__main__":
    main()
