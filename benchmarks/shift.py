"""Projection Norm by retraining against hand-written loops, its closed form, and scores against PyTorch and POT.

``python benchmarks/shift.py`` writes ``results/<device>/shift.json``. 75 sets of 256 images 28 x 28, a perceptron and
the small convolutional network, 10 steps of 64. ``PEERS`` names an interpreter with PyTorch (``peers/shift``); without
it that row is left out, and the record says so. POT is in ``peers/assignment``.
"""

import argparse
import os
import pathlib
import subprocess
import sys

import _harness
import jax
import jax.numpy as jnp
import numpy as np
import optax

import verax.shift as vs
from verax.models import mlp, small_cnn

SETS, SIZE, STEPS, BATCH = 75, 256, 10, 64
TORCH = pathlib.Path(__file__).parent / "peers" / "shift" / "mano_torch.py"


def network_of(name):
    """Network, where retraining starts, and the deployed parameters."""
    if name == "cnn":
        network, params = small_cnn(10, key=jax.random.key(0))
        shape = (28, 28, 1)
    else:
        network, params = mlp([784, 256, 128, 10], key=jax.random.key(0))
        shape = (784,)
    deployed = jax.tree.map(lambda leaf: leaf + 0.01, params)
    return network, params, deployed, shape


def retraining(name, repeats):
    """All sets and the reference, ours and by hand: a jitted step in a loop, reused, or compiled for every set."""
    network, start, deployed, shape = network_of(name)
    rng = np.random.default_rng(0)
    sets = rng.normal(size=(SETS, SIZE, *shape)).astype(np.float32)
    reference, holdout = (rng.normal(size=(SIZE, *shape)).astype(np.float32) for _ in range(2))
    optimizer = optax.sgd(optax.cosine_decay_schedule(1e-3, STEPS), momentum=0.9)
    rows = np.stack([rng.permutation(SIZE)[:BATCH] for _ in range(STEPS)])

    def step(params, state, x, y):
        def loss(params):
            return optax.softmax_cross_entropy_with_integer_labels(network(params, x), y).mean()

        updates, state = optimizer.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, updates), state

    def retrained(x, jitted):
        y = np.asarray(predict(deployed, x)).argmax(1)
        params, state = start, optimizer.init(start)
        for chosen in rows:
            params, state = jitted(params, state, x[chosen], y[chosen])
        return predict(params, holdout)

    predict, reused = jax.jit(network), jax.jit(step)

    def by_hand():
        base = retrained(reference, reused)
        return [float(jnp.sqrt(jnp.mean((retrained(x, reused) - base) ** 2))) for x in sets]

    def recompiled():  # five sets of the 75; the record multiplies
        for x in sets[:5]:
            jax.block_until_ready(retrained(x, jax.jit(lambda *a: step(*a))))  # another function: compiled again

    def ours():
        return vs.projection_norm(
            network, start, deployed, reference, sets, steps=STEPS, batch_size=BATCH, optimizer=optimizer,
            holdout_x=holdout, num_references=1, num_nulls=0, key=jax.random.key(1),
        ).value  # fmt: skip

    f_reference, f_sets = (np.asarray(features(name, deployed, x)) for x in (reference, sets.reshape(-1, *shape)))
    z_reference, z_sets = (np.asarray(predict(deployed, x)) for x in (reference, sets.reshape(-1, *shape)))
    f_sets, z_sets = f_sets.reshape(SETS, SIZE, -1), z_sets.reshape(SETS, SIZE, -1)

    def closed_form():
        return vs.kernel_projection_norm(
            f_reference, z_reference, f_sets, z_sets, budget=[100.0], holdout_features=f_reference[:50],
            num_references=1, num_nulls=0, key=jax.random.key(1),
        ).value  # fmt: skip

    seconds = _harness.interleaved(
        {"verax": ours, "by hand": by_hand, "recompiled, 5 sets": recompiled, "closed form": closed_form}, repeats
    )
    row = summary(seconds)
    row["times_ours"]["recompiled, 75 sets"] = row["times_ours"].pop("recompiled, 5 sets") * SETS / 5
    row["retraining_over_closed_form"] = row["seconds"]["verax"] / row["seconds"]["closed form"]
    report(f"retraining, {name}", row)
    return row


def features(name, params, x):
    """Last hidden layer."""
    network, *_ = network_of(name)
    return jax.jit(network.features)(params, x)


def logits(num, repeats):
    """MaNo and COT on ``num`` x 10 logits."""
    rng = np.random.default_rng(0)
    val, target = (3 * rng.normal(size=(num, 10)).astype(np.float32) for _ in range(2))
    labels = rng.integers(0, 10, num).astype(np.int32)
    import ot

    demand = np.bincount(labels, minlength=10) / num

    def pot():
        p = np.exp(target - target.max(1, keepdims=True))
        cost = 1 - (p / p.sum(1, keepdims=True)).astype(np.float64)
        return ot.emd2(np.full(num, 1 / num), demand, cost, numItermax=10**8)

    device = [jnp.asarray(x) for x in (val, labels, target)]
    cot, mano = jax.jit(vs.cot), jax.jit(vs.mano)
    assert abs(float(cot(*device)) - pot()) < 1e-4
    row = {"COT": summary(_harness.interleaved({"verax": lambda: cot(*device), "POT": pot}, repeats))}
    report(f"COT, {num} x 10", row["COT"])
    row["MaNo"] = summary(_harness.interleaved({"verax": lambda: mano(*device)}, 20 * repeats))
    if python := os.environ.get("PEERS"):
        found = subprocess.run([python, str(TORCH), str(num)], capture_output=True, text=True, check=True, timeout=300)
        value, seconds = map(float, found.stdout.split())
        row["MaNo"]["seconds"]["torch"], row["MaNo"]["torch_value"] = seconds, value
        row["MaNo"]["times_ours"] = {"torch": seconds / row["MaNo"]["seconds"]["verax"]}
    else:
        row["MaNo"]["torch"] = "no PEERS"
    report(f"MaNo, {num} x 10", row["MaNo"])
    return row


def summary(seconds):
    """Medians, and how many times longer the others take."""
    medians = {name: float(np.median(times)) for name, times in seconds.items()}
    return {"seconds": medians, "times_ours": _harness.ratios(seconds, ours="verax")}


def report(name, row):
    """One line."""
    others = ", ".join(f"{who} {ratio:.2f}x" for who, ratio in row["times_ours"].items())
    print(f"{name:20} {1e3 * row['seconds']['verax']:9.3f} ms; {others}", flush=True)


def main():
    """Run all rows and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    record = {
        "environment": _harness.environment("optax", "POT"),
        "python": sys.version.split()[0],
        "retraining": {"mlp": retraining("mlp", options.repeats), "cnn": retraining("cnn", 2)},
        "logits": logits(10_000, options.repeats),
    }
    print(_harness.write("shift", record))


if __name__ == "__main__":
    main()
