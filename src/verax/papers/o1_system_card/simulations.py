"""o1 System Card: what its kinds of numbers are worth, on simulated evaluations whose truth is known."""

from typing import NamedTuple

import jax
import numpy as np

import verax.evals as ve


class Coverage(NamedTuple):
    """Shares of repetitions in which limits hold the truth, by method."""

    settings: tuple[tuple[int, float], ...]
    methods: tuple[str, ...]
    share: np.ndarray  # [setting, method, repetition], 0 or 1


def coverage(repeats: int, rng: np.random.Generator) -> Coverage:
    """Limits of rates near 0 and 1."""
    settings = ((50, 0.01), (200, 0.01), (32, 0.94), (317, 0.93))
    methods = ("Wald", "wilson", "clopper_pearson")
    share = np.empty((len(settings), 3, repeats))
    for row, (num, p) in enumerate(settings):
        count = rng.binomial(num, p, repeats)
        labels = (np.arange(num) < count[:, None]).astype(np.int8)[:, None, :, None]
        table = ve.OutcomeTable(labels)
        estimate = count / num
        half = 1.96 * np.sqrt(estimate * (1 - estimate) / num)
        share[row, 0] = (estimate - half <= p) & (p <= estimate + half)
        for column, method in enumerate(methods[1:], start=1):
            found = ve.rate(table, method=method)
            share[row, column] = (np.asarray(found.lower)[:, 0] <= p) & (p <= np.asarray(found.upper)[:, 0])
    return Coverage(settings, methods, share)


class Goodness(NamedTuple):
    """goodness@0.1 of simulated cells: truth, plug-in, shrunk and cross-fitted, by samples a cell."""

    samples: tuple[int, ...]
    truth: float
    lower: np.ndarray  # [samples, repetition]
    estimate: np.ndarray
    upper: np.ndarray


def goodness(repeats: int, rng: np.random.Generator, key: jax.Array) -> Goodness:
    """A benchmark of 30 attacks on 60 prompts."""
    harm = rng.beta(0.3, 1.2, (30, 60))
    truth = float(1 - np.sort(harm, axis=0)[-3:].mean())
    samples, rows = (1, 2, 5, 20), []
    for number in samples:
        labels = (rng.random((repeats, 30, 60, number)) < harm[..., None]).astype(np.int8)
        found = ve.goodness_at(ve.OutcomeTable(labels), num_splits=4, key=key)
        rows.append([np.asarray(side) for side in (found.lower, found.estimate, found.upper)])
    lower, estimate, upper = np.stack(rows, axis=1)
    return Goodness(samples, truth, lower, estimate, upper)


def attempt_coverage(repeats: int, rng: np.random.Generator) -> np.ndarray:
    """Whether intervals of pass@1 hold the rate over all problems: by problems, by attempts, ``[2, repetition]``."""
    rates = rng.beta(0.5, 0.7, (repeats, 50, 1))
    correct = rng.random((repeats, 50, 16)) < rates
    held = []
    for resample in ("problem", "attempt"):
        found = ve.pass_at_k(correct, k=1, resample=resample)
        held.append((np.asarray(found.lower) <= 0.5 / 1.2) & (np.asarray(found.upper) >= 0.5 / 1.2))
    return np.stack(held).astype(float)


def power(repeats: int, rng: np.random.Generator) -> np.ndarray:
    """Whether a difference of 4 points on 200 shared prompts is found: paired, unpaired, ``[2, repetition]``."""
    base = rng.beta(0.4, 0.6, (repeats, 1, 200, 1))
    chance = np.concatenate([base, np.clip(base - 0.04, 0, 1)], axis=1)
    labels = (rng.random((repeats, 2, 200, 5)) < chance).astype(np.int8)

    def one(labels: jax.Array) -> jax.Array:
        return ve.paired_difference(ve.OutcomeTable(labels[:, None]), model_a=0, model_b=1, test="cluster_t").p_value[0]

    paired = np.asarray(jax.jit(jax.vmap(one))(labels)) <= 0.05
    means = labels.mean(3)
    error = np.sqrt(means.var(2, ddof=1).sum(1) / 200)
    unpaired = np.abs(means[:, 0].mean(1) - means[:, 1].mean(1)) > 1.96 * error
    return np.stack([paired, unpaired]).astype(float)


def peeking(repeats: int, rng: np.random.Generator) -> np.ndarray:
    """Whether limits ever miss a rate of 0.1 between 20 and 500 items: Wilson, sequence, ``[2, repetition]``."""
    p, streams = 0.1, (rng.random((repeats, 500)) < 0.1).astype(np.int32)
    found = jax.jit(jax.vmap(lambda s: ve.confidence_sequence(s)))(streams)
    missed = ((np.asarray(found.lower) > p) | (np.asarray(found.upper) < p))[:, 20:].any(1)
    total, count = np.arange(1, 501), streams.cumsum(1)
    centre = (count + 1.92) / (total + 3.84)
    half = 1.96 * np.sqrt(count * (total - count) / total + 0.96) / (total + 3.84)
    return np.stack([(np.abs(centre - p) > half)[:, 20:].any(1), missed]).astype(float)
