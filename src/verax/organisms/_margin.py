"""How far an organism is from refusing, before it has said anything."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int

from verax._types import AnyArray, PyTree

from ._decoder import check_network, decoder_apply, to_tokens
from ._vocabulary import OK, REFUSE


def refusal_margin(
    apply_fn: Callable[..., jax.Array], params: PyTree, prompts: Int[AnyArray, "n t"], *, forced: bool = False
) -> Float[jax.Array, " n"]:
    r"""Log-odds of a refusal against the likeliest other first token of the answer, in nats.

    .. math:: m(x) = \log p(\mathrm{refuse} \mid x) - \max_{v \ne \mathrm{refuse}} \log p(v \mid x)

    Parameters
    ----------
    apply_fn
        Causal, ``apply_fn(params, tokens [n, t]) -> logits [n, t, v]``, such as :func:`decoder_apply`.
    params
        Its parameters.
    prompts
        Integer [n, t], -1 padded on the right.
    forced
        Whether the affirmative opening has been said for the organism: the margin is that of the token after it.

    Returns
    -------
    margin
        float32 [n]; positive where a greedy answer refuses.

    Notes
    -----
    One forward pass. Competing objectives show as a margin that falls although the request is understood: forcing the
    opening takes away the first token, where refusals were trained.

    Examples
    --------
    >>> import jax, jax.numpy as jnp
    >>> from verax.organisms import DecoderConfig, decoder_apply, init_decoder
    >>> params = init_decoder(DecoderConfig(vocabulary_size=50, context=16, width=32), key=jax.random.key(0))
    >>> refusal_margin(decoder_apply, params, jnp.asarray([[0, 7, 9], [0, 8, -1]])).shape
    (2,)
    """
    check_network(apply_fn)
    size = params["tokens"].shape[0] if apply_fn is decoder_apply else None
    return _margin(apply_fn, params, to_tokens("prompts", prompts, vocabulary_size=size), forced)


@functools.partial(jax.jit, static_argnames=("apply_fn", "forced"))
def _margin(apply_fn: Callable[..., jax.Array], params: PyTree, prompts: jax.Array, forced: bool) -> jax.Array:
    row, length = jnp.arange(len(prompts)), (prompts >= 0).sum(axis=1)
    if forced:
        prompts = jnp.pad(prompts, ((0, 0), (0, 1)), constant_values=-1).at[row, length].set(OK)
        length = length + 1
    logits = apply_fn(params, prompts)[row, length - 1]
    return logits[:, REFUSE] - jnp.delete(logits, REFUSE, axis=1).max(axis=1)
