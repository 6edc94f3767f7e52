"""Valid calls of verax.federated."""

import functools
import tempfile
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import optax

from support.border import call
from verax import federated as f

KEY = jax.random.key(0)
# Two clients of three examples with two features; the second has two examples.
X = np.array([[[1.0, 0.5], [-1, 2], [0.25, -0.5]], [[2, 1], [-0.5, 0.25], [2, 1]]])
Y = np.array([[0, 1, 1], [1, 0, 1]])
TARGETS = np.array([[[0.5], [-0.5], [-0.5]], [[-0.5], [0.5], [-0.5]]])
MASK = np.array([[True, True, True], [True, True, False]])
ROWS, LABELS = X.reshape(6, 2), np.array([0, 1, 1, 1, 0, 2])
HEADS = np.array([[0.5, -0.25], [0.25, 1]])
GRAM, CROSS = np.array([[2.0, 0.5], [0.5, 1]]), np.array([[1.0, 0.25], [-0.5, 2]])
STATISTICS = f.Statistics(GRAM, CROSS, 8.0, 6)
FOLDER = tempfile.TemporaryDirectory()
PYTREE = {"list of rows": "a list of arrays is a pytree of examples"}
TREES = dict.fromkeys(("list", "tuple", "list of rows"), "a list of arrays is a pytree of parameters")
PARAMS = {
    **TREES,
    **dict.fromkeys(("bfloat16", "JAX bfloat16", "torch bfloat16", "float16"), "parameters keep their precision"),
    **dict.fromkeys(
        (
            "dictionary",
            "ragged",
            "empty",
            "0-d",
            "one row",
            "one row less",
            "another axis",
        ),
        "the network decides what it accepts",
    ),
}
DATA = dict.fromkeys(
    ("NaN", "all NaN", "infinity", "minus infinity"), "gathered as they are: the status of a round tells of them"
)


def apply_fn(params, x):
    return x.astype(float) @ params.astype(float)


def loss_fn(params, x, y):
    return ((apply_fn(params, x) - y.astype(float)) ** 2).sum(1)


FEDAVG = f.fedavg(loss_fn, learning_rate=0.125, non_finite="exclude")


def made(make, **options):
    """Options of an algorithm whose clients take different numbers of steps."""
    return call(lambda local_steps: make(loss_fn, local_steps=local_steps, **options).options, np.array([2, 3]))


def trained(params, x, y, mask, clients=None):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of rounds that were all refused, as the status tells too
        return f.run(FEDAVG, params, f.ClientData(x, y, mask), rounds=1, key=KEY, backend="map")


def head(x, y, mask, clients=None):
    return f.fit_head(f.ClientData(x, y, mask), ridge=0.5).coefficients  # bytes depend on the width of the features


def tangent(params, x, y, mask, clients=None):
    data = f.ClientData(x, y, mask)
    stage1 = functools.partial(f.fedavg, learning_rate=0.5)
    model = f.tct(apply_fn, loss_fn, params, data, stage1=stage1, rounds1=0, stage2="one_shot", ridge=0.5, key=KEY)
    return model.coefficients


def gathered(x, y, indices, mask, partition=None):
    return f.gather_clients(x, y, f.Partition(indices, mask))


def evaluated(x, labels):
    return f.evaluator(apply_fn, x, labels)(jnp.asarray(HEADS, jnp.float32))


def ridge_fit(gram, cross, ridges, statistics=None):
    return f.fit_ridge(f.Statistics(gram, cross, 8.0, 6), ridges=ridges)


def spectrum(gram, cross, statistics=None):
    return f.statistics_spectrum(f.Statistics(gram, cross, 8.0, 6))


def total(gram, cross, parts=None):
    one = f.Statistics(gram, cross, 8.0, 6)
    return f.total_statistics([one, one], without=[one])


def network():
    from flax import nnx

    return f.from_nnx(nnx.Linear(2, 2, rngs=nnx.Rngs(0)))[2]


def split(params, param_filter=None):
    trainable, merge = f.split_parameters({"body": params, "head": CROSS}, lambda path, leaf: path == "body")
    return merge(trainable)


def saved():
    f.save(STATISTICS, FOLDER.name + "/loaded.npz")
    return FOLDER.name + "/loaded.npz"


def mean(params):
    return f.mean_over_clients(lambda w: {"positive": float((w > 0).mean())})(params)


CALLS = {
    "verax.federated.centralized": made(f.centralized, learning_rate=0.5),
    "verax.federated.local_only": made(f.local_only, learning_rate=0.5),
    "verax.federated.fedavg": made(f.fedavg, learning_rate=0.5),
    "verax.federated.fedprox": made(f.fedprox, mu=0.5, learning_rate=0.5),
    "verax.federated.fednova": made(f.fednova, learning_rate=0.5),
    "verax.federated.fedadam": made(f.fedadam, learning_rate=0.5),
    "verax.federated.fedyogi": made(f.fedyogi, learning_rate=0.5),
    "verax.federated.fedavgm": made(f.fedavgm, learning_rate=0.5),
    "verax.federated.fedopt": made(f.fedopt, server_optimizer=optax.sgd(1.0), learning_rate=0.5),
    "verax.federated.scaffold": made(f.scaffold, learning_rate=0.5),
    "verax.federated.run": call(
        trained, HEADS, X, X[:, ::-1], MASK, exempt={"params": PARAMS, "x": PYTREE, "y": PYTREE}
    ),
    "verax.federated.fit_head": call(head, X, Y, MASK, exempt={"x": PYTREE, "y": PYTREE}),
    "verax.federated.tct": call(tangent, HEADS, X, Y, MASK, exempt={"params": PARAMS, "x": PYTREE, "y": PYTREE}),
    "verax.federated.fit_standardizer": call(f.fit_standardizer, X, MASK),
    "verax.federated.client_statistics": call(f.client_statistics, X, TARGETS, MASK),
    "verax.federated.client_spectra": call(lambda features, mask: f.client_spectra(features, mask)[0], X, MASK),
    "verax.federated.scaffold_linear": call(f.scaffold_linear, X, TARGETS, MASK, rounds=2, local_steps=2),
    "verax.federated.conjugate_gradient_linear": call(f.conjugate_gradient_linear, X, TARGETS, MASK, rounds=2),
    "verax.federated.fit_ridge": call(ridge_fit, GRAM, CROSS, np.array([0.25, 0.5])),
    "verax.federated.statistics_spectrum": call(spectrum, GRAM, CROSS),
    "verax.federated.total_statistics": call(total, GRAM, CROSS),
    "verax.federated.class_targets": call(f.class_targets, LABELS, 3),
    "verax.federated.encode_labels": call(f.encode_labels, LABELS, np.array([2, 0, 1])),
    "verax.federated.evaluator": call(evaluated, ROWS, Y.reshape(6), exempt={"x": PYTREE}),
    "verax.federated.mean_over_clients": call(mean, HEADS, exempt={"params": TREES}),
    "verax.federated.split_parameters": call(split, HEADS, exempt={"params": TREES}),
    "verax.federated.gather_clients": call(
        gathered, ROWS, LABELS, np.array([[0, 2], [1, -1]]), MASK[:, 1:], exempt={"x": PYTREE | DATA, "y": DATA}
    ),
    "verax.federated.partition_iid": call(f.partition_iid, LABELS, 2, key=KEY),
    "verax.federated.partition_by_label_count": call(f.partition_by_label_count, LABELS, 2, 2, key=KEY),
    "verax.federated.partition_dirichlet": call(f.partition_dirichlet, LABELS, 2, 0.5, key=KEY, min_size=1),
    "verax.federated.partition_extended_dirichlet": call(
        f.partition_extended_dirichlet, LABELS, 2, 2, 0.5, key=KEY, min_size=1
    ),
    "verax.federated.from_nnx": call(network, needs="flax"),
    "verax.federated.save": call(f.save, STATISTICS, FOLDER.name + "/statistics.npz"),
    "verax.federated.load": call(lambda: f.load(saved())),
}
