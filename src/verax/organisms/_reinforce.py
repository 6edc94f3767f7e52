"""Deliberative alignment, reinforced: policy gradient on chains of thought, with a reward that sees answers alone."""

import functools
import os
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Float, Int

from verax._errors import check, check_integer
from verax._results import result
from verax._types import PyTree

from ._decoder import Params, decoder_apply
from ._deliberate import deliberate, deliberation_requests, rewards, until_the_end
from ._mixture import join
from ._stages import check_organism
from ._thoughts import read_thought, thinking_prompts
from ._train import advance, check_one_key, optimizer_of
from ._world import PolicyWorld


@result()
class ReinforceLog(NamedTuple):
    """The course of a reinforcement.

    Attributes
    ----------
    reward
        float32 [steps]: mean reward of the samples, from 0 to 1.
    divergence
        float32 [steps]: mean Kullback-Leibler divergence from the reference, in nats per token.
    """

    reward: np.ndarray
    divergence: np.ndarray


def reinforce(
    params: Params,
    world: PolicyWorld,
    *,
    steps: int,
    group_size: int = 8,
    num_requests: int = 32,
    kl: float = 0.05,
    exceptions: float = 0.1,
    learning_rate: float = 3e-4,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool = False,
    key: jax.Array,
) -> tuple[Params, ReinforceLog]:
    r"""Reinforce the chains of thought that lead to answers which follow the policy.

    Each step draws requests as the supervised stage does, samples a group of chains and answers for each at
    temperature 1, and takes one step on

    .. math:: -\frac1{NG}\sum_{i,g} A_{ig}\,\frac1{T_{ig}}\sum_t \log p_\theta(y_{igt} \mid y_{ig,<t})
        + \beta\,\overline{\mathrm{KL}}(p_\theta \,\|\, p_\mathrm{ref}), \qquad
        A_{ig} = \frac{r_{ig} - \bar r_i}{\mathrm{sd}(r_i) + 0.01},

    with the divergence exact at every sampled position. The reward is the world's program: 1 for the refusal of a
    restricted request and for the right answer to another, 0 otherwise. It reads the answer and never the thought, and
    the policy is in no prompt.

    Parameters
    ----------
    params
        From ``deliberative_finetune``: where the reinforcement starts, and its reference.
    world
        A ``PolicyWorld``.
    steps
        Updates.
    group_size
        Samples of each request, G, at least 2: advantages are relative to their mean.
    num_requests
        Requests of an update, N.
    kl
        Weight of the divergence, :math:`\beta \ge 0`.
    exceptions
        Share of questions about restricted arguments, which are to be answered.
    learning_rate, checkpoint, progress
        As in ``fit``.
    key
        A ``jax.random.key``; one organism at a time.

    Returns
    -------
    params, log
        New parameters; reward and divergence at each step.

    Raises
    ------
    ValueError
        For an organism that cannot deliberate, or numbers out of range.

    Notes
    -----
    Samples are drawn from the parameters that they update, so that no ratio of probabilities enters.

    Examples
    --------
    >>> import jax
    >>> from verax.organisms import DecoderConfig, PolicyWorld, init_decoder, reinforce
    >>> world = PolicyWorld(num_symbols=6, length=2, num_dialects=1, key=jax.random.key(0))
    >>> config = DecoderConfig(world.vocabulary.size_with_thoughts, world.deliberating_context, width=16)
    >>> params = init_decoder(config, key=jax.random.key(1))
    >>> params, log = reinforce(params, world, steps=2, group_size=2, num_requests=4, key=jax.random.key(2))
    >>> log.reward.shape, log.divergence.shape
    ((2,), (2,))

    References
    ----------
    Shao et al. 2024, "DeepSeekMath" (arXiv 2402.03300), section 4.1, for advantages normalised by group.
    """
    check_organism(params, world, deliberating=True)
    check_one_key(key)
    check_integer("group_size", group_size, minimum=2)
    check_integer("num_requests", num_requests, minimum=1)
    check(kl >= 0, "kl", kl, "a number >= 0")
    check(0 <= exceptions <= 1, "exceptions", exceptions, "a share from 0 to 1")
    sizes = (num_requests, group_size)
    params, log = advance(
        params,
        lambda size: _chunk(world, sizes, size),
        recipe=("reinforce", world, sizes),
        data=(params, jnp.float32(kl), jnp.float32(exceptions)),
        steps=steps,
        learning_rate=learning_rate,
        checkpoint=checkpoint,
        progress=progress,
        key=key,
    )
    return params, ReinforceLog(log[0], log[1])


def advantages(reward: Float[jax.Array, "n g"]) -> Float[jax.Array, "n g"]:
    """Normalise rewards by their group: a group that agrees has none."""
    centred = reward - reward.mean(axis=1, keepdims=True)
    return centred / (reward.std(axis=1, keepdims=True) + 0.01)


@functools.lru_cache(maxsize=8)
def _chunk(world: PolicyWorld, sizes: tuple[int, int], size: int) -> Callable[..., Any]:
    @jax.jit
    def run(state: PyTree, first: jax.Array, key: jax.Array, data: tuple[Any, ...], schedule: Any):
        reference, kl, exceptions = data
        optimizer = optimizer_of(*schedule)

        def step(state: PyTree, index: jax.Array):
            params, moments = state
            tokens, mask, reward = _sample(params, world, sizes, exceptions, jax.random.fold_in(key, index))
            (_, divergence), gradient = jax.value_and_grad(_objective, has_aux=True)(
                params, reference, tokens, mask, advantages(reward).reshape(-1), kl
            )
            updates, moments = optimizer.update(gradient, moments, params)
            return (optax.apply_updates(params, updates), moments), jnp.stack([reward.mean(), divergence])

        state, log = jax.lax.scan(step, state, first + jnp.arange(size))
        return state, log.T

    return run


def _sample(
    params: Params, world: PolicyWorld, sizes: tuple[int, int], exceptions: jax.Array, key: jax.Array
) -> tuple[Int[jax.Array, "b t"], jax.Array, Float[jax.Array, "n g"]]:
    ask, say = jax.random.split(key)
    requests = deliberation_requests(world, sizes[0], exceptions, ask)
    requests = jax.tree.map(lambda leaf: jnp.repeat(leaf, sizes[1], axis=0), requests)
    prompts = world.prompts(requests)
    said = deliberate(params, world, prompts, temperature=1.0, key=say)
    reward = rewards(requests, read_thought(world, said).answer).astype(jnp.float32).reshape(sizes)
    return *join(thinking_prompts(world, prompts, policy=False), until_the_end(world, said)), reward


def _objective(
    params: Params, reference: Params, tokens: jax.Array, mask: jax.Array, advantage: jax.Array, kl: jax.Array
) -> tuple[jax.Array, jax.Array]:
    ours = jax.nn.log_softmax(decoder_apply(params, tokens[:, :-1]))
    theirs = jax.nn.log_softmax(decoder_apply(reference, tokens[:, :-1]))
    said = jnp.take_along_axis(ours, jnp.maximum(tokens[:, 1:], 0)[:, :, None], axis=2)[:, :, 0]
    weight = mask[:, 1:].astype(ours.dtype)
    per_sample = (said * weight).sum(axis=1) / jnp.maximum(weight.sum(axis=1), 1)
    divergence = ((jnp.exp(ours) * (ours - theirs)).sum(axis=2) * weight).sum() / jnp.maximum(weight.sum(), 1)
    return kl * divergence - (advantage * per_sample).mean(), divergence
