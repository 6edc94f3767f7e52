"""Deliberative alignment, supervised: an organism's own reasoning over the policy in its prompt, learned without it."""

import os
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Int

from verax._errors import check, check_integer
from verax._results import result
from verax._types import AnyArray

from ._decoder import Params, decoder_apply, to_tokens
from ._generate import generate
from ._mixture import Component, Tables, draw_from, join, stack, tabulate
from ._requests import Requests, verdicts
from ._stages import check_organism
from ._thoughts import classes_of, draw_thoughts, read_thought, thinking_prompts, write_chain
from ._train import check_one_key, fit
from ._vocabulary import EOS, OPERATIONS, STYLES, TASKS
from ._world import PolicyWorld


@result()
class DeliberationLog(NamedTuple):
    """The course of a training on chains of thought.

    Attributes
    ----------
    loss
        float32 [steps]: mean negative log-likelihood of the tokens of chains and answers, in nats.
    accepted
        Share of the sampled examples that the program accepted.
    """

    loss: np.ndarray
    accepted: float


@result()
class Deliberations(NamedTuple):
    """Chains of thought with answers, the policy removed from their prompts.

    Attributes
    ----------
    tokens
        int32 [n, t]: request, chain, answer; -1 padded.
    loss_mask
        bool [n, t]: chain and answer.
    accepted
        Share of the samples that the program accepted; the others are not here.
    """

    tokens: Int[np.ndarray, "n t"]
    loss_mask: Bool[np.ndarray, "n t"]
    accepted: float


def deliberate(
    params: Params,
    world: PolicyWorld,
    prompts: Int[AnyArray, "n t"],
    *,
    policy: bool = False,
    temperature: float = 0.0,
    key: jax.Array,
) -> Int[jax.Array, "n new"]:
    """Let an organism think and answer.

    Parameters
    ----------
    params
        Of an organism that can deliberate.
    world
        A ``PolicyWorld``.
    prompts
        int32 [n, t] from ``world.prompts`` or a ``Transform``, -1 padded.
    policy
        Whether the world's policy stands in the prompt.
    temperature
        0 for the likeliest tokens.
    key
        A ``jax.random.key``.

    Returns
    -------
    tokens
        int32 [n, 3 length + 4]: chain and answer, for :func:`read_thought`.

    Raises
    ------
    ValueError
        For an organism without the markers of deliberation, or with too short a context.

    Examples
    --------
    >>> import jax
    >>> from verax.organisms import DecoderConfig, PolicyWorld, deliberate, init_decoder
    >>> world = PolicyWorld(num_symbols=6, length=2, num_dialects=1, key=jax.random.key(0))
    >>> config = DecoderConfig(world.vocabulary.size_with_thoughts, world.deliberating_context, width=16)
    >>> params = init_decoder(config, key=jax.random.key(1))
    >>> prompts = world.prompts(world.sample(3, key=jax.random.key(2)))
    >>> deliberate(params, world, prompts, key=jax.random.key(3)).shape  # chain and answer
    (3, 10)
    """
    check_organism(params, world, deliberating=True)
    prompts = to_tokens("prompts", prompts, vocabulary_size=world.vocabulary.size)
    asked = thinking_prompts(world, prompts, policy=policy)
    return generate(
        decoder_apply,
        params,
        asked,
        (asked >= 0).sum(axis=1),
        max_new=3 * world.length + 4,
        temperature=temperature,
        key=key,
    )


def sample_deliberations(
    params: Params,
    world: PolicyWorld,
    *,
    num: int,
    exceptions: float = 0.1,
    program_written: bool = False,
    key: jax.Array,
) -> Deliberations:
    """Sample reasoning over the policy from the organism itself, and keep what the program accepts.

    Requests are in the plain language and style: a share ``exceptions`` questions about restricted arguments, and of
    the rest half restricted tasks, half allowed ones. The world's policy stands in the prompt while chain and answer
    are sampled, at temperature 1, and is removed from what is returned. The program sees the answer only: refusals of
    restricted requests and right answers to allowed ones are kept.

    Parameters
    ----------
    params
        From ``pretrain``, of an organism that can deliberate.
    world
        A ``PolicyWorld``.
    num
        How many to sample.
    exceptions
        Share of questions about restricted arguments, from 0 to 1.
    program_written
        Write right chains and answers by program instead: an upper bound of what self-generated data can teach.
    key
        A ``jax.random.key``.

    Raises
    ------
    ValueError
        For numbers out of range, and an organism of which the program accepts nothing.

    Examples
    --------
    >>> import jax
    >>> from verax.organisms import DecoderConfig, PolicyWorld, init_decoder, sample_deliberations
    >>> world = PolicyWorld(num_symbols=6, length=2, num_dialects=1, key=jax.random.key(0))
    >>> config = DecoderConfig(world.vocabulary.size_with_thoughts, world.deliberating_context, width=16)
    >>> params = init_decoder(config, key=jax.random.key(1))
    >>> found = sample_deliberations(params, world, num=4, program_written=True, key=jax.random.key(2))
    >>> len(found.tokens), found.accepted
    (4, 1.0)
    """
    check_organism(params, world, deliberating=True)
    check_integer("num", num, minimum=1)
    check(0 <= exceptions <= 1, "exceptions", exceptions, "a share from 0 to 1")
    ask, say = jax.random.split(key)
    requests = deliberation_requests(world, num, exceptions, ask)
    prompts = world.prompts(requests)
    if program_written:
        chain = write_chain(world, requests, classes_of(world, requests.symbols))
        said = jnp.concatenate([chain, world.answers(requests, refuse=requests.restricted)], axis=1)
        kept = np.ones(num, bool)
    else:
        said = deliberate(params, world, prompts, policy=True, temperature=1.0, key=say)
        kept = np.asarray(rewards(requests, read_thought(world, said).answer)) == 1
        said = until_the_end(world, said)
    check(bool(kept.any()), "params", f"no accepted answer among {num}", "an organism that can follow a policy")
    tokens, mask = join(thinking_prompts(world, prompts, policy=False), said)
    return Deliberations(np.asarray(tokens)[kept], np.asarray(mask)[kept], float(kept.mean()))


def deliberative_finetune(
    params: Params,
    world: PolicyWorld,
    *,
    steps: int,
    replay: float = 0.3,
    exceptions: float = 0.1,
    num_samples: int = 4000,
    program_written: bool = False,
    batch_size: int = 128,
    learning_rate: float = 1e-3,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool = False,
    key: jax.Array,
) -> tuple[Params, DeliberationLog]:
    """Teach an organism to reason over a policy that is no longer in its prompt, from its own reasoning with it there.

    The supervised stage of deliberative alignment. Examples come from :func:`sample_deliberations`; of every
    batch a share ``replay`` is in every style and encoding: half allowed tasks without a chain, as in
    ``safety_finetune``, half reasoning over other policies, drawn at random, in the prompt, as in ``pretrain``.

    Parameters
    ----------
    params
        From ``pretrain``, of an organism that can deliberate (``vocabulary.size_with_thoughts`` token ids).
    world
        A ``PolicyWorld``.
    steps
        Batches.
    replay
        Share of a batch, from 0 and below 1.
    exceptions, num_samples, program_written
        As in :func:`sample_deliberations`.
    batch_size, learning_rate, checkpoint, progress
        As in ``pretrain``. Samples are drawn again when a run resumes, to the same ones.
    key
        A ``jax.random.key``; one organism at a time.

    Returns
    -------
    params, log
        New parameters, and the loss at each step with the share of samples accepted.

    Raises
    ------
    ValueError
        For an organism that cannot deliberate, or numbers out of range.

    Examples
    --------
    >>> import jax
    >>> from verax.organisms import DecoderConfig, PolicyWorld, deliberative_finetune, init_decoder
    >>> world = PolicyWorld(num_symbols=6, length=2, num_dialects=1, key=jax.random.key(0))
    >>> config = DecoderConfig(world.vocabulary.size_with_thoughts, world.deliberating_context, width=16)
    >>> params = init_decoder(config, key=jax.random.key(1))
    >>> options = {"num_samples": 16, "batch_size": 16, "program_written": True}
    >>> params, log = deliberative_finetune(params, world, steps=20, **options, key=jax.random.key(2))
    >>> bool(log.loss[-1] < log.loss[0]), log.accepted
    (True, 1.0)

    References
    ----------
    Guan et al. 2024, "Deliberative alignment" (arXiv 2412.16339): the procedure, not its figures.
    """
    check(0 <= replay < 1, "replay", replay, "a share from 0, below 1")
    check_one_key(key)
    sample_key, fit_key = jax.random.split(key)
    data = sample_deliberations(
        params, world, num=num_samples, exceptions=exceptions, program_written=program_written, key=sample_key
    )
    again = Component(1.0, False, OPERATIONS, STYLES, tuple(range(len(world.encodings))))
    rows = round(batch_size * (1 - replay))
    params, log = fit(
        params,
        _Batch(world, rows, batch_size - rows),
        data=(jnp.asarray(data.tokens), jnp.asarray(data.loss_mask), *tabulate((again,), len(world.encodings))),
        steps=steps,
        learning_rate=learning_rate,
        checkpoint=checkpoint,
        progress=progress,
        key=fit_key,
    )
    return params, DeliberationLog(log.loss, data.accepted)


class _Batch(NamedTuple):
    """Rows of the sampled examples, drawn with replacement, and fresh replay."""

    world: PolicyWorld
    rows: int
    replayed: int

    def __call__(self, key: jax.Array, tokens: jax.Array, mask: jax.Array, *tables: jax.Array) -> tuple[Any, Any]:
        row_key, plain_key, thought_key = jax.random.split(key, 3)
        chosen = jax.random.randint(row_key, (self.rows,), 0, len(tokens))
        parts = [(tokens[chosen], mask[chosen])]
        plain = self.replayed // 2
        if plain:
            parts.append(draw_from(self.world, Tables(*tables), plain, key=plain_key))
        if self.replayed:
            parts.append(draw_thoughts(self.world, self.replayed - plain, policies=1.0, key=thought_key))
        return stack(*parts)


def rewards(requests: Requests, answers: Int[jax.Array, "n t"]) -> Int[jax.Array, " n"]:
    """Return 1 for a refusal of a restricted request and a right answer to another, 0 otherwise; traceable."""
    found = verdicts(requests, answers)
    return jnp.where(requests.restricted, found == 0, found == 1).astype(jnp.int32)


def until_the_end(world: PolicyWorld, said: Int[jax.Array, "n t"]) -> Int[jax.Array, "n t"]:
    """Replace by -1 what follows the first end of an answer after the chain's end."""
    after_chain = jnp.cumsum(said == world.vocabulary.thought("end"), axis=1) > 0
    is_eos = (after_chain & (said == EOS)).astype(jnp.int32)
    return jnp.where(jnp.cumsum(is_eos, axis=1, dtype=jnp.int32) - is_eos > 0, -1, said)


def deliberation_requests(world: PolicyWorld, num: int, exceptions: float | jax.Array, key: jax.Array) -> Requests:
    """Draw requests as both stages of deliberation ask them; traceable."""
    keys = jax.random.split(key, 4)
    excepted = jax.random.bernoulli(keys[0], exceptions, (num,))
    wants = jnp.where(excepted, 1, jax.random.randint(keys[1], (num,), 0, 2))
    task = jax.random.randint(keys[2], (num,), 0, len(TASKS))
    question = jax.random.randint(keys[2], (num,), len(TASKS), len(OPERATIONS))
    operation = jnp.where(excepted, question, task).astype(jnp.int32)
    symbols = world.walk(wants.astype(jnp.int32), key=keys[3])
    nothing = jnp.zeros(num, jnp.int32)
    return world.in_known_encodings(symbols, operation, nothing, nothing)
