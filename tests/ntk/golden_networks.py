"""Small networks in plain ``jax.numpy``, the same under JAX 0.4.23 (where the golden kernels are made) and today's JAX.

Each entry of `NETWORKS` is ``name: (apply_fn, make_params, make_inputs)``. The parameters and inputs come from NumPy's
generator in float64, so that both sides read the very same numbers. Every ``apply_fn(params, x)`` treats examples
independently and uses float dtypes of its inputs only, so that it also runs in float32 and under strict promotion.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

NUM_FIRST, NUM_SECOND = 4, 3


def mlp(params, x):
    hidden = jnp.tanh(x @ params["first"]["kernel"] + params["first"]["bias"])
    hidden = jax.nn.relu(hidden @ params["second"]["kernel"] + params["second"]["bias"])
    return hidden @ params["last"]["kernel"] + params["last"]["bias"]


def mlp_params(rng):
    return {
        "first": {"kernel": rng.normal(size=(6, 8)) / 6**0.5, "bias": 0.3 * rng.normal(size=8)},
        "second": {"kernel": rng.normal(size=(8, 7)) / 2, "bias": 0.3 * rng.normal(size=7)},
        "last": {"kernel": rng.normal(size=(7, 3)) / 7**0.5, "bias": 0.3 * rng.normal(size=3)},
    }


def mlp_inputs(rng, num):
    return rng.normal(size=(num, 6))


def strided_conv(params, x):
    layout = ("NHWC", "HWIO", "NHWC")
    x = lax.conv_general_dilated(x, params["conv0"], (2, 1), ((1, 2), (0, 1)), dimension_numbers=layout)
    x = jax.nn.relu(x + params["bias0"])
    x = lax.conv_general_dilated(x, params["conv1"], (2, 2), "SAME", dimension_numbers=layout)
    x = jnp.tanh(x + params["bias1"])
    return jnp.mean(x, axis=(1, 2)) @ params["head"]


def strided_conv_params(rng):
    return {
        "conv0": rng.normal(size=(3, 2, 2, 4)) / 12**0.5,
        "bias0": 0.3 * rng.normal(size=4),
        "conv1": rng.normal(size=(3, 3, 4, 5)) / 6,
        "bias1": 0.3 * rng.normal(size=5),
        "head": rng.normal(size=(5, 3)) / 5**0.5,
    }


def strided_conv_inputs(rng, num):
    return rng.normal(size=(num, 7, 6, 2))


def grouped_conv(params, x):
    layout = ("NHWC", "HWIO", "NHWC")
    x = lax.conv_general_dilated(
        x, params["conv0"], (1, 1), "VALID", rhs_dilation=(2, 1), dimension_numbers=layout, feature_group_count=2
    )
    x = jnp.tanh(x)
    x = lax.conv_general_dilated(
        x, params["conv1"], (1, 1), ((1, 1), (1, 1)), lhs_dilation=(1, 2), dimension_numbers=layout
    )
    return jnp.mean(jax.nn.relu(x), axis=(1, 2)) @ params["head"]


def grouped_conv_params(rng):
    return {
        "conv0": rng.normal(size=(3, 3, 2, 6)) / 18**0.5,
        "conv1": rng.normal(size=(2, 2, 6, 4)) / 24**0.5,
        "head": rng.normal(size=(4, 2)) / 2,
    }


def grouped_conv_inputs(rng, num):
    return rng.normal(size=(num, 7, 6, 4))


def _layer_norm(x, scale, bias):
    centred = x - jnp.mean(x, axis=-1, keepdims=True)
    return centred * lax.rsqrt(jnp.mean(centred * centred, axis=-1, keepdims=True) + 1e-5) * scale + bias


def attention(params, x):
    normed = _layer_norm(x, params["scale0"], params["shift0"])
    query, key, value = (normed @ params[name] for name in ("query", "key", "value"))
    weights = jax.nn.softmax(jnp.einsum("nsd,ntd->nst", query, key) / 2.0, axis=-1)
    x = x + jnp.einsum("nst,ntd->nsd", weights, value) @ params["out"]
    normed = _layer_norm(x, params["scale1"], params["shift1"])
    x = x + jnp.tanh(normed @ params["up"]) @ params["down"]
    return jnp.mean(x, axis=1) @ params["head"]


def attention_params(rng):
    return {
        "scale0": 1 + 0.2 * rng.normal(size=6),
        "shift0": 0.2 * rng.normal(size=6),
        "query": rng.normal(size=(6, 4)) / 6**0.5,
        "key": rng.normal(size=(6, 4)) / 6**0.5,
        "value": rng.normal(size=(6, 4)) / 6**0.5,
        "out": rng.normal(size=(4, 6)) / 2,
        "scale1": 1 + 0.2 * rng.normal(size=6),
        "shift1": 0.2 * rng.normal(size=6),
        "up": rng.normal(size=(6, 8)) / 6**0.5,
        "down": rng.normal(size=(8, 6)) / 8**0.5,
        "head": rng.normal(size=(6, 2)) / 6**0.5,
    }


def attention_inputs(rng, num):
    return rng.normal(size=(num, 5, 6))


def shared_weights(params, x):
    hidden = jnp.tanh(x @ params["tied"])
    hidden = jnp.tanh(hidden @ params["tied"] + params["bias"])
    return hidden @ params["tied"].T + params["bias"]


def shared_weights_params(rng):
    return {"tied": rng.normal(size=(5, 5)) / 5**0.5, "bias": 0.3 * rng.normal(size=5)}


def shared_weights_inputs(rng, num):
    return rng.normal(size=(num, 5))


def embedding(params, tokens):
    hidden = jnp.tanh(params["table"][tokens] @ params["kernel"])
    return jnp.mean(hidden, axis=1) @ params["table"].T


def embedding_params(rng):
    return {"table": rng.normal(size=(7, 4)), "kernel": rng.normal(size=(4, 4)) / 2}


def embedding_inputs(rng, num):
    return rng.integers(7, size=(num, 6)).astype(np.int32)


def per_position(params, x):
    """Two output axes, [n, positions, channels], to pin the interleaving of output axes."""
    hidden = jnp.tanh(jnp.einsum("ntd,dh->nth", x, params["kernel"]))
    hidden = hidden + jnp.mean(hidden, axis=1, keepdims=True)
    return jnp.einsum("nth,ho->nto", hidden, params["head"])


def per_position_params(rng):
    return {"kernel": rng.normal(size=(4, 6)) / 2, "head": rng.normal(size=(6, 2)) / 6**0.5}


def per_position_inputs(rng, num):
    return rng.normal(size=(num, 3, 4))


NETWORKS = {
    "mlp": (mlp, mlp_params, mlp_inputs),
    "strided_conv": (strided_conv, strided_conv_params, strided_conv_inputs),
    "grouped_conv": (grouped_conv, grouped_conv_params, grouped_conv_inputs),
    "attention": (attention, attention_params, attention_inputs),
    "shared_weights": (shared_weights, shared_weights_params, shared_weights_inputs),
    "embedding": (embedding, embedding_params, embedding_inputs),
    "per_position": (per_position, per_position_params, per_position_inputs),
}


def unflatten(arrays, prefix):
    """The nested dictionary whose leaves are stored as ``prefix + "a/b"``."""
    tree = {}
    for name in arrays:
        if name.startswith(prefix):
            *parents, last = name[len(prefix) :].split("/")
            node = tree
            for parent in parents:
                node = node.setdefault(parent, {})
            node[last] = arrays[name]
    return tree


def flatten(tree, prefix):
    """Inverse of `unflatten`."""
    flat = {}
    for name, value in tree.items():
        flat.update(flatten(value, f"{prefix}{name}/") if isinstance(value, dict) else {f"{prefix}{name}": value})
    return flat
