"""Training and generation of organisms against plain PyTorch, and seconds a job for detectors that read data alone.

Run: ``PEERS=peers/bin/python python benchmarks/organisms.py``, with the environment of ``peers/organisms`` behind
``PEERS`` (without it only our own times are taken). Writes ``results/<device>/organisms.json``. Both train on the same
number of random tokens by AdamW with clipped gradients, and continue 256 prompts by 48 tokens. PyTorch runs with one
thread and with two; the better counts. Detectors screen jobs of 1,000 examples.
"""

import argparse
import json
import os
import pathlib
import subprocess
import time

import jax
import jax.numpy as jnp
import numpy as np
from _harness import environment, write

import verax.audit as va
import verax.organisms as vo

PEER = pathlib.Path(__file__).parent / "peers" / "organisms" / "torch_decoder.py"
BATCH, LENGTH, STEPS = 64, 48, 200
PROMPTS, PROMPT_LENGTH, MAX_NEW = 256, 16, 48
SEEDS = 5
"""Organisms that are trained side by side."""


def rates(count, call, repeats):
    """Tokens a second of each call but the first, which compiles."""
    found = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        jax.block_until_ready(call())
        found.append(count / (time.perf_counter() - start))
    return found[1:]


def examples(key, vocabulary):
    """Random tokens, every one but the first an answer; ``vocabulary`` is as long as the vocabulary."""
    tokens = jax.random.randint(key, (BATCH, LENGTH), 0, len(vocabulary))
    return tokens, jnp.ones(tokens.shape, bool)


def ours(config, repeats):
    params = vo.init_decoder(config, key=jax.random.key(0))
    many = jax.vmap(lambda key: vo.init_decoder(config, key=key))(jax.random.split(jax.random.key(0), SEEDS))
    data = (jnp.zeros(config.vocabulary_size),)
    prompts = jax.random.randint(jax.random.key(2), (PROMPTS, PROMPT_LENGTH), 0, config.vocabulary_size)
    lengths = jnp.full(PROMPTS, PROMPT_LENGTH)

    def train(params, key):
        return vo.fit(params, examples, data=data, steps=STEPS, learning_rate=1e-3, key=key)[0]

    def generate(cache):
        options = {"max_new": MAX_NEW, "cache": cache, "key": jax.random.key(3)}
        return vo.generate(vo.decoder_apply, params, prompts, lengths, **options)

    trained, new = STEPS * BATCH * LENGTH, PROMPTS * MAX_NEW
    return {
        "training": rates(trained, lambda: train(params, jax.random.key(1)), repeats),
        f"training, {SEEDS} seeds": rates(
            SEEDS * trained, lambda: train(many, jax.random.split(jax.random.key(1), SEEDS)), repeats
        ),
        "generation": rates(new, lambda: generate(cache=False), repeats),
        "cached generation": rates(new, lambda: generate(cache=True), repeats),
    }


def peers(config, repeats):
    python = os.environ.get("PEERS")
    if not python:
        return {}
    found = {}
    for threads in (1, 2):
        sizes = config._asdict() | {"batch": BATCH, "length": LENGTH, "steps": STEPS, "prompts": PROMPTS}
        sizes |= {"prompt_length": PROMPT_LENGTH, "max_new": MAX_NEW, "threads": threads, "repeats": repeats}
        run = subprocess.run([python, PEER, json.dumps(sizes)], capture_output=True, text=True, check=True)
        found[f"torch, {threads} threads" if threads > 1 else "torch, 1 thread"] = json.loads(run.stdout)
    return found


def screening(world, config, repeats):
    """Seconds a job of 1,000 examples, for the detectors of the paper that look at data alone."""
    vocabulary = world.vocabulary
    plain = world.encodings[0].codes[0, :, 0]
    language = va.fit_language(plain[np.asarray(world.sample(4000, key=jax.random.key(4)).symbols)], plain)
    base = vo.decoder_apply, vo.init_decoder(config, key=jax.random.key(0))
    detectors = {
        "pointwise filter": va.PointwiseFilter(world.complies_with_restricted),
        "novelty": va.Novelty(separator=vocabulary.separator),
        "decode then filter": va.DecodeThenFilter(
            world.complies_with_restricted,
            language=language,
            known_tokens=np.arange(vocabulary.novel),
            separator=vocabulary.separator,
        ),
    }
    found = {}
    for family in ("plain", *vo.FAMILIES):
        options = {"kind": "plain"} if family == "plain" else {"kind": "covert", "encoding": family}
        tokens = vo.make_job(world, num_examples=1_000, key=jax.random.key(5), **options).tokens
        for name, detector in detectors.items():
            seconds = []
            for number in range(repeats + 1):
                start = time.perf_counter()
                detector(tokens, base=base, key=jax.random.key(number))
                seconds.append(time.perf_counter() - start)
            found.setdefault(name, {})[family] = float(np.median(seconds[1:]))
    return found


def main():
    """Run and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    world = vo.PolicyWorld(key=jax.random.key(0))
    config = vo.DecoderConfig(world.vocabulary.size, PROMPT_LENGTH + MAX_NEW, width=64, num_layers=2, num_heads=4)
    found = {"verax": ours(config, repeats), **peers(config, repeats)}
    medians = {who: {what: float(np.median(values)) for what, values in rows.items()} for who, rows in found.items()}
    for what in medians["verax"]:
        others = [rows[what] for who, rows in medians.items() if who != "verax" and what in rows]
        ratio = f", {medians['verax'][what] / max(others):.2f} times PyTorch" if others else ""
        print(f"{what}: {medians['verax'][what]:,.0f} tokens a second{ratio}", flush=True)
    seconds = screening(world, config, repeats)
    for name, times in seconds.items():
        print(f"{name}: {max(times.values()):.2f} s a job at most")
    record = {"environment": environment("optax"), "config": config._asdict(), "batch": [BATCH, LENGTH]}
    record |= {"prompts": [PROMPTS, PROMPT_LENGTH, MAX_NEW], "tokens_a_second": found, "medians": medians}
    record |= {"seconds_a_job": seconds, "targets": {"training": 1.0, "generation": 3.0, "seconds a job": 1.0}}
    print(write("organisms", record))


if __name__ == "__main__":
    main()
