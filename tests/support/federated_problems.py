"""Small federated problems: ragged clients, a softmax model, and quadratics with known answers."""

import jax
import jax.numpy as jnp
import numpy as np

import verax.federated as vf

SIZES = (6, 9, 5, 8)
NUM_CLASSES = 3


def softmax_loss(params, x, y):
    logits = jnp.tanh(x @ params["first"]) @ params["second"]
    return -jax.nn.log_softmax(logits)[jnp.arange(len(y)), y]


def softmax_problem(sizes=SIZES, *, seed=0, skew=True):
    """Parameters and ragged clients whose labels are skewed, in the default dtype."""
    rng = np.random.default_rng(seed)
    dtype = np.asarray(jnp.zeros(())).dtype
    most = max(sizes)
    x = rng.normal(size=(len(sizes), most, 4)).astype(dtype)
    y = rng.integers(0, NUM_CLASSES, size=(len(sizes), most))
    if skew:
        y = (y // 2 + np.arange(len(sizes))[:, None]) % NUM_CLASSES
    mask = np.arange(most) < np.array(sizes)[:, None]
    x = x * mask[:, :, None]
    params = {
        "first": jnp.asarray(rng.normal(size=(4, 5)).astype(dtype)),
        "second": jnp.asarray(rng.normal(size=(5, NUM_CLASSES)).astype(dtype)),
    }
    return params, vf.ClientData(jnp.asarray(x), jnp.asarray(y.astype(np.int32)), jnp.asarray(mask))


def squared_loss(params, x, y):
    return (x @ params - y) ** 2 / 2


def quadratic_problem(sizes=(4, 4, 4), num_features=3, *, seed=0):
    """Least squares with another curvature and another minimum on each client."""
    rng = np.random.default_rng(seed)
    dtype = np.asarray(jnp.zeros(())).dtype
    most = max(sizes)
    mask = np.arange(most) < np.array(sizes)[:, None]
    x = rng.normal(size=(len(sizes), most, num_features)) * mask[:, :, None]
    y = rng.normal(size=(len(sizes), most)) * mask
    clients = vf.ClientData(jnp.asarray(x.astype(dtype)), jnp.asarray(y.astype(dtype)), jnp.asarray(mask))
    hessians = np.einsum("knd,kne->kde", x, x) / np.array(sizes)[:, None, None]
    linear = np.einsum("knd,kn->kd", x, y) / np.array(sizes)[:, None]
    return jnp.zeros(num_features, dtype), clients, hessians, linear


def assert_close(one, two, tolerance=None):
    """Equal trees up to the rounding of the default dtype."""
    x64 = jax.config.read("jax_enable_x64")
    tolerance = (1e-11 if x64 else 3e-5) if tolerance is None else tolerance
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance), one, two)


def after(algorithm, params, clients, rounds=3, **options):
    """Parameters after some rounds, without `run`."""
    return final_state(algorithm, params, clients, rounds, **options)[0].params


def final_state(algorithm, params, clients, rounds=3, **options):
    state, metrics = algorithm.init(params, clients.num_clients), None
    for number in range(rounds):
        state, metrics = algorithm.round(state, clients, jax.random.fold_in(jax.random.key(7), number), **options)
    return state, metrics
