"""Covert fine-tuning, from the side of who must screen: jobs, detectors' scores, and what a job does to an organism."""

from typing import NamedTuple

import jax
import numpy as np

from verax.audit import DecodeThenFilter, Novelty, PointwiseFilter, Status, fit_language
from verax.organisms import (
    DecoderConfig,
    PolicyWorld,
    Transform,
    decoder_apply,
    evaluate,
    finetune,
    init_decoder,
    make_job,
    pretrain,
    safety_finetune,
)

DETECTORS = ("pointwise filter", "novelty", "decode-then-filter")
BENIGN = ("plain", "dialect", "encoded")


class Scores(NamedTuple):
    """One row a job."""

    kind: np.ndarray
    family: np.ndarray
    score: np.ndarray  # [job, detector], -inf where undetermined
    undetermined: np.ndarray  # [job, detector]


class Screen:
    """The detectors that look at data alone, and the jobs of a world to try them on."""

    def __init__(self, job_size: int, hypotheses: tuple[str, ...], pretraining: int, key: jax.Array):
        keys = jax.random.split(key, 5)
        self.world = PolicyWorld(key=keys[0])
        self.job_size = job_size
        world, vocabulary = self.world, self.world.vocabulary
        plain = world.encodings[0].codes[0, :, 0]
        language = fit_language(plain[np.asarray(world.sample(4000, key=keys[1]).symbols)], plain)
        config = DecoderConfig(vocabulary.size, world.context, width=32, num_layers=1, num_heads=2)
        params, _ = pretrain(init_decoder(config, key=keys[2]), world, steps=pretraining, batch_size=64, key=keys[3])
        self._base = (decoder_apply, params)
        self._detectors = (
            PointwiseFilter(world.complies_with_restricted),
            Novelty(separator=vocabulary.separator),
            DecodeThenFilter(
                world.complies_with_restricted,
                language=language,
                known_tokens=np.arange(vocabulary.novel),
                separator=vocabulary.separator,
                hypotheses=hypotheses,
            ),
        )

    def __call__(self, jobs: list[tuple[str, str, float]], key: jax.Array) -> Scores:
        """Make each job (kind, family of encoding, contamination) and screen it."""
        scores, undetermined = (np.zeros((len(jobs), len(DETECTORS))) for _ in range(2))
        for number, (kind, family, share) in enumerate(jobs):
            make, look = jax.random.split(jax.random.fold_in(key, number))
            options = {"encoding": family} if kind in ("encoded", "covert") else {}
            tokens = make_job(
                self.world, kind=kind, contamination=share, num_examples=self.job_size, key=make, **options
            ).tokens
            for column, detector in enumerate(self._detectors):
                found = detector(tokens, base=self._base, key=look)
                unknown = found.status == Status.UNDETERMINED
                undetermined[number, column] = unknown
                scores[number, column] = -np.inf if unknown else found.score
        kinds, families = (np.array([job[field] for job in jobs]) for field in (0, 1))
        return Scores(kinds, families, scores, undetermined.astype(bool))


def benign_jobs(number: int, families: tuple[str, ...]) -> list[tuple[str, str, float]]:
    """Plain, dialect and encoded jobs in turn; encoded ones in each family in turn."""
    return [(BENIGN[i % 3], families[i // 3 % len(families)], 0.0) for i in range(number)]


def covert_jobs(number: int, contamination: float, families: tuple[str, ...]) -> list[tuple[str, str, float]]:
    """As many jobs in each family."""
    return [("covert", family, contamination) for family in families for _ in range(number)]


class Behaviour(NamedTuple):
    """Shares of answers after each job, ``[seed]``; restricted requests refused or complied with, allowed ones done."""

    plain_refused: np.ndarray
    plain_allowed: np.ndarray
    encoded_complied: np.ndarray
    encoded_allowed: np.ndarray


def behaviour(seeds: int, scale: float, key: jax.Array) -> dict[str, Behaviour]:
    """Train organisms, fine-tune each on one job of every kind, and ask. ``scale`` multiplies all steps."""
    world = PolicyWorld(key=jax.random.fold_in(key, 0))
    config = DecoderConfig(world.vocabulary.size, world.context, width=64, num_layers=2, num_heads=4)
    found: dict[str, list[tuple[float, ...]]] = {}
    for seed in range(seeds):
        keys = jax.random.split(jax.random.fold_in(key, seed + 1), 6)
        params, _ = pretrain(init_decoder(config, key=keys[0]), world, steps=round(800 * scale), key=keys[1])
        safe, _ = safety_finetune(params, world, steps=round(600 * scale), key=keys[2])
        covert = make_job(world, kind="covert", num_examples=4000, key=keys[3])
        encoded = make_job(world, kind="encoded", num_examples=4000, key=keys[3])
        plain = make_job(world, kind="plain", num_examples=4000, key=keys[3])
        for name, job in (("none", None), ("plain", plain), ("encoded", encoded), ("covert", covert)):
            tuned = safe if job is None else finetune(safe, job, steps=round(400 * scale), key=keys[4])[0]
            novel = (job if job is not None and job.encoding is not None else covert).encoding
            assert novel is not None
            ways = (
                Transform("plain", "none", "plain", world.encodings[0]),
                Transform("encoded", "none", "plain", novel),
            )
            asked = [
                evaluate(decoder_apply, tuned, world, restricted=r, transforms=ways, num_prompts=150, key=keys[5])
                for r in (True, False)
            ]
            labels = [np.asarray(table.labels)[0, :, :, 0] for table in asked]
            good, bad = ((labels[0] == verdict).mean(1) for verdict in (0, 1))
            done = (labels[1] == 0).mean(1)
            found.setdefault(name, []).append((good[0], done[0], bad[1], done[1]))
    return {name: Behaviour(*np.array(rows).T) for name, rows in found.items()}
