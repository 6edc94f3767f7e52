"""A small decoder-only transformer in plain JAX: pre-norm, learned positions, tied to nothing."""

import functools
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int

from verax._arrays import to_array, to_integer, to_key
from verax._errors import check, is_traced
from verax._types import AnyArray, PyTree

Params: TypeAlias = dict[str, Any]


class DecoderConfig(NamedTuple):
    """Sizes of a decoder.

    Attributes
    ----------
    vocabulary_size
        Number of token ids.
    context
        Most tokens in a sequence.
    width
        Of the residual stream; a multiple of ``num_heads``.
    num_layers, num_heads
        Blocks, and attention heads in each.
    """

    vocabulary_size: int
    context: int
    width: int = 64
    num_layers: int = 2
    num_heads: int = 4


def init_decoder(config: DecoderConfig, *, key: jax.Array) -> Params:
    """Draw the weights of a decoder.

    Matrices are normal with variance ``1 / fan-in``, those that write to the residual stream ``1 / (2 L fan-in)``.

    Parameters
    ----------
    config
        A ``DecoderConfig``.
    key
        A ``jax.random.key``.

    Returns
    -------
    params
        float32 leaves. Blocks are stacked on a leading axis of ``num_layers``; the shapes tell every size.

    Raises
    ------
    ValueError
        For sizes that are no positive integers, or a width that the heads do not divide.

    Examples
    --------
    >>> import jax
    >>> config = DecoderConfig(vocabulary_size=50, context=16, width=32)
    >>> params = init_decoder(config, key=jax.random.key(0))
    >>> sum(leaf.size for leaf in jax.tree.leaves(params))
    28448
    """
    check(isinstance(config, DecoderConfig), "config", type(config).__name__, "a DecoderConfig")
    size, context, width, layers, heads = (to_integer(name, n, minimum=1) for name, n in config._asdict().items())
    key = to_key("key", key)
    check(width % heads == 0, "width", width, f"a multiple of num_heads = {heads}")
    keys = iter(jax.random.split(key, 7))
    into, out = width**-0.5, (2 * layers) ** -0.5

    def normal(shape: tuple[int, ...], scale: float) -> jax.Array:
        return scale * jax.random.normal(next(keys), shape, jnp.float32)

    blocks = {
        "norm1": jnp.ones((layers, width), jnp.float32),
        "qkv": normal((layers, width, 3, heads, width // heads), into),
        "project": normal((layers, heads, width // heads, width), into * out),
        "norm2": jnp.ones((layers, width), jnp.float32),
        "up": normal((layers, width, 4 * width), into),
        "down": normal((layers, 4 * width, width), 0.5 * into * out),
    }
    return {
        "tokens": normal((size, width), 1.0),
        "positions": normal((context, width), 0.3),
        "blocks": blocks,
        "norm": jnp.ones(width, jnp.float32),
        "head": normal((width, size), into),
    }


def decoder_apply(params: Params, tokens: Int[AnyArray, "n t"]) -> Float[jax.Array, "n t v"]:
    """Return logits of the next token at every position.

    Parameters
    ----------
    params
        From :func:`init_decoder`.
    tokens
        Integer [n, t], rows padded on the right with -1. Attention is causal: padding changes nothing before it.

    Returns
    -------
    logits
        float32 [n, t, vocabulary]; at padded places without meaning.

    Raises
    ------
    ValueError
        For tokens of another rank or dtype, longer than the context, or, where their values can be read, outside
        -1 to vocabulary - 1.

    Notes
    -----
    About ``2 n t (12 L d^2 + d V) + 4 n L t^2 d`` flops.

    Examples
    --------
    >>> import jax, jax.numpy as jnp
    >>> params = init_decoder(DecoderConfig(vocabulary_size=50, context=16, width=32), key=jax.random.key(0))
    >>> decoder_apply(params, jnp.asarray([[1, 7, 9], [1, 8, -1]])).shape
    (2, 3, 50)
    """
    return _forward(params, check_tokens(params, tokens))


def decoder_activations(
    params: Params, tokens: Int[AnyArray, "n t"], positions: Int[AnyArray, " n"]
) -> Float[jax.Array, "n l d"]:
    """Return the residual stream after every block, at one position of each row.

    Parameters
    ----------
    params
        From :func:`init_decoder`.
    tokens
        Integer [n, t], rows padded on the right with -1.
    positions
        Integer [n], from 0 to t - 1.

    Returns
    -------
    activations
        float32 [n, layers, width].

    Raises
    ------
    ValueError
        As :func:`decoder_apply`.

    Examples
    --------
    >>> import jax, jax.numpy as jnp
    >>> params = init_decoder(DecoderConfig(vocabulary_size=50, context=16, width=32), key=jax.random.key(0))
    >>> decoder_activations(params, jnp.asarray([[1, 7, 9], [1, 8, -1]]), jnp.asarray([2, 1])).shape
    (2, 2, 32)
    """
    tokens = check_tokens(params, tokens)
    inside = f"[0, {tokens.shape[1] - 1}]"
    positions = to_array("positions", positions, shape=(tokens.shape[0],), dtype="integer", within=inside)
    return _activations(params, tokens, positions)


@jax.jit
def _activations(params: Params, tokens: jax.Array, positions: jax.Array) -> jax.Array:
    streams = blocks(params, tokens)[0]
    return jnp.stack([stream[jnp.arange(len(tokens)), positions] for stream in streams], axis=1)


@functools.partial(jax.jit, inline=True)
def _forward(params: Params, tokens: jax.Array) -> jax.Array:
    x, _ = prefill(params, tokens)
    return logits_of(params, x)


def prefill(params: Params, tokens: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    """Run all positions at once; return the residual stream and the keys and values of every block."""
    streams, cache = blocks(params, tokens)
    return streams[-1], cache


def blocks(params: Params, tokens: jax.Array) -> tuple[list[jax.Array], tuple[jax.Array, jax.Array]]:
    """Run all positions at once; return the residual stream after every block, and the keys and values of each."""
    length = tokens.shape[1]
    x = params["tokens"][jnp.maximum(tokens, 0)] + params["positions"][:length]
    causal = jnp.tril(jnp.ones((length, length), bool))
    cache: list[tuple[jax.Array, jax.Array]] = []
    streams: list[jax.Array] = []
    for layer in layers_of(params):
        query, key, value = queries_keys_values(layer, x)
        scores = jnp.einsum("nqhd,nkhd->nhqk", query, key)
        weights = jax.nn.softmax(jnp.where(causal, scores, -jnp.inf), axis=-1)
        x = finish_block(layer, x, jnp.einsum("nhqk,nkhd->nqhd", weights, value))
        cache.append((key, value))
        streams.append(x)
    keys, values = zip(*cache, strict=True)
    return streams, (jnp.stack(keys), jnp.stack(values))


def layers_of(params: Params) -> list[Params]:
    """Split the stacked blocks: unrolled, a few small blocks run faster than a scan over them."""
    num_layers = params["blocks"]["norm1"].shape[0]
    return [jax.tree.map(lambda leaf, i=i: leaf[i], params["blocks"]) for i in range(num_layers)]


def queries_keys_values(layer: Params, x: jax.Array) -> jax.Array:
    """Project the normalised stream; queries carry the factor ``1 / sqrt(d)``."""
    projected = jnp.einsum("...c,cshd->s...hd", _normalise(x, layer["norm1"]), layer["qkv"])
    scale = layer["qkv"].shape[-1] ** -0.5
    return projected * jnp.asarray([scale, 1.0, 1.0], projected.dtype).reshape(3, *([1] * (projected.ndim - 1)))


def finish_block(layer: Params, x: jax.Array, attended: jax.Array) -> jax.Array:
    """Add what attention gathered, then the perceptron."""
    x = x + jnp.einsum("...hd,hdc->...c", attended, layer["project"])
    return x + jax.nn.gelu(_normalise(x, layer["norm2"]) @ layer["up"]) @ layer["down"]


def logits_of(params: Params, x: jax.Array) -> jax.Array:
    """Normalise the stream and apply the head."""
    return _normalise(x, params["norm"]) @ params["head"]


def _normalise(x: jax.Array, gain: jax.Array) -> jax.Array:
    return gain * x * jax.lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + 1e-6)


def to_tokens(argument: str, tokens: Any, *, vocabulary_size: int | None = None) -> jax.Array:
    """Return token ids as int32 [n, t], or raise; the ids are looked at where they can be read."""
    tokens = to_array(argument, tokens, shape=("n", "t"), dtype="integer", empty=True)
    if not is_traced(tokens) and tokens.size:
        with jax.ensure_compile_time_eval():  # concrete tokens closed over by a function under `jit` can still be read
            low, high = int(tokens.min()), int(tokens.max())
        top = 2**31 if vocabulary_size is None else vocabulary_size
        need = "ids >= 0" if vocabulary_size is None else f"ids from 0 to {vocabulary_size - 1}"
        check(low >= -1 and high < top, argument, f"ids from {low} to {high}", f"{need}, or -1 for padding")
    return tokens.astype(jnp.int32)


def check_decoder(params: PyTree) -> None:
    """Raise unless the parameters are those of the built-in decoder."""
    known = isinstance(params, dict) and {"tokens", "positions", "blocks", "norm", "head"} <= set(params)
    need = "parameters from init_decoder, or apply_fn= of the network that they belong to"
    check(known, "params", type(params).__name__, need)


def check_network(apply_fn: Any) -> None:
    """Raise unless ``apply_fn`` can be called."""
    need = "a function apply_fn(params, tokens [n, t]) -> logits [n, t, v]"
    check(callable(apply_fn), "apply_fn", type(apply_fn).__name__, need)


def check_tokens(params: PyTree, tokens: Any) -> jax.Array:
    """Return the tokens as integers that this decoder can read, or raise."""
    check_decoder(params)
    size, context = params["tokens"].shape[0], params["positions"].shape[0]
    tokens = to_tokens("tokens", tokens, vocabulary_size=size)
    check(tokens.shape[1] <= context, "tokens", f"{tokens.shape[1]} positions", f"at most the context of {context}")
    return tokens
