import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import verax.federated as vf
from support.federated_problems import NUM_CLASSES, softmax_loss, softmax_problem

pytestmark = pytest.mark.bad_input

PARAMS, CLIENTS = softmax_problem()
KEY = jax.random.key(0)
NAN, INF = float("nan"), float("inf")
PHI = np.random.default_rng(0).normal(size=(2, 5, 3))
Y = np.ones((2, 5, 2))
MASK = np.ones((2, 5), bool)
LABELS = np.arange(6) % 3
ALGORITHM = vf.fedavg(softmax_loss, learning_rate=0.1)
MESH = jax.make_mesh((2,), ("clients",), devices=jax.devices()[:2])
OTHER_MESH = jax.make_mesh((2,), ("data",), devices=jax.devices()[:2])

MAKERS = {
    "fedavg": vf.fedavg,
    "fedprox": functools.partial(vf.fedprox, mu=0.1),
    "fednova": vf.fednova,
    "fedopt": functools.partial(vf.fedopt, server_optimizer=optax.sgd(1.0)),
    "fedadam": vf.fedadam,
    "fedyogi": vf.fedyogi,
    "fedavgm": vf.fedavgm,
    "scaffold": vf.scaffold,
    "centralized": vf.centralized,
    "local_only": vf.local_only,
}
SHARED = {
    "no loss": ({"loss_fn": None}, "loss_fn: got NoneType"),
    "rate 0": ({"learning_rate": 0.0}, "learning_rate: got 0.0; need a finite number > 0"),
    "rate nan": ({"learning_rate": NAN}, "learning_rate: got nan"),
    "rate word": ({"learning_rate": "fast"}, "learning_rate: got 'fast'"),
    "batch 0": ({"batch_size": 0}, "batch_size: got 0"),
    "epochs 0": ({"local_epochs": 0}, "local_epochs: got 0"),
    "steps 0": ({"local_steps": 0}, "local_steps: got 0"),
    "both": ({"local_steps": 1, "local_epochs": 1}, "local_steps: got 1; need None where local_epochs is given"),
    "momentum 1": ({"momentum": 1.0}, "momentum: got 1.0; need a finite number >= 0 < 1"),
    "non_finite": ({"non_finite": "ignore"}, "non_finite: got 'ignore'"),
}


@pytest.mark.parametrize("maker", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize(("options", "message"), SHARED.values(), ids=SHARED)
def test_options_of_every_algorithm(maker, options, message):
    options = {"loss_fn": softmax_loss, "learning_rate": 0.1, **options}
    with pytest.raises(ValueError, match=message):
        maker(options.pop("loss_fn"), **options)


def one_round(clients=CLIENTS, algorithm=ALGORITHM, **options):
    return algorithm.round(algorithm.init(PARAMS, 4), clients, KEY, **options)


def run(algorithm=ALGORITHM, params=PARAMS, clients=CLIENTS, **options):
    return vf.run(algorithm, params, clients, **{"rounds": 1, "key": KEY, **options})


def tct(clients=CLIENTS, **options):
    return vf.tct(
        lambda p, x: jnp.tanh(x @ p["first"]) @ p["second"],
        softmax_loss,
        PARAMS,
        clients,
        **{"stage1": ALGORITHM, "rounds1": 0, "key": KEY, "stage2": "one_shot", **options},
    )


EMPTY = CLIENTS._replace(mask=CLIENTS.mask.at[2].set(False))
NOT_DATA = CLIENTS._replace(mask=CLIENTS.mask.astype(float))
ONE = vf.total_statistics(vf.client_statistics(PHI, Y, MASK))
CALLS = {
    "weights": (lambda: vf.fedavg(softmax_loss, learning_rate=1, weights="size"), "weights: got 'size'"),
    "participants": (lambda: vf.fedavg(softmax_loss, learning_rate=1, clients_per_round=0), "clients_per_round: got 0"),
    "mu": (lambda: vf.fedprox(softmax_loss, learning_rate=1, mu=-1.0), "mu: got -1.0"),
    "optimizer": (
        lambda: vf.fedopt(softmax_loss, learning_rate=1, server_optimizer=0.1),
        "server_optimizer: got float",
    ),
    "server rate": (lambda: vf.fedadam(softmax_loss, learning_rate=1, server_learning_rate=0), "server_learning_rate"),
    "b2": (lambda: vf.fedyogi(softmax_loss, learning_rate=1, b2=1.0), "b2: got 1.0"),
    "tau": (lambda: vf.fedadam(softmax_loss, learning_rate=1, tau=0.0), "tau: got 0.0"),
    "server momentum": (lambda: vf.fedavgm(softmax_loss, learning_rate=1, server_momentum=1.5), "server_momentum"),
    "form": (lambda: vf.scaffold(softmax_loss, learning_rate=1, form="option I"), "form: got 'option I'"),
    "delta, server rate": (
        lambda: vf.scaffold(softmax_loss, learning_rate=1, form="delta", server_learning_rate=0.5),
        "server_learning_rate: got 0.5; need 1 for form='delta'",
    ),
    "delta, some clients": (
        lambda: vf.scaffold(softmax_loss, learning_rate=1, form="delta", clients_per_round=2),
        "clients_per_round: got 2; need None for form='delta'",
    ),
    "delta, exclude": (
        lambda: vf.scaffold(softmax_loss, learning_rate=1, form="delta", non_finite="exclude"),
        "non_finite: got 'exclude'; need 'refuse' for form='delta'",
    ),
    "delta, unequal steps": (
        lambda: one_round(algorithm=vf.scaffold(softmax_loss, learning_rate=0.1, form="delta", batch_size=3)),
        "local_epochs: got 2 to 3 steps per round and epoch",
    ),
    "not data": (lambda: one_round(clients=(1, 2, 3)), "clients: got tuple; need ClientData"),
    "float mask": (lambda: one_round(clients=NOT_DATA), "need a boolean mask"),
    "a client without data": (lambda: one_round(clients=EMPTY), r"clients: got clients \[2\] without data"),
    "other sizes": (lambda: one_round(clients=CLIENTS._replace(y=CLIENTS.y[:, :4])), "clients: got y of shape"),
    "other number": (lambda: one_round(clients=CLIENTS._replace(y=CLIENTS.y[:3])), "another number of clients in y"),
    "too many participants": (
        lambda: one_round(algorithm=vf.fedavg(softmax_loss, learning_rate=0.1, clients_per_round=5)),
        "clients_per_round: got 5; need at most 4 clients",
    ),
    "loss of a batch": (
        lambda: one_round(algorithm=vf.fedavg(lambda p, x, y: softmax_loss(p, x, y).mean(), learning_rate=0.1)),
        "loss_fn: got losses of shape",
    ),
    "backend": (lambda: one_round(backend="pmap"), "backend: got 'pmap'"),
    "chunk": (lambda: one_round(chunk_size=0), "chunk_size: got 0"),
    "chunk of vmap": (lambda: one_round(backend="vmap", chunk_size=2), "chunk_size: got 2"),
    "mesh": (lambda: one_round(mesh=OTHER_MESH), "mesh: got"),
    "mesh in a loop": (lambda: one_round(mesh=MESH, backend="loop"), "backend: got 'loop'"),
    "no clients": (lambda: ALGORITHM.init(PARAMS, 0), "num_clients: got 0"),
    "no rounds": (lambda: run(rounds=0), "rounds: got 0; need an integer >= 1"),
    "half a round": (lambda: run(rounds=1.5), "rounds: got 1.5"),
    "seed": (lambda: run(key=0), "key: got int"),
    "algorithm": (lambda: run(algorithm="fedavg"), "algorithm: got str"),
    "nan params": (lambda: run(params={**PARAMS, "first": PARAMS["first"] * NAN}), "params: got 20 non-finite"),
    "evaluate_every": (lambda: run(evaluate_every=0), "evaluate_every: got 0"),
    "scanned loop": (lambda: run(backend="loop", scan_rounds=True), "scan_rounds: got True"),
    "labels of the evaluator": (lambda: vf.evaluator(lambda p, x: x, np.ones((6, 3)), LABELS - 1), "labels: got"),
    "lengths of the evaluator": (lambda: vf.evaluator(lambda p, x: x, np.ones((5, 3)), LABELS), "labels: got 6"),
    "nothing to train": (lambda: vf.split_parameters(PARAMS, lambda path, leaf: False), "param_filter: got none"),
    "no such evaluation": (lambda: run()[1].last_mean("auc"), "name: got 'auc'"),
    "flat features": (lambda: vf.fit_standardizer(PHI[0], MASK), "features: got shape"),
    "text features": (lambda: vf.fit_standardizer(PHI.astype(str), MASK), "features: got text"),
    "nan features": (lambda: vf.client_statistics(PHI * NAN, Y, MASK), "features: got 30 non-finite"),
    "nan targets": (lambda: vf.scaffold_linear(PHI, Y * NAN, MASK, rounds=1, local_steps=1), "targets: got 20"),
    "mask of numbers": (lambda: vf.client_statistics(PHI, Y, MASK * 1), "mask: got int64"),
    "an empty client": (lambda: vf.client_statistics(PHI, Y, MASK & [[True], [False]]), r"clients \[1\] without data"),
    "flat targets": (lambda: vf.client_statistics(PHI, Y[:, :, 0], MASK), "targets: got shape"),
    "no local step": (lambda: vf.scaffold_linear(PHI, Y, MASK, rounds=1, local_steps=0), "local_steps: got 0"),
    "no linear round": (lambda: vf.scaffold_linear(PHI, Y, MASK, rounds=0, local_steps=1), "rounds: got 0"),
    "linear ridge": (lambda: vf.scaffold_linear(PHI, Y, MASK, rounds=1, local_steps=1, ridge=-1), "ridge: got -1"),
    "linear step": (lambda: vf.scaffold_linear(PHI, Y, MASK, rounds=1, local_steps=1, step_size=0), "step_size: got 0"),
    "linear method": (lambda: vf.scaffold_linear(PHI, Y, MASK, rounds=1, local_steps=1, method="x"), "method: got 'x'"),
    "spectra of others": (
        lambda: vf.scaffold_linear(PHI, Y, MASK, rounds=1, local_steps=1, spectra=vf.client_spectra(PHI[:1], MASK[:1])),
        "spectra: got arrays of shapes",
    ),
    "spectra of nothing": (
        lambda: vf.scaffold_linear(PHI, Y, MASK, rounds=1, local_steps=1, spectra=(PHI, PHI)),
        "spectra: got tuple",
    ),
    "zero features": (lambda: vf.scaffold_linear(PHI * 0, Y, MASK, rounds=1, local_steps=1), "features: got zeros"),
    "no cg round": (lambda: vf.conjugate_gradient_linear(PHI, Y, MASK, rounds=0), "rounds: got 0"),
    "cg weights": (lambda: vf.conjugate_gradient_linear(PHI, Y, MASK, rounds=1, weights="n"), "weights: got 'n'"),
    "no statistics": (lambda: vf.total_statistics([]), "parts: got none"),
    "ridge word": (lambda: vf.fit_ridge(ONE, "loo"), "ridge: got 'loo'; need 'gcv' or a number"),
    "negative ridge": (lambda: vf.fit_ridge(ONE, -0.1), "ridge: got -0.1"),
    "not statistics": (lambda: vf.fit_ridge(PHI), "statistics: got ndarray"),
    "nan statistics": (lambda: vf.fit_ridge(ONE._replace(gram=ONE.gram * NAN)), "statistics: got non-finite sums"),
    "indefinite statistics": (lambda: vf.fit_ridge(ONE._replace(gram=-ONE.gram)), "statistics: got eigenvalues"),
    "stage2": (lambda: tct(stage2="sgd"), "stage2: got 'sgd'"),
    "stage1": (lambda: tct(stage1=lambda loss: None), "stage1: got NoneType"),
    "rounds1": (lambda: tct(rounds1=-1), "rounds1: got -1"),
    "rounds2": (lambda: tct(rounds2=0), "rounds2: got 0"),
    "width alone": (lambda: tct(width=3), "width: got 3"),
    "tct ridge": (lambda: tct(ridge="aic"), "ridge: got 'aic'"),
    "float labels": (lambda: tct(CLIENTS._replace(y=CLIENTS.y.astype(float))), "clients: got labels float"),
    "negative labels": (lambda: tct(CLIENTS._replace(y=CLIENTS.y - 1)), "clients: got labels from -1 to 1; need 0 to"),
    "few classes": (lambda: tct(num_classes=NUM_CLASSES - 1), "clients: got labels from 0 to 2; need 0 to 1"),
}


@pytest.mark.parametrize(("call", "message"), CALLS.values(), ids=CALLS)
def test_calls(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    path = tmp_path / "run.npz"
    run(rounds=2, checkpoint=path)
    for options in ({"key": jax.random.key(1)}, {"algorithm": vf.fedavg(softmax_loss, learning_rate=0.2)}):
        with pytest.raises(ValueError, match=r"checkpoint: got .* of a run with another"):
            run(rounds=2, checkpoint=path, **options)
    with pytest.raises(ValueError, match="rounds: got 1; need at least 2"):
        run(rounds=1, checkpoint=path)


def test_examples_that_are_not_finite_are_named():
    with pytest.raises(ValueError, match="x: got 4 non-finite"):
        tct(CLIENTS._replace(x=CLIENTS.x.at[1, 0].set(NAN)))
