"""Every way of running the clients gives the same rounds: at once, in blocks, in a Python loop, on a mesh."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import verax.federated as vf
from support.federated_problems import assert_close, final_state, softmax_loss, softmax_problem

SGD = {"learning_rate": 0.1, "batch_size": 4}


@pytest.fixture(scope="module")
def ragged():
    return softmax_problem()


def mesh_of(num_devices):
    return jax.make_mesh((num_devices,), ("clients",), devices=jax.devices()[:num_devices])


BACKENDS = {
    "vmap": {"backend": "vmap"},
    "chunks that do not divide": {"backend": "map", "chunk_size": 3},
    "loop": {"backend": "loop"},
    "a device a client": {"mesh": 4},
    "more devices than clients": {"mesh": 8, "backend": "vmap"},
    "devices that do not divide": {"mesh": 3},
}
ALGORITHMS = {
    "fedavg": vf.fedavg(softmax_loss, **SGD, local_epochs=2),
    "scaffold, some": vf.scaffold(softmax_loss, **SGD, form="textbook", clients_per_round=3),
}


@pytest.fixture(scope="module")
def by_map(ragged):
    return {name: final_state(algorithm, *ragged, 2, backend="map") for name, algorithm in ALGORITHMS.items()}


@pytest.mark.parametrize("name", ALGORITHMS)
@pytest.mark.parametrize("backend", BACKENDS.values(), ids=BACKENDS)
def test_backends_agree(ragged, by_map, name, backend):
    if "mesh" in backend:
        backend = {**backend, "mesh": mesh_of(backend["mesh"])}
    state, metrics = final_state(ALGORITHMS[name], *ragged, 2, **backend)
    assert_close((state, metrics), by_map[name])


def test_rounds_can_be_vmapped_over_seeds(ragged):
    params, clients = ragged
    algorithm = ALGORITHMS["fedavg"]
    state = algorithm.init(params, 4)
    keys = jax.random.split(jax.random.key(3), 2)
    both, _ = jax.vmap(lambda key: algorithm.round(state, clients, key, backend="vmap"))(keys)
    for seed in range(2):
        one, _ = algorithm.round(state, clients, keys[seed])
        assert_close(jax.tree.map(lambda leaf, s=seed: leaf[s], both.params), one.params)


@pytest.fixture(scope="module")
def poisoned(ragged):
    params, clients = ragged
    return params, clients._replace(x=clients.x.at[1, 0, 0].set(jnp.nan))


@pytest.mark.parametrize("backend", [{"backend": "map"}, {"backend": "vmap"}, {"mesh": 8}])
def test_a_non_finite_client_is_excluded_on_request(ragged, poisoned, backend):
    params, clients = poisoned
    if "mesh" in backend:
        backend = {"mesh": mesh_of(8)}
    algorithm = vf.scaffold(softmax_loss, learning_rate=0.1, local_steps=2, form="textbook", non_finite="exclude")
    state, metrics = final_state(algorithm, params, clients, 2, **backend)
    assert int(metrics.status) == vf.Status.CLIENTS_EXCLUDED
    assert metrics.finite.tolist() == [True, False, True, True]
    others = jax.tree.map(lambda leaf: leaf[np.array([0, 2, 3])], ragged[1])
    clean, _ = final_state(
        vf.scaffold(softmax_loss, learning_rate=0.1, local_steps=2, form="textbook"), params, others, 1
    )
    first, _ = final_state(algorithm, params, clients, 1, **backend)
    assert_close(first.params, clean.params)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state))
    assert not any(np.asarray(leaf[1]).any() for leaf in jax.tree.leaves(state.clients))
