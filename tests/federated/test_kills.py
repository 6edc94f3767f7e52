"""A federated run that is killed at any moment goes on to the same result."""

import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

pytestmark = pytest.mark.double

PROGRAM = """
import sys, jax, numpy as np
import verax.federated as vf
from support.federated_problems import softmax_loss, softmax_problem
algorithm = vf.scaffold(softmax_loss, learning_rate=0.1, batch_size=4, form="textbook", clients_per_round=3)
print("ready", flush=True)
params, history = vf.run(algorithm, *softmax_problem(), rounds=300, key=jax.random.key(1), checkpoint=sys.argv[1])
np.savez(sys.argv[2], loss=history.loss, **jax.tree.map(np.asarray, params))
"""


@pytest.mark.slow
def test_fifty_kills(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(pathlib.Path(__file__).parents[1])}

    def command(name):
        return [sys.executable, "-c", PROGRAM, str(tmp_path / f"{name}.run.npz"), str(tmp_path / f"{name}.npz")]

    subprocess.run(command("whole"), check=True, env=environment)
    draw, resumed = random.Random(0), 0
    for _ in range(50):
        with subprocess.Popen(command("killed"), stdout=subprocess.PIPE, env=environment) as process:
            process.stdout.readline()
            time.sleep(draw.uniform(0.5, 3.0))
            process.send_signal(signal.SIGKILL)
        resumed += (tmp_path / "killed.run.npz").exists()
        if process.returncode == 0:  # it was done before the kill
            (tmp_path / "killed.run.npz").unlink()
    assert resumed > 10  # kills fell into runs, not only before them
    subprocess.run(command("killed"), check=True, env=environment)
    with np.load(tmp_path / "whole.npz") as whole, np.load(tmp_path / "killed.npz") as killed:
        for name in whole.files:
            np.testing.assert_array_equal(killed[name], whole[name])
