"""Projection Norm: two small classifiers of sentences."""

from typing import Any

import jax
import jax.numpy as jnp

from verax._types import PyTree
from verax.models import Network

from .texts import HEADS, LENGTH, PADDING, WIDTH


def make_network(name: str, vocabulary: int, key: jax.Array) -> tuple[Network, PyTree]:
    """A mean of word embeddings under a hidden layer, or a transformer of two layers under a mean over words."""
    keys = iter(jax.random.split(key, 16))

    def normal(*shape: int, scale: float) -> jax.Array:
        return scale * jax.random.normal(next(keys), shape, jnp.float32)

    into = WIDTH**-0.5
    params: dict[str, Any] = {
        "embedding": normal(vocabulary, WIDTH, scale=0.3),
        "hidden": {"kernel": normal(WIDTH, WIDTH, scale=into), "bias": jnp.zeros(WIDTH, jnp.float32)},
        "head": {"kernel": normal(WIDTH, 2, scale=into), "bias": jnp.zeros(2, jnp.float32)},
    }
    if name == "transformer":
        params["positions"] = normal(LENGTH, WIDTH, scale=0.1)
        params["blocks"] = [
            {
                "qkv": normal(WIDTH, 3, HEADS, WIDTH // HEADS, scale=into),
                "project": normal(HEADS, WIDTH // HEADS, WIDTH, scale=0.5 * into),
                "up": normal(WIDTH, 2 * WIDTH, scale=into),
                "down": normal(2 * WIDTH, WIDTH, scale=0.5 * into),
            }
            for _ in range(2)
        ]
    return Network(_embedded if name == "embeddings" else _attended, WIDTH, 2), params


def _embedded(params: PyTree, tokens: jax.Array) -> jax.Array:
    there = (tokens != PADDING)[:, :, None].astype(jnp.float32)
    mean = (params["embedding"][tokens] * there).sum(axis=1) / jnp.maximum(there.sum(axis=1), 1)
    return jax.nn.relu(mean @ params["hidden"]["kernel"] + params["hidden"]["bias"])


def _attended(params: PyTree, tokens: jax.Array) -> jax.Array:
    there = tokens != PADDING
    x = params["embedding"][tokens] + params["positions"]
    for block in params["blocks"]:
        query, key, value = jnp.einsum("ntc,cshd->snthd", _normalised(x), block["qkv"])
        scores = jnp.einsum("nqhd,nkhd->nhqk", query, key) * (WIDTH // HEADS) ** -0.5
        # An empty sentence attends to its padding, rather than to nothing.
        weights = jax.nn.softmax(jnp.where(there[:, None, None], scores, -1e9), axis=-1)
        x = x + jnp.einsum("nhqk,nkhd,hdc->nqc", weights, value, block["project"])
        x = x + jax.nn.gelu(_normalised(x) @ block["up"]) @ block["down"]
    weight = there[:, :, None].astype(x.dtype)
    mean = (_normalised(x) * weight).sum(axis=1) / jnp.maximum(weight.sum(axis=1), 1)
    return jax.nn.relu(mean @ params["hidden"]["kernel"] + params["hidden"]["bias"])


def _normalised(x: jax.Array) -> jax.Array:
    return x * jax.lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + 1e-6)
