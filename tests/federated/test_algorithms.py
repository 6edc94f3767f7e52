"""Identities that tie the algorithms to each other and to formulas."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import verax.federated as vf
from support.federated_problems import (
    after,
    assert_close,
    final_state,
    quadratic_problem,
    softmax_loss,
    softmax_problem,
    squared_loss,
)

pytestmark = pytest.mark.double

SGD = {"learning_rate": 0.1, "batch_size": 3}
FULL = {"learning_rate": 0.1}


@functools.lru_cache
def made(make, **options):
    """An algorithm for the softmax problem; the same options give the same object, and so one compilation."""
    return make(softmax_loss, **options)


@pytest.fixture(scope="module")
def ragged():
    return softmax_problem()


@pytest.fixture(scope="module")
def even():
    return softmax_problem((6, 6, 6, 6))


@pytest.mark.costly
def test_one_client_makes_all_alike():
    params, clients = softmax_problem((7,))
    expected = after(made(vf.centralized, **SGD, local_epochs=2), params, clients)
    for algorithm in (
        made(vf.fedopt, server_optimizer=optax.sgd(1.0), **SGD, local_epochs=2),
        made(vf.fednova, **SGD, local_epochs=2),
        made(vf.scaffold, **SGD, local_epochs=2),
        made(vf.scaffold, **SGD, local_epochs=2, form="textbook"),
    ):
        assert_close(after(algorithm, params, clients), expected)
    alone = final_state(made(vf.local_only, **SGD, local_epochs=2), params, clients)[0].clients
    assert_close(jax.tree.map(lambda leaf: leaf[0], alone), expected)


@pytest.mark.costly
def test_one_full_step_is_gradient_descent_on_the_pooled_loss(ragged):
    params, clients = ragged

    def pooled(params):
        losses = jax.vmap(lambda x, y: softmax_loss(params, x, y))(clients.x, clients.y)
        return jnp.sum(jnp.where(clients.mask, losses, 0)) / 28

    expected = jax.tree.map(lambda p, g: p - 0.1 * g, params, jax.grad(pooled)(params))
    for algorithm in (made(vf.fedavg, **FULL, local_steps=1), made(vf.centralized, **FULL)):
        assert_close(after(algorithm, params, clients, 1), expected)


def test_uniform_weights_average_the_local_models(ragged):
    params, clients = ragged
    alone = final_state(made(vf.local_only, **SGD), params, clients, 1)[0].clients
    uniform = after(made(vf.fedavg, **SGD, weights="uniform"), params, clients, 1)
    assert_close(uniform, jax.tree.map(lambda leaf: leaf.mean(0), alone))
    share = np.array([6, 9, 5, 8]) / 28
    by_size = after(made(vf.fedavg, **SGD), params, clients, 1)
    assert_close(by_size, jax.tree.map(lambda leaf: np.tensordot(share, np.asarray(leaf), 1), alone))


def test_without_penalty_fedprox_is_fedavg(ragged):
    params, clients = ragged
    plain = after(made(vf.fedavg, **SGD), params, clients)
    assert_close(after(made(vf.fedprox, mu=0.0, **SGD), params, clients), plain)


def test_fedprox_descends_the_penalised_loss():
    params, clients, hessians, linear = quadratic_problem()
    mu, rate = 0.7, 0.1
    expected = np.zeros((3, 3))
    for _ in range(4):
        gradient = np.einsum("kde,ke->kd", hessians, expected) - linear + mu * expected
        expected = expected - rate * gradient
    found = after(vf.fedprox(squared_loss, mu=mu, learning_rate=rate, local_steps=4), params, clients, 1)
    assert_close(found, expected.mean(0))


@pytest.mark.parametrize("momentum", [0.9])
def test_with_equal_steps_fednova_is_fedavg(even, momentum):
    params, clients = even
    options = {**SGD, "momentum": momentum, "local_epochs": 2}
    assert_close(
        after(made(vf.fednova, **options), params, clients),
        after(made(vf.fedavg, **options), params, clients),
    )


@pytest.mark.costly
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_fednova_divides_by_the_sum_of_coefficients(ragged, momentum):
    params, clients = ragged
    options = {**SGD, "momentum": momentum, "local_epochs": 2}
    alone, metrics = final_state(made(vf.local_only, **options), params, clients, 1)
    assert metrics.num_steps.tolist() == [4, 6, 4, 6]
    # The coefficients themselves, from how a gradient at step s lives on in the velocity.
    mass = np.array([sum(sum(momentum**k for k in range(steps - s)) for s in range(steps)) for steps in (4, 6, 4, 6)])
    share = np.array([6, 9, 5, 8]) / 28
    moved = jax.tree.map(lambda end, start: np.asarray(end) - np.asarray(start), alone.clients, params)
    step = jax.tree.map(lambda leaf: (share @ mass) * np.tensordot(share / mass, leaf, 1), moved)
    found = after(made(vf.fednova, **options), params, clients, 1)
    assert_close(found, jax.tree.map(np.add, params, step))


def test_a_plain_server_makes_fedopt_fedavg(ragged):
    params, clients = ragged
    plain = after(made(vf.fedavg, **SGD), params, clients)
    assert_close(after(made(vf.fedavgm, server_momentum=0.0, **SGD), params, clients), plain)


@pytest.mark.parametrize("make", [vf.fedadam, vf.fedyogi, vf.fedavgm])
def test_server_optimizers_follow_their_formulas(make):
    params, clients, hessians, linear = quadratic_problem()
    x = first = np.zeros(3)
    second = np.full(3, 1e-3**2)
    for _ in range(3):
        step = -0.1 * (np.einsum("kde,e->kd", hessians, x) - linear).mean(0)
        if make is vf.fedavgm:
            first = 0.9 * first + step
            x = x + 0.2 * first
            continue
        first = 0.9 * first + 0.1 * step
        square = step**2
        second = (
            0.99 * second + 0.01 * square if make is vf.fedadam else second - 0.01 * square * np.sign(second - square)
        )
        x = x + 0.2 * first / (np.sqrt(second) + 1e-3)
    assert_close(after(make(squared_loss, server_learning_rate=0.2, **FULL), params, clients), x)


@pytest.mark.costly
def test_on_identical_clients_scaffold_is_fedavg(even):
    params, clients = even
    same = jax.tree.map(lambda leaf: jnp.repeat(leaf[:1], 3, axis=0), clients)
    options = {**FULL, "local_steps": 4}
    plain = after(made(vf.fedavg, **options), params, same)
    for form in ("delta", "textbook"):
        assert_close(after(made(vf.scaffold, **options, form=form), params, same), plain)


@pytest.mark.costly
@pytest.mark.parametrize(("weights", "momentum"), [("num_examples", 0.0), ("uniform", 0.5)])
def test_both_forms_of_scaffold_make_the_same_iterates(ragged, weights, momentum):
    params, clients = ragged
    options = {**SGD, "local_steps": 5, "momentum": momentum, "weights": weights}
    delta, _ = final_state(made(vf.scaffold, **options), params, clients, 4)
    textbook, _ = final_state(made(vf.scaffold, **options, form="textbook"), params, clients, 4)
    assert_close(delta.params, textbook.params)
    share = np.array([6, 9, 5, 8]) / 28 if weights == "num_examples" else np.full(4, 0.25)
    for leaf in jax.tree.leaves(delta.clients["control"]):
        control = np.tensordot(share, np.asarray(leaf), 1)
        np.testing.assert_allclose(control, 0, atol=1e-12 if leaf.dtype == np.float64 else 1e-5)
    assert max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(delta.clients["control"])) > 0.01


@pytest.mark.costly
def test_fixed_points_on_quadratics():
    params, clients, hessians, linear = quadratic_problem((4, 8, 6))
    share, rate, steps = np.array([4, 8, 6]) / 18, 0.1, 6
    pooled = np.linalg.solve(np.tensordot(share, hessians, 1), share @ linear)
    # FedAvg stops where sum_i share_i (I - (I - rate H_i)^M)(x - x_i) = 0, in least norm on a client's null space.
    pull = np.stack([np.eye(3) - np.linalg.matrix_power(np.eye(3) - rate * h, steps) for h in hessians])
    minima = np.stack([np.linalg.pinv(h) @ b for h, b in zip(hessians, linear, strict=True)])
    biased = np.linalg.solve(np.tensordot(share, pull, 1), np.einsum("k,kde,ke->d", share, pull, minima))
    assert np.abs(biased - pooled).max() > 0.01
    options = {"learning_rate": rate, "local_steps": steps}
    run = {"rounds": 400, "key": jax.random.key(0), "scan_rounds": True}
    tolerance = 1e-6 if params.dtype == np.float64 else 1e-3
    for algorithm, expected in (
        (vf.scaffold(squared_loss, **options), pooled),
        (vf.scaffold(squared_loss, **options, form="textbook"), pooled),
        (vf.fedavg(squared_loss, **options), biased),
    ):
        assert_close(vf.run(algorithm, params, clients, **run)[0], expected, tolerance)


@pytest.mark.parametrize("make", [vf.fednova, vf.scaffold])
def test_the_order_of_clients_does_not_matter(ragged, make):
    params, clients = ragged
    algorithm = make(softmax_loss, **FULL, local_steps=3)
    order = np.array([2, 0, 3, 1])
    turned = jax.tree.map(lambda leaf: leaf[order], clients)
    assert_close(after(algorithm, params, clients, 2), after(algorithm, params, turned, 2))


def test_centralized_makes_equal_passes(ragged):
    params, clients = ragged
    _, epochs = final_state(made(vf.centralized, **SGD, local_epochs=2), params, clients, 1)
    assert epochs.num_steps.tolist() == [2 * 10]  # ceil(28 / 3) batches
    _, steps = final_state(made(vf.centralized, **SGD, local_steps=5), params, clients, 1)
    assert steps.num_steps.tolist() == [4 * 5]


@pytest.mark.costly
def test_partial_participation_is_a_round_of_the_chosen(ragged):
    params, clients = ragged
    algorithm = made(vf.scaffold, **FULL, local_steps=3, form="textbook", clients_per_round=2)
    state, metrics = final_state(algorithm, params, clients, 1)
    chosen = np.asarray(metrics.participants)
    assert len(set(chosen.tolist())) == 2
    moved = np.array([float(jnp.abs(state.clients["first"][i]).max()) > 0 for i in range(4)])
    assert (moved == np.isin(np.arange(4), chosen)).all()
    part = jax.tree.map(lambda leaf: leaf[chosen], clients)
    whole, _ = final_state(made(vf.scaffold, **FULL, local_steps=3, form="textbook"), params, part, 1)
    assert_close(state.params, whole.params)
    share = np.array([6, 9, 5, 8]) / 28
    assert_close(state.server, jax.tree.map(lambda leaf: leaf * share[chosen].sum(), whole.server))
    drawn = {tuple(algorithm.round(state, clients, jax.random.key(s))[1].participants.tolist()) for s in range(20)}
    assert len(drawn) > 2


def test_bytes_are_those_of_the_messages(ragged):
    params, clients = ragged
    model = sum(leaf.nbytes for leaf in jax.tree.leaves(params))
    scalar = params["first"].dtype.itemsize
    expected = {
        made(vf.fedavg, **SGD): (model, model),
        made(vf.fednova, **SGD): (model + scalar, model),
        made(vf.fedadam, **SGD): (model, model),
        made(vf.scaffold, **SGD, local_steps=2): (model, model),
        made(vf.scaffold, **SGD, form="textbook"): (2 * model, 2 * model),
        made(vf.centralized, **SGD): (0, 0),
        made(vf.local_only, **SGD): (0, 0),
    }
    for algorithm, (up, down) in expected.items():
        assert (algorithm.bytes_up(params, clients), algorithm.bytes_down(params, clients)) == (up, down), (
            algorithm.name
        )


def test_what_a_client_sends_enters_only_as_a_sum(ragged):
    """The server's update is a function of the weighted mean of messages: merging two clients' sums changes nothing."""
    params, clients = ragged
    algorithm = made(vf.fedavg, **FULL, local_steps=1)
    state = algorithm.init(params, 4)
    replies = [
        algorithm.local(
            params,
            (),
            vf.Task(jax.tree.map(lambda leaf, i=i: leaf[i], clients), jax.random.key(0), jnp.int32(0)),
            vf.Work(),
        )
        for i in range(4)
    ]
    share = np.array([6, 9, 5, 8]) / 28
    mean = jax.tree.map(
        lambda *leaves: sum(float(s) * leaf for s, leaf in zip(share, leaves, strict=True)),
        *[r.message for r in replies],
    )
    new, _ = algorithm.server_update(state.params, state.server, mean, jnp.ones(()))
    assert_close(new, after(algorithm, params, clients, 1))
