"""Small networks that between them use every kind of layer, and the kernel by its definition."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax


def arrays(seed, **shapes):
    """Parameters of the given shapes, scaled by fan-in."""
    rng = np.random.default_rng(seed)
    dtype = jnp.zeros(()).dtype
    return {
        name: jnp.asarray(rng.normal(size=shape) / np.sqrt(max(1, np.prod(shape[:-1]))), dtype)
        for name, shape in shapes.items()
    }


def inputs(seed, *shape):
    """Standard normal inputs in the session's default precision."""
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.zeros(()).dtype)


def reference_kernel(apply_fn, params, x1, x2=None):
    """``[n1, n2, O, O]`` from the full Jacobian."""

    def jacobian(x):
        leaves = jax.tree.leaves(jax.jacrev(lambda p: apply_fn(p, x).reshape(x.shape[0], -1))(params))
        return jnp.concatenate([leaf.reshape(*leaf.shape[:2], -1) for leaf in leaves], axis=-1)

    first = jax.jit(jacobian)(x1)
    second = first if x2 is None else jax.jit(jacobian)(x2)
    return jnp.einsum("iop,jqp->ijoq", first, second, precision="highest")


def _conv(x, kernel, strides, padding, *, rhs_dilation=None, lhs_dilation=None, groups=1):
    return lax.conv_general_dilated(
        x,
        kernel,
        strides,
        padding,
        lhs_dilation=lhs_dilation,
        rhs_dilation=rhs_dilation,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )


def _mlp():
    params = arrays(0, w0=(5, 6), b0=(6,), w1=(6, 6), b1=(6,), w2=(6, 3), b2=(3,))

    def apply_fn(p, x):
        x = jax.nn.relu(x @ p["w0"] + p["b0"])
        x = jnp.tanh(x @ p["w1"] + p["b1"])
        return x @ p["w2"] + p["b2"]

    return apply_fn, params, inputs(1, 6, 5)


def _convolutions():
    params = arrays(2, k0=(3, 2, 2, 4), b0=(4,), k1=(2, 2, 2, 6), k2=(2, 2, 6, 4), scale=(4,), shift=(4,), w=(24, 2))

    def apply_fn(p, x):
        x = jnp.tanh(_conv(x, p["k0"], (2, 1), [(1, 2), (0, 1)], rhs_dilation=(1, 2)) + p["b0"])
        x = jax.nn.relu(_conv(x, p["k1"], (1, 1), "SAME", groups=2))
        x = _conv(x, p["k2"], (2, 2), [(0, 0), (0, 1)], lhs_dilation=(1, 2))
        mean = x.mean(-1, keepdims=True)
        x = (x - mean) * lax.rsqrt(((x - mean) ** 2).mean(-1, keepdims=True) + 1e-5) * p["scale"] + p["shift"]
        return x.reshape(x.shape[0], -1)[:, :24] @ p["w"]

    return apply_fn, params, inputs(3, 5, 6, 7, 2)


def _attention():
    params = arrays(
        4, table=(7, 4), position=(3, 4), qkv=(4, 12), bias=(12,), heads=(2, 2, 3), out=(6, 4), up=(4, 5), last=(4, 2)
    )

    @jax.custom_jvp
    def swish(x):
        return x * jax.nn.sigmoid(x)

    swish.defjvp(
        lambda primals, tangents: (swish(*primals), tangents[0] * (1 + primals[0] ** 2))
    )  # on purpose not swish'

    def apply_fn(p, tokens):
        h = p["table"][tokens] + p["position"]
        q, k, v = jnp.split(h @ p["qkv"] + p["bias"], 3, axis=-1)
        v = v.reshape(*v.shape[:2], 2, 2)
        scores = jnp.einsum("btd,bsd->bts", q, k)
        v = jnp.einsum("bthd,hde->bthe", v, p["heads"])  # a weight for each head
        h = h + jnp.einsum("bts,bshe->bthe", jax.nn.softmax(scores), v).reshape(*h.shape[:2], 6) @ p["out"]
        h = h + jax.checkpoint(jax.jit(lambda p, h: swish(h @ p["up"]) @ p["up"].T))(p, h)
        return h.mean(1) @ (0.5 * p["last"])

    return apply_fn, params, jnp.asarray(np.random.default_rng(5).integers(0, 7, size=(5, 3)), jnp.int32)


def _shared():
    params = arrays(6, w=(4, 4), b=(4,), sliced=(4, 6))

    def apply_fn(p, x):
        for _ in range(3):
            x = jnp.tanh(x @ p["w"] + p["b"])
        return jnp.tanh(x @ p["sliced"][:, :2]) + x @ p["sliced"][:, 2:4]

    return apply_fn, params, inputs(7, 5, 4)


def _scanned():
    params = arrays(8, layers=(3, 4, 4), out=(4, 2))

    def apply_fn(p, x):
        return lax.scan(lambda h, w: (jnp.tanh(h @ w), None), x, p["layers"])[0] @ p["out"]

    return apply_fn, params, inputs(9, 5, 4)


NETWORKS = {
    "mlp": _mlp,
    "convolutions": _convolutions,
    "attention": _attention,
    "shared": _shared,
    "scanned": _scanned,
}
