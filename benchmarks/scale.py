"""How time and memory grow with examples, and communication with devices, against the theory.

``python benchmarks/scale.py`` writes ``results/<device>/scale.json``. Every measurement is a process of its own, so
that its peak memory can be read. Devices are virtual ones of the CPU: they share its cores, so that their times say
nothing; the bytes that they exchange are counted in the compiled program.
"""

import argparse
import functools
import json
import os
import re
import resource
import subprocess
import sys
import time

import _harness
import jax
import numpy as np

from verax.models import mlp
from verax.ntk import empirical_ntk
from verax.spectral import kernel_spectrum

THEORY = {"kernel": 2.0, "eigh": 3.0, "lanczos": 2.0}
SIZES = {"kernel": (512, 1024, 2048, 4096), "eigh": (500, 1000, 2000, 4000), "lanczos": (1000, 2000, 4000, 8000)}
WIDTHS = [256, 256, 256, 10]
DEVICES, NUM = (1, 2, 4, 8), 512
BYTES = {"f64": 8, "f32": 4, "s32": 4, "u32": 4, "bf16": 2, "f16": 2}


def images(num):
    """Examples of the perceptron."""
    return jax.random.normal(jax.random.key(1), (num, WIDTHS[0]))


def seconds_of(function, repeats=3):
    """Median of a few calls after the first, which compiles."""
    jax.block_until_ready(function())
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(function())
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))


def kernel_of(num, mesh=None):
    """The kernel of a perceptron, summed over logits."""
    network, params = mlp(WIDTHS, key=jax.random.key(0))
    return functools.partial(empirical_ntk, network, params, images(num), mesh=mesh)


def spectrum_of(num, method):
    """Spectrum of a kernel of full rank, in single precision."""
    features = np.asarray(images(num) @ jax.random.normal(jax.random.key(2), (WIDTHS[0], 2 * WIDTHS[0])))
    kernel = features @ features.T / len(features.T) + 0.1 * np.eye(num, dtype=np.float32)
    options = {"num_steps": 30, "key": jax.random.key(3)} if method == "lanczos" else {}
    return lambda: kernel_spectrum(kernel, features[:, :10], method=method, keep_eigenvectors=False, **options)


def exchanged(num_devices):
    """Bytes that a device sends, in the compiled program, and what the schedule needs."""
    mesh = jax.make_mesh((num_devices,), ("rows",))
    network, params = mlp(WIDTHS, key=jax.random.key(0))
    text = jax.jit(lambda x: empirical_ntk(network, params, x, mesh=mesh)).lower(images(NUM)).compile().as_text()
    count = total = 0
    for shapes in re.findall(r"= (\S.*?) collective-permute(?:-start)?\(", text):
        kind, sides = re.findall(r"(\w+)\[([\d,]*)\]", shapes)[0]
        count += 1
        total += BYTES[kind] * int(np.prod([int(side) for side in sides.split(",") if side]))
    forbidden = re.findall(r"all-gather|all-to-all|all-reduce", text)
    assert not forbidden, forbidden
    tiles = max(0, (num_devices - 1) // 2) * (NUM // num_devices) ** 2 * 4  # that come back over the diagonal
    return {"bytes": total, "messages": count, "bytes_of_tiles": tiles, "bytes_of_factors": total - tiles}


def one(what, number):
    """Measure in this process."""
    if what == "devices":
        return exchanged(number)
    function = kernel_of(number) if what == "kernel" else spectrum_of(number, what)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = seconds_of(function)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"seconds": seconds, "peak_mib": peak / 1024, "before_mib": before / 1024}


def measured(what, number):
    """Measure in a process of its own."""
    environment = dict(os.environ)
    if what == "devices":
        environment["JAX_NUM_CPU_DEVICES"] = str(number)
    found = subprocess.run(
        [sys.executable, __file__, "--one", what, str(number)],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    row = json.loads(found.stdout.splitlines()[-1])
    print(what, number, row, flush=True)
    return row


def main():
    """Measure everything and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--one", nargs=2, metavar=("WHAT", "NUMBER"))
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(options.one[0], int(options.one[1]))))
        return
    record = {"environment": _harness.environment(), "growth": {}}
    for what, sizes in SIZES.items():
        rows = {number: measured(what, number) for number in sizes}
        last = sizes[1:]  # the smallest is overhead
        slope = float(np.polyfit(np.log(last), np.log([rows[number]["seconds"] for number in last]), 1)[0])
        print(f"{what}: time grows as n^{slope:.2f}, theory {THEORY[what]:g}", flush=True)
        record["growth"][what] = {"rows": rows, "exponent": slope, "theory": THEORY[what]}
    record["devices"] = {number: measured("devices", number) for number in DEVICES}
    print(_harness.write("scale", record))


if __name__ == "__main__":
    main()
