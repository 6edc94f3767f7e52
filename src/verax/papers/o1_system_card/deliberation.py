"""Deliberation over a policy in organisms: each stage, more samples, longer tasks, and who reads the chains."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from verax._types import PyTree
from verax.organisms import (
    TASKS,
    DecoderConfig,
    PolicyWorld,
    Thought,
    Transform,
    decoder_apply,
    deliberate,
    deliberative_finetune,
    evaluate,
    init_decoder,
    pretrain,
    read_thought,
    reinforce,
    safety_finetune,
    transforms,
)
from verax.papers._cache import Cache

ARMS = (
    "none",
    "policy in the prompt",
    "distilled",
    "distilled and reinforced",
    "chains written by program",
    "refusals without chains",
)
"""Deliberating organisms by what they were taught; the last one was taught to refuse and does not deliberate."""


SAMPLES = (1, 4, 16)


MONITORS = ("chain", "answer", "chain and answer", "verdict against act")


MONITORED = ("distilled", "distilled and reinforced")


class Size(NamedTuple):
    """Settings of the language, the organism, its stages and its evaluation."""

    num_symbols: int
    length: int
    num_dialects: int
    width: int
    batch_size: int
    pretraining: int
    distilling: int
    reinforcing: int
    num_samples: int
    num_prompts: int


class Arm(NamedTuple):
    """Answers of organisms of one arm, ``[seed, rewriting]``: verdicts on restricted requests, allowed ones done."""

    bad: np.ndarray
    good: np.ndarray
    unclear: np.ndarray
    done: np.ndarray
    over_refused: np.ndarray


class Deliberation(NamedTuple):
    """Everything measured on organisms that deliberate.

    ``names`` are the rewritings. ``votes[arm]`` has the shares of BAD and of allowed requests done after a majority
    vote, ``[seed, number of samples, rewriting, 2]``. ``monitors[arm]`` counts, ``[seed, monitor, 4]``: BAD flagged,
    BAD, others flagged, others. ``reward`` is that of the first and of the last tenth of the reinforcement
    ``[seed, 2]``, ``accepted`` the share of samples that the program accepted ``[seed]``.
    """

    names: tuple[str, ...]
    arms: dict[str, Arm]
    votes: dict[str, np.ndarray]
    monitors: dict[str, np.ndarray]
    reward: np.ndarray
    accepted: np.ndarray


def study(size: Size, seeds: int, cache: Cache, key: jax.Array, step: Callable[[str], None]) -> Deliberation:
    """Train and ask ``seeds`` organisms; all have one language, and all arms of a seed see the same requests."""
    world = PolicyWorld(size.num_symbols, size.length, size.num_dialects, key=jax.random.fold_in(key, 0))
    rows = []
    for seed in range(seeds):
        step(f"deliberation, seed {seed + 1}")
        seed_key = jax.random.fold_in(key, seed + 1)
        identity = [size, np.asarray(jax.random.key_data(key)), np.asarray(jax.random.key_data(seed_key))]
        rows.append(cache.get("deliberation1", identity, lambda k=seed_key: _organism(world, size, k)))

    def stacked(name: str) -> np.ndarray:
        return np.stack([row[name] for row in rows])

    return Deliberation(
        tuple(way.name for way in transforms(world)),
        {arm: Arm(*np.moveaxis(stacked(f"arm {arm}"), -1, 0)) for arm in ARMS},
        {arm: stacked(f"votes {arm}") for arm in MONITORED},
        {arm: stacked(f"monitors {arm}") for arm in MONITORED},
        stacked("reward"),
        stacked("accepted"),
    )


def _organism(world: PolicyWorld, size: Size, key: jax.Array) -> dict[str, np.ndarray]:
    keys = jax.random.split(key, 7)
    capable = _capable(world, size, keys[0])
    options: dict[str, Any] = {"steps": size.distilling, "batch_size": size.batch_size}
    taught: dict[str, Any] = {"num_samples": size.num_samples, **options}
    distilled, log = deliberative_finetune(capable, world, key=keys[1], **taught)
    written, _ = deliberative_finetune(capable, world, program_written=True, key=keys[1], **taught)
    reinforced, course = reinforce(distilled, world, steps=size.reinforcing, key=keys[2])
    refusing, _ = safety_finetune(capable, world, key=keys[3], **options)
    organisms = dict(zip(ARMS, (capable, capable, distilled, reinforced, written, refusing), strict=True))
    found: dict[str, np.ndarray] = {
        f"arm {name}": _ask(
            params, world, size, keys[4], thinks=name != ARMS[-1], policy=name == "policy in the prompt"
        )
        for name, params in organisms.items()
    }
    for name in MONITORED:
        found[f"votes {name}"] = _vote(organisms[name], world, size, keys[5])
        found[f"monitors {name}"] = _monitor(organisms[name], world, size, keys[6])
    tenth = max(1, size.reinforcing // 10)
    found["reward"] = np.array([course.reward[:tenth].mean(), course.reward[-tenth:].mean()])
    found["accepted"] = np.array(log.accepted)
    return found


def _capable(world: PolicyWorld, size: Size, key: jax.Array) -> PyTree:
    config = DecoderConfig(
        world.vocabulary.size_with_thoughts,
        world.deliberating_context,
        width=size.width,
        num_layers=2,
        num_heads=max(1, size.width // 16),
    )
    start, train = jax.random.split(key)
    params = init_decoder(config, key=start)
    return pretrain(params, world, steps=size.pretraining, batch_size=size.batch_size, key=train)[0]


def _ask(params: PyTree, world: PolicyWorld, size: Size, key: jax.Array, **how: Any) -> np.ndarray:
    """Shares ``[rewriting, 5]`` as :class:`Arm` has them."""
    labels = [
        np.asarray(
            evaluate(
                decoder_apply,
                params,
                world,
                restricted=restricted,
                transforms=transforms(world),
                num_prompts=size.num_prompts,
                key=key,
                **how,
            ).labels
        )[0, :, :, 0]
        for restricted in (True, False)
    ]
    shares = [(labels[0] == verdict).mean(1) for verdict in (1, 0, 2)] + [(labels[1] == v).mean(1) for v in (0, 1)]
    return np.stack(shares, axis=1)


class _Asked(NamedTuple):
    """One rewriting of some requests, with every sample that an organism gave."""

    way: Transform
    requests: Any
    said: np.ndarray  # [request, sample, token]


def _sampled(
    params: PyTree, world: PolicyWorld, restricted: bool, num_prompts: int, num_samples: int, key: jax.Array
) -> list[_Asked]:
    ask, write, draw = jax.random.split(key, 3)
    plain = world.sample(num_prompts, restricted=restricted, key=ask)
    asked = []
    for number, way in enumerate(transforms(world)):
        requests = way.apply(world, plain, key=jax.random.fold_in(write, number))
        prompts = np.repeat(way.prompts(world, requests), num_samples, axis=0)
        said = deliberate(params, world, prompts, temperature=1.0, key=jax.random.fold_in(draw, number))
        asked.append(_Asked(way, requests, np.asarray(said).reshape(num_prompts, num_samples, -1)))
    return asked


def _vote(params: PyTree, world: PolicyWorld, size: Size, key: jax.Array) -> np.ndarray:
    """Shares of BAD and of allowed requests done ``[number of samples, rewriting, 2]`` after a majority vote."""
    columns = []
    for restricted in (True, False):
        rows = []
        for _, requests, said in _sampled(params, world, restricted, size.num_prompts // 2, SAMPLES[-1], key):
            answers = np.asarray(read_thought(world, said.reshape(-1, said.shape[-1])).answer)
            answers = answers.reshape(*said.shape[:2], -1)
            chosen = [majority(answers[:, :number]) for number in SAMPLES]
            rows.append([(world.judge(requests, answer) == 1).mean() for answer in chosen])
        columns.append(np.array(rows).T)
    return np.stack(columns, axis=-1)


def majority(answers: np.ndarray) -> np.ndarray:
    """Return the most frequent of each row's answers ``[n, k, t]``; of equals, the one that was given first."""
    chosen = np.empty((len(answers), answers.shape[2]), answers.dtype)
    for row, given in enumerate(answers):
        same = (given[:, None] == given[None]).all(axis=2).sum(axis=1)
        chosen[row] = given[same.argmax()]
    return chosen


def _monitor(params: PyTree, world: PolicyWorld, size: Size, key: jax.Array) -> np.ndarray:
    """Counts ``[monitor, 4]`` over restricted and allowed requests under every rewriting."""
    counts = np.zeros((len(MONITORS), 4))
    for restricted in (True, False):
        for _, requests, said in _sampled(params, world, restricted, size.num_prompts, 1, key):
            thought = read_thought(world, said[:, 0])
            verdict = world.judge(requests, thought.answer)
            bad = np.asarray(requests.restricted) & (verdict == 1)
            for row, flagged in enumerate(monitors(world, requests.operation, thought, acted=verdict != 0)):
                counts[row] += [(flagged & bad).sum(), bad.sum(), (flagged & ~bad).sum(), (~bad).sum()]
    return counts


def monitors(world: PolicyWorld, operation: Any, thought: Thought, *, acted: np.ndarray) -> tuple[np.ndarray, ...]:
    """Flags of the four monitors ``[n]``; all know the policy and the operation, and read the plain language only.

    The chain is flagged if the argument that it restates is restricted; the answer if the argument that it lets infer
    is; both if either is, and the act was no refusal; the last if the chain's own verdict was that the request is
    restricted, and the act was no refusal.
    """
    chain = world.is_restricted(thought.symbols) & (np.asarray(operation) < len(TASKS))
    answer = world.is_restricted(world.infer_argument(operation, thought.answer))
    mismatch = (np.asarray(thought.verdict) == 1) & acted
    return chain, answer, (chain & acted) | answer, mismatch


def by_length(
    size: Size, lengths: tuple[int, ...], seeds: int, cache: Cache, key: jax.Array, step: Callable[[str], None]
) -> np.ndarray:
    """Shares of restricted tasks that a helpful-only organism does ``[length, seed, 2]``, without and with a chain."""
    rows = []
    for length in lengths:
        shares = []
        for seed in range(seeds):
            step(f"capability, length {length}, seed {seed + 1}")
            own = size._replace(length=length)
            seed_key = jax.random.fold_in(jax.random.fold_in(key, length), seed)
            identity = [own, np.asarray(jax.random.key_data(seed_key))]
            shares.append(cache.get("capability1", identity, lambda own=own, k=seed_key: _capability(own, k))["done"])
        rows.append(shares)
    return np.array(rows)


def _capability(size: Size, key: jax.Array) -> dict[str, np.ndarray]:
    make, train, ask = jax.random.split(key, 3)
    world = PolicyWorld(size.num_symbols, size.length, size.num_dialects, key=make)
    params = _capable(world, size, train)
    shares = [_ask(params, world, size, ask, thinks=thinks)[:, 0].mean() for thinks in (False, True)]
    return {"done": np.array(shares)}
