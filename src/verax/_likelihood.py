"""The likelihood of tokens under a language model."""

import jax
import jax.numpy as jnp


def mean_nll(logits: jax.Array, tokens: jax.Array, mask: jax.Array) -> jax.Array:
    """Mean negative log-likelihood [n], in nats, of the masked tokens [n, t] under logits [n, t - 1, v] of the next."""
    target, weight = jnp.maximum(tokens[:, 1:], 0), mask[:, 1:].astype(logits.dtype)
    nll = jax.nn.logsumexp(logits, axis=-1) - jnp.take_along_axis(logits, target[:, :, None], axis=2)[:, :, 0]
    return (nll * weight).sum(axis=1) / jnp.maximum(weight.sum(axis=1), 1)
