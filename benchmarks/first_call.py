"""Seconds of a fresh process until the first answer, against SciPy and scikit-learn in the same run.

``python benchmarks/first_call.py`` writes ``results/<device>/first_call.json``. Each row is a program that a new
process runs from its start, without a compilation cache; rows are run in turns, and medians are reported.
"""

import argparse
import os
import subprocess
import sys
import time

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

# Name: (program, target in seconds, name of the peer).
ROWS = {
    "import verax.evals": ("import verax.evals", 0.6, "import scipy.stats"),
    "evals.rate": (TABLES + "ve.rate(table)", 1.5, "scipy.stats.binomtest"),
    "evals.paired_difference": (
        TABLES + "ve.paired_difference(table, model_a=0, model_b=1)",
        1.5,
        "scipy.stats.binomtest",
    ),
    "verax evals compare": (LOGS, 2.0, None),
}

PEERS = {
    "import scipy.stats": "import scipy.stats",
    "scipy.stats.binomtest": LABELS
    + "from scipy import stats; stats.binomtest(int(labels[0].sum()), 300).proportion_ci()",
    "import jax": "import jax",
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
    programs = {name: row[0] for name, row in rows.items()} | PEERS
    times = {name: [] for name in programs}
    for _ in range(options.repeats):
        for name, program in programs.items():
            times[name].append(seconds(program))
    median = {name: float(np.median(values)) for name, values in times.items()}
    for name, (_, target, peer) in rows.items():
        beside = f"; {peer} {median[peer]:.2f} s" if peer else ""
        print(f"{name}: {median[name]:.2f} s, target {target}: {'met' if median[name] <= target else 'MISSED'}{beside}")
    record = {
        "environment": _harness.environment(),
        "repeats": options.repeats,
        "median_seconds": median,
        "targets": {name: row[1] for name, row in rows.items()},
        "peers": {name: row[2] for name, row in rows.items()},
    }
    print(_harness.write("first_call", record))


if __name__ == "__main__":
    main()
