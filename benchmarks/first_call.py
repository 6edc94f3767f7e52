"""Seconds of a fresh process until the first answer, against SciPy, scikit-learn and plain JAX in the same run.

``python benchmarks/first_call.py`` writes ``results/<device>/first_call.json``. Each row is a program that a new
process runs from its start, without a compilation cache; rows are run in turns, and medians are reported.
"""

import argparse
import os
import subprocess
import sys
import time
from typing import NamedTuple

import _harness
import numpy as np

LABELS = "import numpy as np; labels = np.random.default_rng(0).integers(0, 2, (2, 1, 300, 1)); "
TABLES = LABELS + "import verax.evals as ve; table = ve.OutcomeTable(labels); "
LOGS = (
    "import numpy as np, pathlib, tempfile, sys\n"
    "folder, rng = pathlib.Path(tempfile.mkdtemp()), np.random.default_rng(0)\n"
    "for name in 'ab':\n"
    "    rows = '\\n'.join(f'q{i},{v}' for i, v in enumerate(rng.integers(0, 2, 300)))\n"
    "    (folder / f'{name}.csv').write_text('id,correct\\n' + rows)\n"
    "from verax.cli import main\n"
    "sys.exit(main(['evals', 'compare', str(folder / 'a.csv'), str(folder / 'b.csv'), '--out', str(folder / 'out')]))\n"
)

FEATURES = (
    "import numpy as np; rng = np.random.default_rng(0); "
    "X = rng.normal(size=(500, 64)).astype('float32'); y = (X[:, 0] > 0).astype(int); "
)
PERCEPTRON = (
    "import jax, jax.numpy as jnp; key = jax.random.key(0); x = jax.random.normal(key, (64, 32)); "
    "params = {'w': jax.random.normal(key, (32, 128)), 'v': jax.random.normal(key, (128, 1))}; "
    "apply_fn = lambda p, x: jnp.tanh(x @ p['w']) @ p['v']; "
)


class Row(NamedTuple):
    """A program, what it may take in seconds or in multiples of the peer's time, and the peer."""

    program: str
    peer: str | None = None
    most_seconds: float | None = None
    most_ratio: float | None = None

    def verdict(self, median, beside):
        """In words; a row without a target has none."""
        if self.most_seconds is not None:
            return f", target {self.most_seconds} s: {'met' if median <= self.most_seconds else 'MISSED'}"
        if self.most_ratio is not None:
            return f", target {self.most_ratio} times: {'met' if median <= self.most_ratio * beside else 'MISSED'}"
        return ""


ROWS = {
    "import verax.evals": Row("import verax.evals", "import scipy.stats", 0.6),
    "import verax.probe": Row("import verax.probe", "import sklearn.linear_model", 1.5),
    "evals.rate": Row(TABLES + "ve.rate(table)", "scipy.stats.binomtest", 1.5),
    "evals.paired_difference": Row(
        TABLES + "ve.paired_difference(table, model_a=0, model_b=1)", "scipy.stats.binomtest", 1.5
    ),
    "verax evals compare": Row(LOGS, None, 2.0),
    "RidgeProbe.fit": Row(
        FEATURES + "from verax.probe import RidgeProbe; RidgeProbe().fit(X, y)", "sklearn RidgeClassifierCV.fit"
    ),
    "empirical_ntk of a perceptron": Row(
        PERCEPTRON + "from verax.ntk import empirical_ntk; empirical_ntk(apply_fn, params, x).block_until_ready()",
        "jacrev by hand",
        most_ratio=1.3,
    ),
}

PEERS = {
    "import scipy.stats": "import scipy.stats",
    "import sklearn.linear_model": "import sklearn.linear_model",
    "scipy.stats.binomtest": LABELS
    + "from scipy import stats; stats.binomtest(int(labels[0].sum()), 300).proportion_ci()",
    "import jax": "import jax",
    "sklearn RidgeClassifierCV.fit": FEATURES
    + "from sklearn.linear_model import RidgeClassifierCV; RidgeClassifierCV(np.logspace(-6, 2, 20)).fit(X, y)",
    "jacrev by hand": PERCEPTRON
    + "kernel = lambda p, x: (lambda J: sum(jnp.einsum('no...,mo...->nm', j, j) for j in jax.tree.leaves(J)))"
    "(jax.vmap(jax.jacrev(lambda p, one: apply_fn(p, one)), (None, 0))(p, x)); "
    "jax.jit(kernel)(params, x).block_until_ready()",
}


def seconds(program):
    """Wall time of one new process."""
    hidden = ("JAX_COMPILATION_CACHE_DIR",)
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, env=environment)
    return time.perf_counter() - start


def main():
    """Run and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", nargs="*", help="names of rows")
    options = parser.parse_args()
    rows = {name: row for name, row in ROWS.items() if not options.only or name in options.only}
    programs = {name: row.program for name, row in rows.items()} | PEERS
    times = {name: [] for name in programs}
    for _ in range(options.repeats):
        for name, program in programs.items():
            times[name].append(seconds(program))
    median = {name: float(np.median(values)) for name, values in times.items()}
    for name, row in rows.items():
        beside = median[row.peer] if row.peer else None
        peer = f"; {row.peer} {beside:.2f} s" if row.peer else ""
        print(f"{name}: {median[name]:.2f} s{row.verdict(median[name], beside)}{peer}")
    record = {
        "environment": _harness.environment(),
        "repeats": options.repeats,
        "median_seconds": median,
        "targets": {name: {"seconds": row.most_seconds, "ratio": row.most_ratio} for name, row in rows.items()},
        "peers": {name: row.peer for name, row in rows.items()},
    }
    print(_harness.write("first_call", record))


if __name__ == "__main__":
    main()
