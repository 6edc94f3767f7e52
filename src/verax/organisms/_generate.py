"""Sampling from a decoder, with a cache of keys and values."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Int

from verax._arrays import to_array, to_integer, to_key, to_number
from verax._errors import check, is_traced
from verax._types import AnyArray

from ._decoder import (
    Params,
    check_network,
    check_tokens,
    decoder_apply,
    finish_block,
    layers_of,
    logits_of,
    prefill,
    queries_keys_values,
    to_tokens,
)


def generate(
    apply_fn: Callable[..., jax.Array],
    params: Params,
    prompts: Int[AnyArray, "n t"],
    lengths: Int[AnyArray, " n"],
    *,
    max_new: int,
    temperature: float = 0.0,
    cache: bool | None = None,
    key: jax.Array,
) -> Int[jax.Array, "n max_new"]:
    """Continue prompts of different lengths in one batch.

    Parameters
    ----------
    apply_fn
        Any causal network, ``apply_fn(params, tokens [n, t]) -> logits [n, t, v]``, such as :func:`decoder_apply`. Its
        tokens are -1 where nothing is written yet.
    params
        Its parameters.
    prompts
        Integer [n, t], -1 padded on the right.
    lengths
        Integer [n], the number of tokens in each prompt, at least 1.
    max_new
        Tokens to add to each. Nothing stops early: what follows an end marker is for the reader to disregard.
    temperature
        0 takes the most likely token; otherwise tokens are drawn from ``softmax(logits / temperature)``.
    cache
        Whether to keep keys and values, so that a token costs one position instead of the whole sequence; None: for
        :func:`decoder_apply`, which is the network that has them.
    key
        A ``jax.random.key``.

    Returns
    -------
    tokens
        int32 [n, max_new].

    Raises
    ------
    ValueError
        For prompts that with ``max_new`` tokens exceed the context, lengths outside 1 to t, a negative temperature, or
        ``cache=True`` with another network than :func:`decoder_apply`.

    Notes
    -----
    Prompts are padded on the right, so that the new tokens of a row begin at its own length. New keys and values are
    kept apart from those of the prompts, all rows at the same index, so that one slice is written a step and nothing is
    scattered; positions are each row's own. The two settings of ``cache`` draw the same tokens from the same key, up to
    rounding.

    Examples
    --------
    >>> import jax, jax.numpy as jnp
    >>> from verax.organisms import DecoderConfig, init_decoder
    >>> params = init_decoder(DecoderConfig(vocabulary_size=50, context=16, width=32), key=jax.random.key(0))
    >>> prompts = jnp.asarray([[1, 7, 9], [1, 8, -1]])
    >>> generate(decoder_apply, params, prompts, jnp.asarray([3, 2]), max_new=4, key=jax.random.key(1)).shape
    (2, 4)
    """
    check_network(apply_fn)
    max_new = to_integer("max_new", max_new, minimum=1)
    temperature = to_number("temperature", temperature, "[0, inf)")
    prompts = to_tokens("prompts", prompts)
    lengths = to_array("lengths", lengths, shape=(prompts.shape[0],), dtype="integer")
    key = to_key("key", key)
    cache = apply_fn is decoder_apply if cache is None else cache
    if cache:
        check(apply_fn is decoder_apply, "cache", "True with another network", "decoder_apply, or cache=False")
        check_tokens(params, prompts)
        context = params["positions"].shape[0]
        total = prompts.shape[1] + max_new
        check(total <= context, "max_new", f"{total} tokens with the prompts", f"at most the context of {context}")
    if not is_traced(lengths):
        with jax.ensure_compile_time_eval():  # as in check_tokens
            inside = bool((lengths >= 1).all()) and bool((lengths <= prompts.shape[1]).all())
        check(inside, "lengths", f"{lengths.min()} to {lengths.max()}", f"lengths from 1 to {prompts.shape[1]}")
    prompts, lengths = jnp.asarray(prompts, jnp.int32), jnp.asarray(lengths, jnp.int32)
    heat = jnp.asarray(temperature, jnp.float32)
    if cache:
        return _cached(params, prompts, lengths, heat, key, max_new, temperature > 0)
    return _uncached(apply_fn, params, prompts, lengths, heat, key, max_new, temperature > 0)


def _choose(logits: jax.Array, heat: jax.Array, key: jax.Array, draw: bool) -> jax.Array:
    if draw:
        return jax.random.categorical(key, logits / heat.astype(logits.dtype)).astype(jnp.int32)
    return jnp.argmax(logits, axis=-1).astype(jnp.int32)


@functools.partial(jax.jit, static_argnames=("max_new", "draw"))
def _cached(
    params: Params,
    prompts: jax.Array,
    lengths: jax.Array,
    heat: jax.Array,
    key: jax.Array,
    max_new: int,
    draw: bool,
) -> jax.Array:
    num, width = prompts.shape
    stream, (old_keys, old_values) = prefill(params, prompts)
    last = jnp.take_along_axis(stream, (lengths - 1)[:, None, None], axis=1)[:, 0]
    keys = jax.random.split(key, max_new)
    first = _choose(logits_of(params, last), heat, keys[0], draw)
    layers = layers_of(params)
    shape = (len(layers), num, max_new, *old_keys.shape[3:])
    seen = jnp.arange(width, dtype=jnp.int32)[None, :] < lengths[:, None]

    def step(carry: tuple[jax.Array, jax.Array, jax.Array], inputs: tuple[jax.Array, jax.Array]):
        new_keys, new_values, token = carry
        index, step_key = inputs
        x = params["tokens"][token] + params["positions"][lengths + index]
        written = jnp.arange(max_new, dtype=jnp.int32) <= index
        for i, layer in enumerate(layers):
            query, k, v = queries_keys_values(layer, x)
            new_keys = new_keys.at[i, :, index].set(k)
            new_values = new_values.at[i, :, index].set(v)
            before = jnp.einsum("nhd,nkhd->nhk", query, old_keys[i])
            after = jnp.einsum("nhd,nkhd->nhk", query, new_keys[i])
            scores = jnp.concatenate(
                [jnp.where(seen[:, None], before, -jnp.inf), jnp.where(written, after, -jnp.inf)], axis=-1
            )
            weights = jax.nn.softmax(scores, axis=-1)
            attended = jnp.einsum("nhk,nkhd->nhd", weights[..., :width], old_values[i])
            attended += jnp.einsum("nhk,nkhd->nhd", weights[..., width:], new_values[i])
            x = finish_block(layer, x, attended)
        chosen = _choose(logits_of(params, x), heat, step_key, draw)
        return (new_keys, new_values, chosen), chosen

    start = (jnp.zeros(shape, old_keys.dtype), jnp.zeros(shape, old_keys.dtype), first)
    _, rest = jax.lax.scan(step, start, (jnp.arange(max_new - 1, dtype=jnp.int32), keys[1:]))
    return jnp.concatenate([first[None], rest]).T


@functools.partial(jax.jit, static_argnames=("apply_fn", "max_new", "draw"))
def _uncached(
    apply_fn: Callable[..., jax.Array],
    params: Params,
    prompts: jax.Array,
    lengths: jax.Array,
    heat: jax.Array,
    key: jax.Array,
    max_new: int,
    draw: bool,
) -> jax.Array:
    num = len(prompts)
    tokens = jnp.concatenate([prompts, jnp.full((num, max_new), -1, prompts.dtype)], axis=1)
    row = jnp.arange(num)

    def step(tokens: jax.Array, inputs: tuple[jax.Array, jax.Array]):
        index, step_key = inputs
        logits = apply_fn(params, tokens)[row, lengths - 1 + index]
        chosen = _choose(logits, heat, step_key, draw)
        return tokens.at[row, lengths + index].set(chosen.astype(tokens.dtype)), chosen

    _, new = jax.lax.scan(step, tokens, (jnp.arange(max_new, dtype=jnp.int32), jax.random.split(key, max_new)))
    return new.T
