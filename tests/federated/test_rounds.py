"""Backends, schedules of batches, failures of clients, histories and checkpoints."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import verax.federated as vf
from support.federated_problems import after, assert_close, final_state, softmax_loss, softmax_problem
from verax.federated._algorithm import resolve_backend
from verax.federated._options import checked_options
from verax.federated._schedule import schedule

pytestmark = pytest.mark.double

SGD = {"learning_rate": 0.1, "batch_size": 4}


@pytest.fixture(scope="module")
def ragged():
    return softmax_problem()


ALGORITHM = vf.scaffold(softmax_loss, **SGD, form="textbook", clients_per_round=3)


def rows_of_steps(mask, **options):
    local, _ = checked_options(softmax_loss, {"learning_rate": 0.1, **options})
    rows, valid = schedule(jax.random.key(0), jnp.asarray(mask), local)
    assert mask[np.asarray(rows)].all()  # nothing but examples, whether they count or not
    return [np.asarray(r)[np.asarray(v)] for r, v in zip(rows, valid, strict=True)]


MASK = np.array([True, False, True, True, True, False, True, True])  # six examples among eight rows


def test_an_epoch_is_a_permutation():
    steps = rows_of_steps(MASK, batch_size=4, local_epochs=3)
    assert [len(step) for step in steps] == [4, 2, 4, 2, 4, 2]
    orders = [np.concatenate(steps[2 * e : 2 * e + 2]).tolist() for e in range(3)]
    assert all(sorted(order) == np.flatnonzero(MASK).tolist() for order in orders)
    assert len({tuple(order) for order in orders}) > 1
    short = rows_of_steps(MASK, batch_size=3, local_epochs=1)
    assert [len(step) for step in short] == [3, 3, 0]  # the third batch of eight rows is skipped


def test_steps_run_through_epochs_of_the_clients_own_length():
    steps = rows_of_steps(MASK, batch_size=4, local_steps=5)
    assert [len(step) for step in steps] == [4, 2, 4, 2, 4]
    assert sorted(np.concatenate(steps[:2]).tolist()) == np.flatnonzero(MASK).tolist()
    assert sorted(np.concatenate(steps[2:4]).tolist()) == np.flatnonzero(MASK).tolist()


def test_without_a_batch_size_a_step_takes_all():
    for options in ({"local_steps": 3}, {"local_epochs": 3}):
        assert [step.tolist() for step in rows_of_steps(MASK, **options)] == [np.flatnonzero(MASK).tolist()] * 3


def convolutional_loss(params, x, y):
    """A network on four numbers as on a line: XLA's convolution, in a branch so that it has to be looked for."""
    filtered = jax.lax.conv_general_dilated(x[:, None], params["filter"][:, None], (1,), "VALID")
    return jax.lax.cond(x[0, 0] > 0, lambda: filtered, lambda: -filtered).sum((1, 2)) * jnp.cos(y.astype(x.dtype))


def test_auto_takes_pieces_for_convolutions_of_xla_on_a_cpu(ragged):
    params, clients = ragged
    convolutional = vf.fedavg(convolutional_loss, **SGD)
    options = {"backend": "auto", "chunk_size": None, "mesh": None, "compiled": False}
    here = {"cpu": ("map", "loop")}.get(jax.default_backend(), ("vmap", "vmap"))
    plain = vf.fedavg(softmax_loss, **SGD)
    filters = {"filter": jnp.ones((2, 3))}
    assert (
        resolve_backend(plain, params, clients, **options),
        resolve_backend(convolutional, filters, clients, **options),
    ) == here
    assert resolve_backend(convolutional, filters, clients, **options | {"compiled": True}) != "loop"
    run = functools.partial(vf.run, convolutional, filters, clients, rounds=2, key=jax.random.key(0))
    scanned, _ = run(scan_rounds=True)
    assert_close(run()[0], scanned)
    state = convolutional.init(filters, clients.num_clients)
    compiled, _ = jax.jit(lambda key: convolutional.round(state, clients, key))(jax.random.key(0))  # no Python loop
    assert_close(compiled, convolutional.round(state, clients, jax.random.key(0))[0])


def test_padding_changes_nothing(ragged):
    params, clients = ragged
    wider = jax.tree.map(lambda leaf: jnp.pad(leaf, [(0, 0), (0, 3)] + [(0, 0)] * (leaf.ndim - 2)), clients)
    algorithm = vf.fednova(softmax_loss, learning_rate=0.1, local_steps=2)
    assert_close(after(algorithm, params, wider, 2), after(algorithm, params, clients, 2))


@pytest.fixture(scope="module")
def poisoned(ragged):
    params, clients = ragged
    return params, clients._replace(x=clients.x.at[1, 0, 0].set(jnp.nan))


def test_a_round_with_a_non_finite_client_is_refused(ragged, poisoned):
    params, clients = poisoned
    with pytest.warns(RuntimeWarning, match=r"run: all 2 rounds were refused.* clients \[1\]"):
        found, history = vf.run(vf.fedavg(softmax_loss, **SGD), params, clients, rounds=2, key=jax.random.key(0))
    assert_close(found, params, 0.0)
    assert history.status.tolist() == [vf.Status.REFUSED] * 2
    assert history.finite.tolist() == [[True, False, True, True]] * 2
    assert np.isfinite(history.loss).all()


def test_if_nobody_is_left_the_round_is_refused(poisoned):
    params, clients = poisoned
    all_bad = clients._replace(x=jnp.full_like(clients.x, jnp.nan))
    state, metrics = final_state(vf.fedavg(softmax_loss, **SGD, non_finite="exclude"), params, all_bad, 1)
    assert int(metrics.status) == vf.Status.REFUSED
    assert_close(state.params, params, 0.0)


def evaluate(params):
    return {"accuracy": float(jnp.sum(params["first"])), "recall": np.asarray(params["second"][0])}


@pytest.fixture(scope="module")
def uninterrupted(ragged):
    return vf.run(ALGORITHM, *ragged, rounds=5, key=jax.random.key(1), evaluate=evaluate)


def assert_same_history(one, two):
    jax.tree.map(np.testing.assert_array_equal, one, two)


def test_history(ragged, uninterrupted):
    params, history = uninterrupted
    assert history.accuracy.shape == history.loss.shape == (5,)
    assert history.evaluations["recall"].shape == (5, 3)
    assert history.accuracy[-1] == pytest.approx(float(jnp.sum(params["first"])))
    assert history.participated.sum(1).tolist() == [3] * 5
    assert (np.isnan(history.client_loss) == ~history.participated).all()
    assert history.last_mean(rounds=2) == pytest.approx(history.accuracy[-2:].mean())
    np.testing.assert_allclose(history.last_mean("recall"), history.evaluations["recall"].mean(0))
    model = sum(leaf.nbytes for leaf in jax.tree.leaves(ragged[0]))
    assert history.total_bytes.tolist() == [3 * 4 * model * r for r in range(1, 6)]
    assert (history.drift > 0).all()


def test_an_interrupted_run_resumes_to_the_same_result(ragged, uninterrupted, tmp_path):
    calls = []

    def fails_once(params):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return evaluate(params)

    options = {"rounds": 5, "key": jax.random.key(1), "checkpoint": tmp_path / "run.npz"}
    with pytest.raises(KeyboardInterrupt):
        vf.run(ALGORITHM, *ragged, evaluate=fails_once, **options)
    params, history = vf.run(ALGORITHM, *ragged, evaluate=fails_once, **options)
    assert len(calls) == 6  # rounds 1 and 2 were kept, round 3 was made again
    jax.tree.map(np.testing.assert_array_equal, params, uninterrupted[0])
    assert_same_history(history, uninterrupted[1])
    again, _ = vf.run(ALGORITHM, *ragged, evaluate=fails_once, **options)
    assert len(calls) == 6  # complete: nothing is run
    jax.tree.map(np.testing.assert_array_equal, again, params)


def test_two_runs_with_one_checkpoint_end_with_the_same_result(ragged, uninterrupted, tmp_path):
    """The second one begins after the first one's second round, ends, and is overwritten by the first one."""
    options = {"rounds": 5, "key": jax.random.key(1), "checkpoint": tmp_path / "run.npz"}
    calls, ended = [], []

    def joined_by_another(params):
        calls.append(1)
        if len(calls) == 3:
            ended.append(vf.run(ALGORITHM, *ragged, evaluate=evaluate, **options))
        return evaluate(params)

    ended.append(vf.run(ALGORITHM, *ragged, evaluate=joined_by_another, **options))
    ended.append(vf.run(ALGORITHM, *ragged, evaluate=lambda _: pytest.fail("run again"), **options))
    assert len(ended) == 3
    for params, history in ended:
        jax.tree.map(np.testing.assert_array_equal, params, uninterrupted[0])
        assert_same_history(history, uninterrupted[1])
    assert [path.name for path in tmp_path.iterdir()] == ["run.npz"]


@pytest.mark.costly
def test_scanned_rounds_are_the_same(ragged, uninterrupted):
    params, history = vf.run(
        ALGORITHM,
        *ragged,
        rounds=5,
        key=jax.random.key(1),
        evaluate=evaluate,
        evaluate_every=2,
        scan_rounds=True,
    )
    assert_close(params, uninterrupted[0])
    assert np.isnan(history.accuracy).tolist() == [True, False, True, False, False]
    assert_close(history.loss, uninterrupted[1].loss)
    assert history.participated.tolist() == uninterrupted[1].participated.tolist()


def test_a_progress_bar_and_callers_arrays_are_left_alone(ragged, capsys):
    params, clients = ragged
    vf.run(ALGORITHM, params, clients, rounds=1, key=jax.random.key(0), progress=True)
    assert "scaffold" in capsys.readouterr().out
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((params, clients.x)))  # not donated


@pytest.mark.costly
def test_evaluator_and_parts_of_models(ragged):
    params, clients = ragged

    def apply_fn(params, x):
        return jnp.tanh(x @ params["first"]) @ params["second"]

    x, y = clients.x[clients.mask], np.asarray(clients.y[clients.mask])
    result = vf.evaluator(apply_fn, x, y, clients=clients, batch_size=10)(params)
    right = np.asarray(apply_fn(params, x)).argmax(1) == y
    assert result["accuracy"] == pytest.approx(right.mean())
    np.testing.assert_allclose(result["recall"], [right[y == c].mean() for c in range(3)])
    np.testing.assert_allclose(result["client_accuracy"] @ [6, 9, 5, 8] / 28, right.mean(), rtol=1e-6)
    assert result["worst_client"] == result["client_accuracy"].min()

    trainable, merge = vf.split_parameters(params, lambda path, leaf: path == "second")
    algorithm = vf.centralized(lambda part, x, y: softmax_loss(merge(part), x, y), learning_rate=0.1, local_steps=2)
    part, _ = vf.run(algorithm, trainable, clients, rounds=2, key=jax.random.key(0))
    new = merge(part)
    assert (new["first"] == params["first"]).all()
    assert not (new["second"] == params["second"]).all()
    many = jax.tree.map(lambda leaf: jnp.stack([leaf, -leaf]), params)
    means = vf.mean_over_clients(evaluate)(many)
    assert means["accuracy"] == pytest.approx(0.0, abs=1e-6)
