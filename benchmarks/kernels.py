"""The fused Gram-Hadamard kernel against XLA on a GPU of compute capability 9.0; fills the kernel's tuning table.

``python benchmarks/kernels.py`` times every shape in turns, checks the kernel's result against XLA's, writes
``results/<device>/kernels.json`` and renews this GPU's rows of ``kernels/gram_hadamard/tuning.json``, which decides
where ``implementation="auto"`` takes the kernel. Shapes are those of convolutional networks (32 x 32, 16 x 16 and 8 x 8
positions) and of a transformer on 128 tokens, with ten outputs and with one.
"""

import itertools
import json

import _harness
import jax
import jax.numpy as jnp
import numpy as np

from verax.kernels.gram_hadamard import gram_hadamard
from verax.kernels.gram_hadamard.pallas_mgpu import missing
from verax.kernels.gram_hadamard.tuning import TABLE, Shape

NUM = 64  # examples a side
LAYERS = ((1024, 16), (256, 32), (64, 64), (128, 64), (128, 256))  # positions, width
OUTPUTS = (1, 10)
WORST = 2e-2  # relative difference of two roundings of the inputs


def compare(positions, width, outputs, dtype):
    rng = np.random.default_rng(0)
    a = [jnp.asarray(rng.normal(size=(NUM, positions, width)), dtype) for _ in range(2)]
    b = [jnp.asarray(rng.normal(size=(NUM, positions, outputs, width)), dtype) for _ in range(2)]

    def run(implementation):
        fn = jax.jit(lambda *x: gram_hadamard(*x, precision="default", implementation=implementation))
        return lambda: jax.block_until_ready(fn(a[0], b[0], a[1], b[1]))

    both = {name: run(name) for name in ("pallas", "xla")}
    found, expected = (np.asarray(call(), np.float64) for call in both.values())
    apart = float(np.abs(found - expected).max() / np.abs(expected).max())
    if apart > WORST:
        raise RuntimeError(
            f"{positions} positions, width {width}, {outputs} outputs, {dtype}: results differ by {apart:.1e}"
        )
    seconds = _harness.interleaved(both, 15)
    medians = {name: float(np.median(values)) for name, values in seconds.items()}
    shape = Shape(jax.devices()[0].device_kind, jnp.dtype(dtype).name, positions, width, outputs * width)
    return shape, {"seconds": medians, "speedup": medians["xla"] / medians["pallas"], "difference": apart}


def main():
    """Measure, and write record and table."""
    why_not = missing()
    if why_not:
        print(f"nothing measured: {why_not}")
        return
    rows = {}
    for (positions, width), outputs, dtype in itertools.product(LAYERS, OUTPUTS, (jnp.float32, jnp.bfloat16)):
        shape, row = compare(positions, width, outputs, dtype)
        rows[shape] = row
        print(*shape[1:], f"{row['speedup']:.2f} times XLA", flush=True)
    device = jax.devices()[0].device_kind
    others = [row for row in json.loads(TABLE.read_text()) if row[0] != device]
    table = sorted(others + [[*shape, round(row["speedup"], 3)] for shape, row in rows.items()])
    TABLE.write_text("[\n" + ",\n".join(f"  {json.dumps(row)}" for row in table) + "\n]\n")
    found = [{"shape": shape._asdict(), **row} for shape, row in rows.items()]
    _harness.write("kernels", {"environment": _harness.environment(), "examples": NUM, "rows": found})


if __name__ == "__main__":
    main()
