"""im2col against XLA's convolution, for the choice that ``verax.models`` makes by backend and depth.

``python benchmarks/convolution.py`` writes ``results/<device>/convolution.json``. Each case is one batch of the small
CNN or of a narrow ResNet-18 of random weights, float32. The two take turns, and the ratio is the median over rounds of
native's time over im2col's: above 1, im2col is faster.
"""

import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np
from _harness import environment, interleaved, ratios, write

from verax.models import resnet18, small_cnn

CONVOLUTIONS = ("im2col", "native")


def cases(make, x, *, loops):
    """Functions without arguments, by case and convolution, not yet compiled."""
    table = {}
    for convolution in CONVOLUTIONS:
        network, params = make(convolution)

        def loss(params, x, network=network):
            return jnp.square(network(params, x)).mean()

        def step(params, x, loss=loss):
            return jax.tree.map(lambda leaf, slope: leaf - 0.01 * slope, params, jax.grad(loss)(params, x))

        def one_logit(params, example, network=network):
            return network(params, example[None])[0, 0]

        per_example = jax.vmap(jax.grad(one_logit), (None, 0))
        functions = {"forward": network, "gradient": jax.grad(loss), "per-example gradients": per_example}
        if loops:
            stacked = jax.tree.map(lambda leaf: jnp.stack([leaf] * 8), params)
            clients = x.reshape(8, -1, *x.shape[1:])
            over_weights = jax.vmap(jax.grad(loss))
            functions["gradient, 2 steps in scan"] = lambda params, x, step=step: jax.lax.scan(
                lambda carry, _: (step(carry, x), None), params, None, length=2
            )[0]
            functions["gradient, vmap over 8 kernels"] = lambda _, x, f=over_weights, s=stacked, c=clients: f(
                s, c + 0 * x[0]
            )
        for case, function in functions.items():
            table.setdefault(case, {})[convolution] = (function, params)
    return table


def measure(name, make, x, *, loops, repeats):
    rows = []
    for case, by_convolution in cases(make, x, loops=loops).items():
        compiled, compile_seconds = {}, {}
        for convolution, (function, params) in by_convolution.items():
            start = time.perf_counter()
            executable = jax.jit(function).lower(params, x).compile()
            compile_seconds[convolution] = time.perf_counter() - start
            compiled[convolution] = lambda run=executable, params=params: run(params, x)
        seconds = interleaved(compiled, repeats)
        row = {
            "network": name,
            "case": case,
            "batch": len(x),
            "native_over_im2col": ratios(seconds, ours="im2col")["native"],
            "median_seconds": {convolution: float(np.median(times)) for convolution, times in seconds.items()},
            "compile_seconds": compile_seconds,
        }
        print(row, flush=True)
        rows.append(row)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    x = jnp.asarray(np.random.default_rng(0).normal(size=(64, 32, 32, 3)).astype(np.float32))
    key = jax.random.key(0)
    rows = measure(
        "small_cnn",
        lambda convolution: small_cnn(10, in_channels=3, convolution=convolution, key=key),
        x,
        loops=True,
        repeats=arguments.repeats,
    )
    rows += measure(
        "resnet18, width 16",
        lambda convolution: resnet18(10, width=16, convolution=convolution, key=key),
        x[:16],
        loops=False,
        repeats=arguments.repeats,
    )
    print(write("convolution", {"environment": environment(), "repeats": arguments.repeats, "rows": rows}))


if __name__ == "__main__":
    main()
