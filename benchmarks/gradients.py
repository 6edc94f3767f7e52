"""Clipped per-example gradients against a plain gradient, vmap(grad) and, where it is installed, jax-privacy.

Prints operations and peak temporary memory of each compiled program, and seconds in turns; `--counts` leaves the
seconds out: operations and memory do not depend on how busy the machine is.
"""

import argparse
import functools
import importlib.util
import itertools
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
from _harness import interleaved

from verax.gradients import clipped_gradient, gradient_norms

MAX_NORM = 1.0


def mlp(scale):
    width = max(16, int(512 * scale))
    sizes = [784, width, width, width, 10]
    params = {f"w{i}": normal(i, a, b) for i, (a, b) in enumerate(itertools.pairwise(sizes))}

    def logits(p, x):
        for i in range(len(sizes) - 2):
            x = jax.nn.relu(x @ p[f"w{i}"])
        return x @ p[f"w{len(sizes) - 2}"]

    return classifier(logits), params, {"x": data(0, 128, 784), "y": jnp.arange(128, dtype=jnp.int32) % 10}


def cnn(scale):
    width = max(4, int(16 * scale))
    channels = [3, width, width, 2 * width, 2 * width, 4 * width]
    params = {f"k{i}": normal(i, 3, 3, a, b) for i, (a, b) in enumerate(itertools.pairwise(channels))}
    params["out"] = normal(9, channels[-1], 10)

    def logits(p, x):
        for i in range(len(channels) - 1):
            stride = 2 if i in (2, 4) else 1
            dims = ("NHWC", "HWIO", "NHWC")
            x = jax.lax.conv_general_dilated(x, p[f"k{i}"], (stride, stride), "SAME", dimension_numbers=dims)
            x = jax.nn.relu(x)
        return x.mean((1, 2)) @ p["out"]

    return classifier(logits), params, {"x": data(0, 64, 32, 32, 3), "y": jnp.arange(64, dtype=jnp.int32) % 10}


def transformer(scale, length=64):
    width, layers, vocabulary = max(16, int(128 * scale)), max(1, int(8 * scale)), 512
    params = {"table": normal(0, vocabulary, width)}
    for i in range(layers):
        params |= {f"qkv{i}": normal(1, width, 3 * width), f"out{i}": normal(2, width, width)}
        params |= {f"up{i}": normal(3, width, 4 * width), f"down{i}": normal(4, 4 * width, width)}
    causal = np.tril(np.ones((length, length), bool))

    def normalised(h):
        return h * jax.lax.rsqrt(jnp.mean(h * h, -1, keepdims=True) + 1e-6)

    def loss_fn(p, batch):
        h = p["table"][batch["x"]]
        for i in range(layers):
            q, k, v = jnp.split(normalised(h) @ p[f"qkv{i}"], 3, axis=-1)
            q, k, v = (z.reshape(*z.shape[:2], 4, -1) for z in (q, k, v))
            scores = jnp.einsum("bthd,bshd->bhts", q, k) / q.shape[-1] ** 0.5
            weights = jax.nn.softmax(jnp.where(causal, scores, -1e9))
            h = h + jnp.einsum("bhts,bshd->bthd", weights, v).reshape(h.shape) @ p[f"out{i}"]
            h = h + jax.nn.gelu(normalised(h) @ p[f"up{i}"]) @ p[f"down{i}"]
        logits = normalised(h) @ p["table"].T
        return optax.softmax_cross_entropy_with_integer_labels(logits, batch["y"]).mean(1)

    tokens = np.random.default_rng(0).integers(0, vocabulary, (32, length + 1))
    return loss_fn, params, {"x": jnp.asarray(tokens[:, :-1], jnp.int32), "y": jnp.asarray(tokens[:, 1:], jnp.int32)}


def classifier(logits):
    def loss_fn(p, batch):
        return optax.softmax_cross_entropy_with_integer_labels(logits(p, batch["x"]), batch["y"])

    return loss_fn


def normal(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape) / np.prod(shape[:-1]) ** 0.5, jnp.float32)


def data(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def contestants(loss_fn):
    def plain(p, batch):
        return jax.grad(lambda q: loss_fn(q, batch).sum())(p)

    def stacked(p, batch):
        def one(example):
            return jax.grad(lambda q: loss_fn(q, jax.tree.map(lambda leaf: leaf[None], example))[0])(p)

        return jax.vmap(one)(batch)

    def clipped_by_vmap(p, batch):
        gradients = stacked(p, batch)
        squares = [jnp.sum(g**2, axis=tuple(range(1, g.ndim))) for g in jax.tree.leaves(gradients)]
        factor = 1 / jnp.maximum(1, jnp.sqrt(sum(squares)) / MAX_NORM)
        return jax.tree.map(lambda g: jnp.tensordot(factor, g, 1), gradients)

    found = {
        "plain gradient": plain,
        "verax norms": lambda p, batch: gradient_norms(loss_fn, p, batch),
        "verax clipped": lambda p, batch: clipped_gradient(loss_fn, p, batch, max_norm=MAX_NORM).gradient,
        "vmap(grad) clipped": clipped_by_vmap,
    }
    if importlib.util.find_spec("jax_privacy") is not None:
        from jax_privacy import clipping

        private = clipping.clipped_grad(
            lambda p, batch: loss_fn(p, batch).sum(), l2_clip_norm=MAX_NORM, batch_argnums=1, keep_batch_dim=True
        )
        found["jax-privacy clipped"] = private
    return found


def counts(compiled):
    analysis, memory = compiled.cost_analysis(), compiled.memory_analysis()
    analysis = analysis[0] if isinstance(analysis, list) else analysis
    return {"Gflop": analysis["flops"] / 1e9, "temporary MiB": memory.temp_size_in_bytes / 2**20}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", action="store_true")
    parser.add_argument("--scale", type=float, default=1.0, help="of widths and depths")
    options = parser.parse_args()
    models = {"mlp": mlp, "cnn": cnn, "transformer, T = 64": transformer}
    models["transformer, T = 256"] = lambda scale: transformer(scale, 256)
    for name, make in models.items():
        loss_fn, params, batch = make(options.scale)
        programs = {
            contestant: jax.jit(function).lower(params, batch).compile()
            for contestant, function in contestants(loss_fn).items()
        }
        rows = {contestant: counts(program) for contestant, program in programs.items()}
        if not options.counts:
            calls = {k: functools.partial(program, params, batch) for k, program in programs.items()}
            for contestant, times in interleaved(calls, 7).items():
                rows[contestant]["seconds"] = float(np.median(times))
        for contestant, row in rows.items():
            figures = {quantity: round(value, 5) for quantity, value in row.items()}
            print(json.dumps({"model": name, "program": contestant, **figures}), flush=True)


if __name__ == "__main__":
    main()
