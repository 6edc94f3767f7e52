"""Two processes on loopback compute what one does."""

import os
import pathlib
import socket
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np

from verax.ntk import empirical_ntk
from verax.spectral import kernel_spectrum, risk_path

COMMON = """
import jax, jax.numpy as jnp, numpy as np

def network(params, x):
    return jnp.tanh(x @ params["w"]) @ params["v"]

keys = jax.random.split(jax.random.key(0), 3)
params = {"w": jax.random.normal(keys[0], (5, 16)), "v": jax.random.normal(keys[1], (16, 1))}
x = jax.random.normal(keys[2], (24, 5))
params, x = jax.tree.map(np.asarray, (params, x))
targets = x[:, 0]
ridges = np.array([0.01, 0.1])
options = {"method": "lanczos", "num_steps": 8, "num_probes": 4, "key": jax.random.key(1)}

import verax.federated as vf
from support.federated_problems import softmax_loss, softmax_problem

start, clients = softmax_problem()
algorithm = vf.fedavg(softmax_loss, learning_rate=0.1, batch_size=4)
start, clients = jax.tree.map(np.asarray, (start, clients))
seed = np.asarray(jax.random.key_data(jax.random.key(2)))

def federated_round(start, clients, seed, mesh=None):
    state, _ = algorithm.round(algorithm.init(start, 4), clients, jax.random.wrap_key_data(seed), mesh=mesh)
    return state.params
"""

WORKER = (
    """
import sys
import jax
jax.config.update("jax_num_cpu_devices", 2)
jax.distributed.initialize(sys.argv[1], 2, int(sys.argv[2]))
"""
    + COMMON
    + """
from jax.experimental import multihost_utils
from verax.ntk import empirical_ntk
from verax.spectral import kernel_spectrum, risk_path

assert jax.process_count() == 2 and len(jax.devices()) == 4
mesh = jax.make_mesh((4,), ("rows",))
kernel = empirical_ntk(network, params, x, mesh=mesh)
assert not kernel.is_fully_addressable
multiply = jax.jit(lambda k, v: jnp.matmul(k, v, precision="highest"), out_shardings=jax.NamedSharding(mesh, jax.P()))
path = risk_path(kernel_spectrum(lambda v: np.asarray(multiply(kernel, np.asarray(v))), targets, **options), ridges)
mesh = jax.make_mesh((4,), ("clients",), axis_types=(jax.sharding.AxisType.Auto,))
params = jax.jit(lambda *a: federated_round(*a, mesh=mesh))(start, clients, seed)
whole = multihost_utils.process_allgather(kernel, tiled=True)
if jax.process_index() == 0:
    np.savez(sys.argv[3], kernel=whole, gcv=path.gcv, **jax.tree.map(np.asarray, params))
"""
)


def test_two_processes_are_one(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    commands = [[sys.executable, "-c", WORKER, address, str(k), str(tmp_path / "found.npz")] for k in range(2)]
    environment = {**os.environ, "PYTHONPATH": str(pathlib.Path(__file__).parents[1])}
    processes = [subprocess.Popen(c, stderr=subprocess.PIPE, text=True, env=environment) for c in commands]
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors[-3000:]
    names: dict = {}
    exec(COMMON, names)
    kernel = empirical_ntk(names["network"], names["params"], names["x"])
    path = risk_path(
        kernel_spectrum(lambda v: jnp.matmul(kernel, v, precision="highest"), names["targets"], **names["options"]),
        names["ridges"],
    )
    with np.load(tmp_path / "found.npz") as found:
        np.testing.assert_allclose(found["kernel"], kernel, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(found["gcv"], path.gcv, rtol=1e-3)
        start, clients, seed = jax.tree.map(jnp.asarray, (names["start"], names["clients"], names["seed"]))
        for name, leaf in names["federated_round"](start, clients, seed).items():
            np.testing.assert_allclose(found[name], leaf, rtol=1e-5, atol=1e-6)
    assert jax.process_count() == 1
