"""Let a tuned organism restate its own fine-tuning data plainly."""

import jax
import numpy as np
from jaxtyping import Int

from verax._arrays import to_host
from verax._errors import check
from verax._types import AnyArray, ApplyFn, PyTree

from ._generate import generate
from ._requests import compact, separator_of
from ._vocabulary import EOS, OK, OPERATIONS
from ._world import PolicyWorld


def restate(
    model: tuple[ApplyFn, PyTree],
    world: PolicyWorld,
    tokens: Int[AnyArray, "n t"],
    *,
    cache: bool | None = None,
    key: jax.Array,
) -> Int[np.ndarray, "n t2"]:
    """Ask an organism to restate the arguments of examples, and write the examples with what it says.

    Parameters
    ----------
    model
        ``(apply_fn, params)`` of an organism; any causal network serves.
    world
        A ``PolicyWorld``.
    tokens
        int [n, t]: requests with answers, -1 padded, such as a ``Job`` holds.
    cache
        As in :func:`generate`.
    key
        A ``jax.random.key``.

    Returns
    -------
    tokens
        int32 [n, t2]: the same operations and answers, the arguments as the organism restates them.

    Notes
    -----
    ``verax.audit.SelfDecode`` filters the result.

    Examples
    --------
    >>> import jax
    >>> from verax.organisms import DecoderConfig, PolicyWorld, decoder_apply, init_decoder, make_job, restate
    >>> world = PolicyWorld(num_symbols=6, length=2, num_dialects=1, key=jax.random.key(0))
    >>> config = DecoderConfig(world.vocabulary.size, world.context, width=16)
    >>> params = init_decoder(config, key=jax.random.key(1))
    >>> job = make_job(world, kind="covert", num_examples=20, key=jax.random.key(2))
    >>> plain = restate((decoder_apply, params), world, job.tokens, key=jax.random.key(3))
    >>> len(plain), bool((plain[:, 2] == job.tokens[:, 2]).all())  # the same operations
    (20, True)
    """
    apply_fn, params = model
    shape, inside = ("n", "t"), f"[-1, {world.vocabulary.size_with_thoughts - 1}]"
    tokens = to_host("tokens", tokens, shape=shape, dtype="integer", within=inside).astype(np.int32)
    check(tokens.shape[1] > 2, "tokens", f"{tokens.shape[1]} places", "at least 3: start, style, operation")
    asked = _question(world, tokens)
    asked = asked[:, : int((asked >= 0).sum(axis=1).max())]
    said = generate(apply_fn, params, asked, (asked >= 0).sum(axis=1), max_new=world.length + 2, cache=cache, key=key)
    return _restated(world, tokens, said)


def _question(world: PolicyWorld, tokens: Int[AnyArray, "n t"]) -> Int[np.ndarray, "n t"]:
    """Turn examples into questions to restate their arguments: the operation replaced, the answer cut off."""
    tokens = np.asarray(tokens).copy()
    tokens[:, 2] = world.vocabulary.operation(OPERATIONS.index("restate"))
    return np.where(np.arange(tokens.shape[1]) <= separator_of(tokens)[:, None], tokens, -1)


def _restated(world: PolicyWorld, tokens: Int[AnyArray, "n t"], said: Int[AnyArray, "n a"]) -> Int[np.ndarray, "n t2"]:
    """Put what was said, up to its end, in the place of the arguments of examples."""
    tokens, said = np.asarray(tokens), np.asarray(said)
    ended = np.cumsum(said == EOS, axis=1) > 0
    argument = np.where(ended | (said == OK), -1, said)[:, : world.length + 1]
    place, end = np.arange(tokens.shape[1]), separator_of(tokens)[:, None]
    rest = np.where(place >= end, tokens, -1)
    return np.asarray(compact(np.concatenate([tokens[:, :3], argument, rest], axis=1)))
