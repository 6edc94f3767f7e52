"""A round of FedAvg against a PyTorch loop and Flower's simulation; TCT's second stage against literal local steps.

Run: ``PEERS=peers/bin/python python benchmarks/federated.py [--rounds 3]``, with the environment of
``peers/federated`` behind ``PEERS`` (without it only our own times are taken). Fashion-MNIST from ``VERAX_DATA``.
Writes ``results/<device>/federated.json``. Every client holds 60 images (100 clients) or 600 (10 clients); one epoch in
batches of 50. Each contestant's first round is not counted.
"""

import argparse
import json
import os
import pathlib
import subprocess
import tempfile
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
from _harness import environment, write

import verax.federated as vf
from verax.data import load
from verax.models import mlp, small_cnn

PEERS = pathlib.Path(__file__).parent / "peers" / "federated"


def clients_of(num_clients: int) -> tuple[np.ndarray, np.ndarray]:
    data = load("fashion_mnist")
    x, y = data.normalise(data.x_train[:6000]), data.y_train[:6000]
    size = 6000 // num_clients
    return x.reshape(num_clients, size, 28, 28, 1), y.reshape(num_clients, size)


def network_of(name: str):
    return small_cnn(10, key=jax.random.key(0)) if name == "cnn" else mlp([784, 256, 128, 10], key=jax.random.key(0))


def ours(name: str, x: np.ndarray, y: np.ndarray, rounds: int, backend: str) -> list[float]:
    network, params = network_of(name)

    def loss_fn(params, x, y):
        return optax.softmax_cross_entropy_with_integer_labels(network(params, x), y)

    clients = vf.ClientData(jnp.asarray(x), jnp.asarray(y), jnp.ones(y.shape, bool))
    algorithm = vf.fedavg(loss_fn, learning_rate=0.05, batch_size=50, local_epochs=1)
    state = algorithm.init(params, len(y))
    seconds = []
    for number in range(rounds + 1):
        start = time.perf_counter()
        state, _ = algorithm.round(state, clients, jax.random.key(number), backend=backend)
        jax.block_until_ready(state)
        seconds.append(time.perf_counter() - start)
    return seconds[1:]


def peer(script: str, arrays: str, name: str, rounds: int, *more: str) -> dict:
    python = os.environ.get("PEERS")
    if not python:
        return {"seconds": None, "why": "no PEERS"}
    command = [python, str(PEERS / script), arrays, "--network", name, "--rounds", str(rounds), *more]
    found = subprocess.run(command, capture_output=True, text=True, timeout=400)
    if found.returncode:
        return {"seconds": None, "why": found.stderr.strip().splitlines()[-1:]}
    return json.loads(found.stdout.strip().splitlines()[-1])


def rounds_against_peers(name: str, num_clients: int, rounds: int, *, flower: bool) -> dict:
    x, y = clients_of(num_clients)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "arrays.npz")
        np.savez(path, x=x, y=y)
        # On a machine that others use, threads that wait for each other measure the others: PyTorch gets its better.
        one = peer("torch_rounds.py", path, name, rounds, "--threads", "1")
        times = {f"verax, {backend}": ours(name, x, y, rounds, backend) for backend in ("map", "loop", "vmap")}
        two = peer("torch_rounds.py", path, name, rounds, "--threads", "2")
        found = {**times, "torch, 1 thread": one["seconds"], "torch, 2 threads": two["seconds"]}
        if flower:
            found["flower"] = peer("flower_rounds.py", path, name, rounds)
            found["flower"] = found["flower"]["seconds"] or found["flower"]
    medians = {key: float(np.median(value)) for key, value in found.items() if isinstance(value, list) and value}
    best = medians["verax, map"]  # what "auto" takes on a CPU
    return {
        "network": name,
        "num_clients": num_clients,
        "examples_per_client": y.shape[1],
        "seconds": found,
        "median_seconds": medians,
        "median_ratio_to_auto": {key: value / best for key, value in medians.items() if not key.startswith("verax")},
    }


def stage2_against_the_loop(num_features: int, num_clients: int, size: int, rounds: int) -> dict:
    """The closed form and 500 literal local steps, from the same features; the decomposition is counted apart."""
    rng = np.random.default_rng(0)
    phi = (
        rng.normal(size=(num_clients, size, num_features)).astype(np.float32) * np.arange(1, num_features + 1) ** -0.25
    )
    y = rng.normal(size=(num_clients, size, 10)).astype(np.float32)
    mask = np.ones((num_clients, size), bool)

    def seconds(method: str, num_rounds: int) -> tuple[float, vf.LinearFit]:
        start = time.perf_counter()
        fit = vf.scaffold_linear(phi.astype(np.float32), y, mask, rounds=num_rounds, local_steps=500, method=method)
        jax.block_until_ready(fit.coefficients)
        return time.perf_counter() - start, fit

    # A round is a difference, so it is taken over many of them, and set-up and rounds are timed in turns.
    times = {}
    for method, more in (("closed_form", rounds), ("loop", 2)):
        seconds(method, 1)  # compiles
        pairs = [(seconds(method, 1)[0], seconds(method, 1 + more)[0]) for _ in range(3)]
        once, longer = (float(np.median(column)) for column in zip(*pairs, strict=True))
        times[method] = {"set_up_and_one_round": once, "rounds": more, "a_round": (longer - once) / more}
        if longer <= once:
            raise RuntimeError(f"{method}: {more} rounds more took no longer ({once:.3f}, {longer:.3f} s); take more")
    _, one = seconds("closed_form", 2)
    _, two = seconds("loop", 2)
    scale = float(np.abs(two.coefficients).max())
    return {
        "num_features": num_features,
        "num_clients": num_clients,
        "examples_per_client": size,
        "local_steps": 500,
        "seconds": times,
        "ratio_a_round": times["loop"]["a_round"] / times["closed_form"]["a_round"],
        "largest_relative_difference": float(np.abs(np.asarray(one.coefficients) - np.asarray(two.coefficients)).max())
        / scale,
        "target_ratio": 100.0,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--num-features", type=int, default=2048)
    parser.add_argument("--size", type=int, default=300)
    parser.add_argument("--networks", nargs="+", default=["mlp", "cnn"])
    arguments = parser.parse_args()
    stage2 = stage2_against_the_loop(arguments.num_features, 10, arguments.size, 400)
    print(f"stage 2: {stage2['ratio_a_round']:.0f}x", flush=True)
    record = {"environment": environment("optax"), "rounds": [], "stage2": stage2}
    write("federated", record)
    for name in arguments.networks:
        for num_clients in (10, 100):
            case = rounds_against_peers(name, num_clients, arguments.rounds, flower=num_clients == 10)
            record["rounds"].append(case)
            print(name, num_clients, case["median_seconds"], flush=True)
            write("federated", record)  # after every case: an interruption loses one


if __name__ == "__main__":
    main()
