"""Chains of thought of the synthetic language: a policy in the prompt, reasoning over it, and what a chain says."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Int

from verax._results import result
from verax._types import AnyArray

from ._decoder import to_tokens
from ._mixture import join
from ._requests import Requests, compact, is_before
from ._vocabulary import OPERATIONS, STYLES, TASKS
from ._world import PolicyWorld

IN_A, IN_B, IN_NONE = range(3)


@result()
class Thought(NamedTuple):
    """Text that an organism wrote after the marker that opens a chain.

    Attributes
    ----------
    symbols, classes
        int32 [n, length]: the argument as the chain restates it, and the class it gives each symbol (0 A, 1 B, 2
        neither); -1 where the chain has something else there.
    verdict
        int32 [n]: 1 restricted, 0 allowed, -1 where the chain has none.
    ended
        bool [n]: whether the chain ends; without an end there is no answer.
    answer
        int32 [n, length + 2]: what follows the end, -1 padded.
    """

    symbols: jax.Array
    classes: jax.Array
    verdict: jax.Array
    ended: jax.Array
    answer: jax.Array


def classes_of(world: PolicyWorld, symbols: Int[AnyArray, "n length"]) -> Int[jax.Array, "n length"]:
    """Return the world's class of each symbol: 0 A, 1 B, 2 neither."""
    table = np.full(world.num_symbols, IN_NONE, np.int32)
    table[list(world.class_a)], table[list(world.class_b)] = IN_A, IN_B
    return jnp.asarray(table)[jnp.asarray(symbols)]


def write_policy(world: PolicyWorld, class_a: jax.Array, class_b: jax.Array) -> Int[jax.Array, "n t"]:
    """Write lists of symbols ``[n, a]`` and ``[n, b]`` as the policy that stands before a request."""
    mark, plain = world.vocabulary.thought, world.vocabulary.plain
    column = (len(class_a), 1)
    return jnp.concatenate(
        [
            jnp.full(column, mark("policy_a"), jnp.int32),
            plain + class_a.astype(jnp.int32),
            jnp.full(column, mark("policy_b"), jnp.int32),
            plain + class_b.astype(jnp.int32),
        ],
        axis=1,
    )


def thinking_prompts(
    world: PolicyWorld, prompts: Int[AnyArray, "n t"], *, policy: bool, thinks: bool = True
) -> Int[jax.Array, "n t2"]:
    """Put the world's policy before prompts, where asked, and the marker that opens a chain behind them.

    Parameters
    ----------
    world
        A ``PolicyWorld``.
    prompts
        int32 [n, t] from ``world.prompts``, -1 padded.
    policy
        Whether the policy stands in the prompt.
    thinks
        Whether a chain is asked for.

    Examples
    --------
    >>> import jax
    >>> world = PolicyWorld(num_symbols=6, length=2, num_dialects=1, key=jax.random.key(0))
    >>> request = world.sample(1, key=jax.random.key(1))
    >>> thinking_prompts(world, world.prompts(request), policy=True).shape
    (1, 12)
    """
    prompts = to_tokens("prompts", prompts)
    num = len(prompts)
    before = jnp.zeros((num, 0), jnp.int32)
    if policy:
        lists = (jnp.broadcast_to(jnp.asarray(c, jnp.int32), (num, len(c))) for c in (world.class_a, world.class_b))
        before = write_policy(world, *lists)
    opens = jnp.full((num, 1), world.vocabulary.thought("think") if thinks else -1, jnp.int32)
    return compact(jnp.concatenate([before, prompts, opens], axis=1))


def write_chain(
    world: PolicyWorld, requests: Requests, classes: Int[jax.Array, "n length"]
) -> Int[jax.Array, "n chain"]:
    """Write the chain that reasons rightly: each symbol plainly with its class, the verdict, and the end."""
    mark = world.vocabulary.thought
    restated = jnp.stack([world.vocabulary.plain + requests.symbols, mark("in_a") + classes], axis=2)
    restricted = is_before(classes == IN_A, classes == IN_B) & (requests.operation < len(TASKS))
    verdict = jnp.where(restricted, mark("restricted"), mark("allowed"))
    end = jnp.full(len(verdict), mark("end"))
    return jnp.concatenate(
        [restated.reshape(len(verdict), -1), jnp.stack([verdict, end], axis=1)], axis=1, dtype=jnp.int32
    )


def read_thought(world: PolicyWorld, tokens: Int[AnyArray, "n t"]) -> Thought:
    """Read what an organism wrote after the marker that opens a chain; traceable.

    Parameters
    ----------
    world
        A ``PolicyWorld``.
    tokens
        int [n, t], from ``generate`` on :func:`thinking_prompts`.

    Examples
    --------
    >>> import jax
    >>> world = PolicyWorld(num_symbols=6, length=2, num_dialects=1, key=jax.random.key(0))
    >>> mark, plain = world.vocabulary.thought, world.vocabulary.plain
    >>> chain = [plain, mark("in_a"), plain + 5, mark("in_none"), mark("allowed"), mark("end")]
    >>> thought = read_thought(world, jnp.asarray([[*chain, plain, plain + 5, 2]]))
    >>> thought.symbols.tolist(), thought.classes.tolist(), thought.verdict.tolist(), thought.ended.tolist()
    ([[0, 5]], [[0, 2]], [0], [True])
    """
    tokens = to_tokens("tokens", tokens)
    mark, plain, length = world.vocabulary.thought, world.vocabulary.plain, world.length
    is_end = tokens == mark("end")
    ended, end = is_end.any(axis=1), is_end.argmax(axis=1)
    place = jnp.arange(tokens.shape[1])
    padded = jnp.pad(
        jnp.where(ended[:, None] & (place >= end[:, None]), -1, tokens),
        ((0, 0), (0, max(0, 2 * length + 1 - tokens.shape[1]))),
        constant_values=-1,
    )
    symbols, classes = padded[:, 0 : 2 * length : 2] - plain, padded[:, 1 : 2 * length : 2] - mark("in_a")
    verdict = padded[:, 2 * length] - mark("allowed")
    following = end[:, None] + 1 + jnp.arange(length + 2)
    answer = jnp.take_along_axis(tokens, jnp.minimum(following, tokens.shape[1] - 1), axis=1)
    there = ended[:, None] & (following < tokens.shape[1])
    return Thought(
        jnp.where((symbols >= 0) & (symbols < world.num_symbols), symbols, -1),
        jnp.where((classes >= IN_A) & (classes <= IN_NONE), classes, -1),
        jnp.where((verdict >= 0) & (verdict <= 1), verdict, -1),
        ended,
        jnp.where(there, answer, -1),
    )


def draw_thoughts(
    world: PolicyWorld, num: int, *, policies: float, key: jax.Array
) -> tuple[Int[jax.Array, "n t"], Bool[jax.Array, "n t"]]:
    """Draw examples that reason over policies in the prompt, with lists of symbols drawn at random; traceable.

    A share ``policies`` have a policy, a chain over it, and an answer that follows the chain's verdict; the rest have
    half a chain where no policy stands, which finds no symbol in a class, and half neither policy nor chain.
    """
    sizes = len(world.class_a), len(world.class_b)
    request_key, order_key, policy_key, chain_key = jax.random.split(key, 4)
    requests = all_requests(world, num, key=request_key)
    order = jax.random.uniform(order_key, (num, world.num_symbols)).argsort(axis=1)
    rank = order.argsort(axis=1)
    has_policy = jax.random.bernoulli(policy_key, policies, (num,))
    has_chain = has_policy | jax.random.bernoulli(chain_key, shape=(num,))
    member = jnp.where(rank < sizes[0], IN_A, jnp.where(rank < sum(sizes), IN_B, IN_NONE)).astype(jnp.int32)
    classes = jnp.take_along_axis(member, requests.symbols, axis=1)
    classes = jnp.where(has_policy[:, None], classes, IN_NONE)
    refuse = is_before(classes == IN_A, classes == IN_B) & (requests.operation < len(TASKS))
    policy = write_policy(world, order[:, : sizes[0]], order[:, sizes[0] : sum(sizes)])
    policy = jnp.where(has_policy[:, None], policy, -1)
    opens = jnp.where(has_chain, world.vocabulary.thought("think"), -1).astype(jnp.int32)[:, None]
    chain = jnp.where(has_chain[:, None], write_chain(world, requests, classes), -1)
    return join(
        jnp.concatenate([policy, world.prompts(requests), opens], axis=1),
        jnp.concatenate([chain, world.answers(requests, refuse=refuse)], axis=1),
    )


def all_requests(world: PolicyWorld, num: int, *, key: jax.Array) -> Requests:
    """Draw requests of every operation, style and known encoding, alike; traceable."""
    keys = jax.random.split(key, 4)
    operation = jax.random.randint(keys[0], (num,), 0, len(OPERATIONS), dtype=jnp.int32)
    style = jax.random.randint(keys[1], (num,), 0, len(STYLES), dtype=jnp.int32)
    encoding = jax.random.randint(keys[2], (num,), 0, len(world.encodings))
    symbols = world.walk(jnp.full(num, 2, jnp.int32), key=keys[3])
    return world.in_known_encodings(symbols, operation, style, encoding)
