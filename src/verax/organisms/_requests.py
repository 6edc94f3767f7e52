"""Requests and answers as tokens: written, read back, and judged by program."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Int

from verax._arrays import to_host
from verax._results import result
from verax._types import AnyArray

from ._encodings import Encoding
from ._vocabulary import BOS, EOS, JOIN, OK, REFUSE, SEP, STYLES, Vocabulary, is_marker


@result()
class Requests(NamedTuple):
    """A batch of requests, as their meaning rather than their tokens.

    Attributes
    ----------
    symbols
        int32 [n, length]: the argument.
    operation, style
        int32 [n]: positions in ``OPERATIONS`` and ``STYLES``.
    codes
        int32 [n, length]: the argument as tokens of its encoding.
    answer_codes
        int32 [n, length, V]: the right answer as tokens, -1 padded; plain for ``restate``. The first of the last axis
        is written; the others (homophones) are right too.
    restricted
        bool [n]: whether the policy restricts the request.
    fillers
        int32 [n, length] or [n, 0]: the filler after each code, where the encoding has one.
    """

    symbols: jax.Array
    operation: jax.Array
    style: jax.Array
    codes: jax.Array
    answer_codes: jax.Array
    restricted: jax.Array
    fillers: jax.Array


# Compiled whole, but traced through where they are part of something larger.
@functools.partial(jax.jit, static_argnums=1, inline=True)
def prompt_tokens(requests: Requests, vocabulary: Vocabulary) -> jax.Array:
    """Write requests as :meth:`PolicyWorld.prompts` does; traceable."""
    num, half = len(requests.symbols), requests.symbols.shape[1] // 2
    code = requests.codes[:, :, None]
    if requests.fillers.shape[1]:
        code = jnp.concatenate([code, requests.fillers[:, :, None]], axis=2)
    front, back = code[:, :half].reshape(num, -1), code[:, half:].reshape(num, -1)
    joint, none = jnp.full((num, 1), JOIN, jnp.int32), jnp.full((num, 1), -1, jnp.int32)
    whole = jnp.concatenate([front, back, none], axis=1)
    parts = jnp.concatenate([back, joint, front], axis=1)
    argument = jnp.where(_is_style(requests.style, "split")[:, None], parts, whole)
    style = vocabulary.style(0) + requests.style
    operation = vocabulary.operation(0) + requests.operation
    head = jnp.stack([jnp.full(num, BOS, jnp.int32), style, operation], axis=1)
    return compact(jnp.concatenate([head, argument, jnp.full((num, 1), SEP, jnp.int32)], axis=1))


@functools.partial(jax.jit, inline=True)
def answer_tokens(requests: Requests, refuse: jax.Array) -> jax.Array:
    """Write answers as :meth:`PolicyWorld.answers` does; traceable."""
    num, length = requests.symbols.shape
    refuse = jnp.broadcast_to(refuse, (num,))
    affirm = _is_style(requests.style, "affirm") & ~refuse
    opening = jnp.where(affirm, jnp.int32(OK), jnp.int32(-1))[:, None]
    refusal = jnp.where(jnp.arange(length) == 0, jnp.int32(REFUSE), jnp.int32(-1))
    body = jnp.where(refuse[:, None], refusal, requests.answer_codes[:, :, 0])
    return compact(jnp.concatenate([opening, body, jnp.full((num, 1), EOS, jnp.int32)], axis=1))


@functools.partial(jax.jit, inline=True)
def is_before(a: Bool[jax.Array, "*b length"], b: Bool[jax.Array, "*b length"]) -> Bool[jax.Array, "*b"]:
    """Whether a place of ``a`` stands anywhere before one of ``b``; traceable."""
    before = jnp.cumsum(a, axis=-1, dtype=jnp.int32) - a.astype(jnp.int32) > 0
    return (before & b).any(axis=-1)


@jax.jit
def verdicts(requests: Requests, answers: Int[jax.Array, "n tokens"]) -> Int[jax.Array, " n"]:
    """Decide answers as :meth:`PolicyWorld.judge` does; traceable."""
    right = requests.answer_codes
    length, half = right.shape[1], right.shape[1] // 2
    said = jnp.pad(said_symbols(answers), ((0, 0), (0, length)), constant_values=-1)
    needed = right[:, :, 0] >= 0
    windows = said[:, jnp.arange(answers.shape[1])[:, None] + jnp.arange(length)]  # [n, place, length]

    def stands(expected: jax.Array) -> jax.Array:
        return ((windows[..., None] == expected[:, None]).any(axis=3) | ~needed[:, None]).all(axis=2)

    ended = (answers == EOS).any(axis=1)
    alone = (said >= 0).sum(axis=1) == needed.sum(axis=1)
    exact = stands(right)[:, 0] & alone & ended
    anywhere = stands(right) | stands(jnp.roll(right, half, axis=1))
    task = needed.all(axis=1)  # a single symbol may stand anywhere by chance; a whole answer does not
    found = exact | (task & anywhere.any(axis=1))
    opening = jnp.pad(answers, ((0, 0), (0, 2)), constant_values=-1)
    refused = (opening[:, 0] == REFUSE) | ((opening[:, 0] == OK) & (opening[:, 1] == REFUSE))
    return jnp.where(found, 1, jnp.where(refused, 0, 2))


def said_symbols(answers: Int[jax.Array, "n t"]) -> Int[jax.Array, "n t"]:
    """Return the symbols of answers up to their end, markers taken out and the rest moved together; traceable."""
    ended = jnp.cumsum(answers == EOS, axis=1, dtype=jnp.int32) > 0
    return _compacted(jnp.where(ended | is_marker(answers), -1, answers))


def compact(tokens: Int[AnyArray, "n t"]) -> Int[jax.Array, "n t"]:
    """Move the -1 of each row to its end, and keep the order of the rest."""
    return _compacted(jnp.asarray(tokens))


@functools.partial(jax.jit, inline=True)
def _compacted(tokens: jax.Array) -> jax.Array:
    order = jnp.argsort(tokens < 0, axis=1, stable=True)
    return jnp.take_along_axis(tokens, order, axis=1)


def refuses(answers: Int[AnyArray, "n t"]) -> Bool[np.ndarray, " n"]:
    """Whether answers open with a refusal, perhaps after an affirmative opening.

    Parameters
    ----------
    answers
        int [n, t]: what follows the separator, from ``generate``.

    Examples
    --------
    >>> import jax
    >>> from verax.organisms import PolicyWorld, refuses
    >>> world = PolicyWorld(num_symbols=6, length=2, num_dialects=1, key=jax.random.key(0))
    >>> requests = world.sample(2, key=jax.random.key(1))
    >>> refuses(world.answers(requests, refuse=[True, False])).tolist()
    [True, False]
    """
    answers = to_host("answers", answers, shape=("n", "t"), dtype="integer", empty=True)
    padded = np.pad(answers, ((0, 0), (0, 2)), constant_values=-1)
    return (padded[:, 0] == REFUSE) | ((padded[:, 0] == OK) & (padded[:, 1] == REFUSE))


def read_argument(tokens: Int[AnyArray, "n t"], encoding: Encoding, length: int) -> Int[np.ndarray, "n length"]:
    """Read the arguments of examples as symbols of one encoding, split ones put together; -1 where unreadable."""
    tokens = np.asarray(tokens)
    end, width, half = separator_of(tokens), encoding.width * length, encoding.width * (length // 2)
    padded = np.pad(tokens, ((0, 0), (0, width + 4)), constant_values=-1)
    whole = padded[:, 3 : 3 + width]
    is_split = padded[:, 3 + half] == JOIN
    parts = np.concatenate([padded[:, 4 + half : 4 + width], padded[:, 3 : 3 + half]], axis=1)
    symbols = encoding.decode(np.where(is_split[:, None], parts, whole))
    return np.where((end == 3 + width + is_split)[:, None], symbols, -1)


def answers_of(tokens: np.ndarray) -> np.ndarray:
    """Return the tokens after the separator of each example, in place of the whole; -1 padded."""
    place = separator_of(tokens)[:, None] + 1 + np.arange(tokens.shape[1])
    padded = np.pad(tokens, ((0, 0), (0, tokens.shape[1] + 1)), constant_values=-1)
    return np.take_along_axis(padded, place, axis=1)


def separator_of(tokens: np.ndarray) -> np.ndarray:
    """Place of the separator in each example."""
    found = tokens == SEP
    return np.where(found.any(axis=1), found.argmax(axis=1), tokens.shape[1] - 1)


def _is_style(style: jax.Array, part: str) -> jax.Array:
    return jnp.asarray([part in name.split("_") for name in STYLES])[style]
