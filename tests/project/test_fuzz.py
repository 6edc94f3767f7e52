"""The solvers, built with sanitizers, on random and degenerate problems; and very many small ones against SciPy."""

import pathlib
import shutil
import subprocess

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize

from verax.matching import solve_assignment

SOURCE = pathlib.Path(__file__).parents[2] / "jaxlib_ext" / "fuzz" / "fuzz.cc"


@pytest.mark.slow
def test_solvers_under_sanitizers(tmp_path):
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("no C++ compiler")
    program = tmp_path / "fuzz"
    flags = ["-std=c++17", "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-Wall", "-Wextra"]
    subprocess.run([compiler, *flags, str(SOURCE), "-o", str(program)], check=True)
    done = subprocess.run([str(program), "20000", "1"], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]


@pytest.mark.slow
def test_a_hundred_thousand_small_problems(implementation):
    rng = np.random.default_rng(0)
    dtype = jnp.zeros(()).dtype
    for shape in ((3, 3), (2, 5), (5, 4), (6, 6)):
        for _ in range(5):
            weights = rng.normal(size=(5000, *shape)).astype(dtype)
            weights[::2] = rng.integers(-3, 4, weights[::2].shape)
            solved = solve_assignment(weights, implementation=implementation)
            for problem, value in zip(np.maximum(weights, 0), np.asarray(solved.value), strict=True):
                row, col = optimize.linear_sum_assignment(problem, maximize=True)
                assert abs(problem[row, col].sum() - value) < 1e-4
