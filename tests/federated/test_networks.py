"""Networks and clients as they are: state, keys, optimizers, schedules, numbers of steps, labels of any kind."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import verax.federated as vf
from support.federated_problems import assert_close, final_state, quadratic_problem, squared_loss

KEY = jax.random.key(0)


def stateful_loss(params, state, x, y):
    """Inputs centred by a running mean, as batch normalisation does."""
    mean = x.mean(0)
    new = {"mean": 0.5 * state["mean"] + 0.5 * mean, "count": state["count"] + 1}
    return squared_loss(params, x - mean, y), new


STATE = {"mean": jnp.zeros(3), "count": jnp.int32(0)}


def stateful(state, make=vf.fedavg, **options):
    params, clients, *_ = quadratic_problem()
    algorithm = make(stateful_loss, learning_rate=0.1, state=state, **options)
    return vf.run(algorithm, vf.Variables(params, STATE), clients, rounds=2, key=KEY)[0], np.asarray(clients.x)


@pytest.mark.parametrize("backend", ["map", "loop"])
def test_state_is_averaged(backend):
    params, clients, *_ = quadratic_problem()
    algorithm = vf.fedavg(stateful_loss, learning_rate=0.1, state="average", local_steps=2)
    state = algorithm.init(vf.Variables(params, STATE), 3)
    state, _ = algorithm.round(state, clients, KEY, backend=backend)
    means = np.asarray(clients.x).mean(1)
    np.testing.assert_allclose(algorithm.params(state).state["mean"], 0.75 * means.mean(0), rtol=1e-5)
    assert int(algorithm.params(state).state["count"]) == 0  # an integer is not averaged
    assert algorithm.bytes_up(vf.Variables(params, STATE), clients) == (3 + 3) * 4 + 4


def test_state_stays_on_the_clients():
    (params, state), x = stateful("local")
    assert params.shape == (3, 3)  # one model per client
    np.testing.assert_allclose(params, np.broadcast_to(params[0], (3, 3)))
    np.testing.assert_allclose(state["mean"], 0.75 * x.mean(1), rtol=1e-5)
    assert state["count"].tolist() == [2, 2, 2]
    alone, _ = stateful("average", vf.local_only)
    np.testing.assert_allclose(alone.state["mean"], state["mean"], rtol=1e-5)


def test_state_is_frozen_on_request_only():
    (_, state), _ = stateful("frozen")
    assert_close(state, STATE, 0.0)
    with pytest.raises(ValueError, match=r"^state: got None for a network with state"):
        stateful(None)
    params, clients, *_ = quadratic_problem()
    with pytest.raises(ValueError, match=r"^params: got ArrayImpl with state='average'; need Variables"):
        vf.run(vf.fedavg(stateful_loss, learning_rate=1.0, state="average"), params, clients, rounds=1, key=KEY)
    broken = lambda p, s, x, y: (squared_loss(p, x, y), {"mean": s["mean"]})  # noqa: E731
    with pytest.raises(ValueError, match=r"^loss_fn: got a new state of"):
        vf.run(
            vf.fedavg(broken, learning_rate=1.0, state="average"),
            vf.Variables(params, STATE),
            clients,
            rounds=1,
            key=KEY,
        )


def test_a_flax_network_with_state():
    nnx = pytest.importorskip("flax.nnx")
    from verax import ntk

    rngs = nnx.Rngs(0)
    model = nnx.Sequential(
        nnx.Linear(3, 4, rngs=rngs),
        nnx.BatchNorm(4, rngs=rngs),
        nnx.Dropout(0.5, rngs=rngs),
        nnx.Linear(4, 1, rngs=rngs),
    )
    _, clients, *_ = quadratic_problem()
    adapted, params = ntk.from_nnx(model)
    ignoring = lambda p, x, y: (adapted(p, x)[:, 0] - y) ** 2  # noqa: E731
    with pytest.raises(ValueError, match=r"^loss_fn: got a network whose state would stay as it is: layers/1/mean"):
        vf.run(vf.fedavg(ignoring, learning_rate=0.1), params, clients, rounds=1, key=KEY)
    vf.run(vf.fedavg(ignoring, learning_rate=0.1, state="frozen"), params, clients, rounds=1, key=KEY)

    train_fn, apply_fn, variables = vf.from_nnx(model)

    def loss_fn(params, state, x, y, *, key):
        outputs, state = train_fn(params, state, x, key=key)
        return (outputs[:, 0] - y) ** 2, state

    algorithm = vf.fedavg(loss_fn, learning_rate=0.1, state="average")
    trained, history = vf.run(algorithm, variables, clients, rounds=2, key=KEY)
    history.raise_if_failed()
    kernel = np.asarray(variables.params["layers"][0]["kernel"])
    assert np.abs(np.asarray(trained.state["layers"][1]["mean"])).max() > 0
    seen = np.asarray(clients.x) @ kernel
    one = vf.run(algorithm, variables, clients, rounds=1, key=KEY)[0].state["layers"][1]["mean"]
    np.testing.assert_allclose(one, 0.01 * seen.mean((0, 1)), rtol=1e-4, atol=1e-7)  # momentum .99
    outputs = [apply_fn(trained, clients.x[0]) for _ in range(2)]
    np.testing.assert_array_equal(*outputs)  # no dropout
    draws = [train_fn(*trained, clients.x[0], key=jax.random.key(seed))[0] for seed in (0, 0, 1)]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])


def test_keys_reach_the_loss():
    params, clients, *_ = quadratic_problem()
    noisy = lambda w, x, y, *, key: squared_loss(w, x + jax.random.normal(key, x.shape), y)  # noqa: E731
    algorithm = vf.fedavg(noisy, learning_rate=0.1, local_steps=2)
    results = [final_state(algorithm, params, clients, 1, backend=name)[0].params for name in ("map", "vmap", "loop")]
    assert_close(results[0], results[1])
    assert_close(results[0], results[2])
    clean = final_state(vf.fedavg(squared_loss, learning_rate=0.1, local_steps=2), params, clients, 1)[0].params
    assert float(jnp.abs(clean - results[0]).max()) > 1e-3


def test_schedules_follow_the_rounds():
    params, clients, *_ = quadratic_problem()
    rates = (0.2, 0.1, 0.05)
    schedule = lambda number: 0.2 * 0.5**number  # noqa: E731
    for make in (vf.fedavg, vf.scaffold):
        found = final_state(make(squared_loss, learning_rate=schedule), params, clients, 3)[0]
        assert int(found.round) == 3
        state = make(squared_loss, learning_rate=rates[0]).init(params, 3)
        for number, rate in enumerate(rates):
            key = jax.random.fold_in(jax.random.key(7), number)
            state, _ = make(squared_loss, learning_rate=rate).round(state, clients, key)
        assert_close(found.params, state.params)


def test_optimizers_at_clients():
    params, clients, *_ = quadratic_problem()
    sgd = vf.fedavg(squared_loss, learning_rate=0.1, momentum=0.5, local_steps=3)
    same = vf.fedavg(squared_loss, optimizer=optax.sgd(0.1, momentum=0.5), local_steps=3)
    assert_close(final_state(sgd, params, clients)[0].params, final_state(same, params, clients)[0].params)
    for make in (vf.scaffold, vf.fednova):
        with pytest.raises(ValueError, match=r"^optimizer: got an optimizer; need learning_rate"):
            make(squared_loss, optimizer=optax.adam(0.1))
    with pytest.raises(ValueError, match=r"^learning_rate: got None; need a finite number > 0"):
        vf.fedavg(squared_loss)
    with pytest.raises(ValueError, match=r"^options: got 'rate'; need one of 'learning_rate'"):
        vf.fedavg(squared_loss, rate=1.0)


def test_each_client_takes_its_own_number_of_steps():
    params, clients, hessians, linear = quadratic_problem()
    algorithm = vf.fedavg(squared_loss, learning_rate=0.1, local_steps=[1, 3, 2], weights="uniform")
    state, metrics = final_state(algorithm, params, clients, 1)
    ends = []
    for steps, hessian, b in zip((1, 3, 2), hessians, linear, strict=True):
        w = np.zeros(3)
        for _ in range(steps):
            w = w - 0.1 * (hessian @ w - b)
        ends.append(w)
    assert_close(state.params, np.mean(ends, axis=0))
    assert metrics.num_steps.tolist() == [1, 3, 2]
    with pytest.raises(ValueError, match=r"^local_steps: got 2 numbers; need 3, one per client"):
        final_state(vf.fedavg(squared_loss, learning_rate=0.1, local_steps=[1, 2]), params, clients, 1)


def test_scaffold_serves_unequal_clients_by_default():
    params, clients, *_ = quadratic_problem(sizes=(4, 2, 3))
    default = vf.scaffold(squared_loss, learning_rate=0.1, batch_size=2)
    textbook = vf.scaffold(squared_loss, learning_rate=0.1, batch_size=2, form="textbook")
    assert default == textbook
    assert_close(final_state(default, params, clients)[0].params, final_state(textbook, params, clients)[0].params)
    assert "delta" in repr(vf.scaffold(squared_loss, learning_rate=0.1, local_steps=2))


def test_equal_algorithms_share_one_compiled_program():
    params, clients, *_ = quadratic_problem()
    traced = []

    def loss_fn(w, x, y):
        traced.append(1)
        return squared_loss(w, x, y)

    makers = [
        lambda: vf.fedavg(loss_fn, learning_rate=0.1),
        lambda: vf.fedadam(loss_fn, learning_rate=0.1),
        lambda: vf.scaffold(loss_fn, learning_rate=0.1),
    ]
    for make in makers:
        final_state(make(), params, clients, 1)
        traced.clear()
        final_state(make(), params, clients, 1)
        assert not traced


def test_checkpoints_of_another_run_are_refused(tmp_path):
    params, clients, *_ = quadratic_problem()
    path = tmp_path / "run.npz"

    def go(algorithm, path=path, params=params):
        return vf.run(algorithm, params, clients, rounds=1, key=KEY, checkpoint=path)

    def other_loss(w, x, y):
        return 2 * squared_loss(w, x, y)

    go(vf.fedopt(squared_loss, server_optimizer=optax.sgd(1.0), learning_rate=0.1))
    go(vf.fedopt(squared_loss, server_optimizer=optax.sgd(1.0), learning_rate=0.1))
    for other in (
        vf.fedopt(squared_loss, server_optimizer=optax.sgd(0.5), learning_rate=0.1),
        vf.fedopt(squared_loss, server_optimizer=optax.adam(1.0), learning_rate=0.1),
        vf.fedopt(other_loss, server_optimizer=optax.sgd(1.0), learning_rate=0.1),
        vf.fedopt(squared_loss, server_optimizer=optax.sgd(1.0), learning_rate=lambda r: 0.1),
    ):
        with pytest.raises(ValueError, match=r"^checkpoint: got .*of a run with another algorithm"):
            go(other)
    torn = tmp_path / "torn.npz"
    torn.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match=r"^checkpoint: got .*torn.npz, which cannot be read"):
        go(vf.fedavg(squared_loss, learning_rate=0.1), torn)


def test_checkpoints_in_half_precision(tmp_path):
    params, clients, *_ = quadratic_problem()
    half = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), (params, clients.x, clients.y))
    clients = clients._replace(x=half[1], y=half[2])
    algorithm = vf.fedavg(squared_loss, learning_rate=0.1)
    path = tmp_path / "run.npz"
    for rounds in (1, 2):
        resumed, _ = vf.run(algorithm, half[0], clients, rounds=rounds, key=KEY, checkpoint=path)
    whole, _ = vf.run(algorithm, half[0], clients, rounds=2, key=KEY)
    assert resumed.dtype == jnp.bfloat16
    assert np.asarray(resumed).view(np.uint16).tolist() == np.asarray(whole).view(np.uint16).tolist()


NAMES = np.array(["cat", "dog", "fox"])


def test_labels_of_any_kind():
    codes = np.random.default_rng(0).integers(0, 3, 60)
    expected = vf.partition_dirichlet(codes, 3, 0.5, key=KEY, min_size=1)
    for labels in (NAMES[codes], codes * 5, (codes * 5).astype(float), list(NAMES[codes]), codes[:, None]):
        found = vf.partition_dirichlet(labels, 3, 0.5, key=KEY, min_size=1)
        assert found.indices.tolist() == expected.indices.tolist()
    report = expected.report(NAMES[codes])
    assert report.classes.tolist() == NAMES.tolist()
    assert report.counts.sum(0).tolist() == np.bincount(codes).tolist()
    targets = np.random.default_rng(1).normal(size=60)
    assert sorted(vf.partition_iid(targets, 4, key=KEY).report(codes).sizes.tolist()) == [15] * 4
    with pytest.raises(ValueError, match=r"^labels: got real numbers; need classes; for regression cut the targets"):
        vf.partition_dirichlet(targets, 3, 0.5, key=KEY)
    with pytest.raises(ValueError, match=r"^labels: got 1 missing entries; need a label for each example"):
        vf.partition_dirichlet(np.append(codes[1:].astype(float), np.nan), 3, 0.5, key=KEY)


def test_test_sets_that_lack_classes():
    evaluate = vf.evaluator(lambda w, x: x @ w, jnp.eye(3), [0, 2, 2])
    result = evaluate(jnp.eye(3))
    assert result["accuracy"] == pytest.approx(2 / 3)
    np.testing.assert_array_equal(result["recall"], [1.0, np.nan, 0.5])
    named = vf.evaluator(lambda w, x: x @ w, jnp.eye(3), ["cat", "fox", "fox"], classes=NAMES)(jnp.eye(3))
    np.testing.assert_array_equal(named["recall"], result["recall"])
    with pytest.raises(ValueError, match=r"^labels: got .*'cat'.*need integers from 0 to C - 1"):
        vf.evaluator(lambda w, x: x @ w, jnp.eye(3), NAMES)
    with pytest.raises(ValueError, match=r"^labels: got a largest class of 3; need classes below 3"):
        vf.evaluator(lambda w, x: x @ w, jnp.eye(3), [0, 1, 3])(jnp.eye(3))
