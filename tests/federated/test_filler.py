"""A user's loss sees the clients' examples and nothing else, and filler changes no derivative."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import verax.federated as vf

SIZES = (5, 1, 3)


def loss_fn(w, x, y):
    """NaN, and a derivative that is NaN, where an example is all zeros or NaN, as a cosine or a masked mean is."""
    return (jnp.sum(x * w, axis=1) / jnp.sqrt(jnp.sum(x**2, axis=1)) - y) ** 2


@pytest.fixture(scope="module", params=[0.0, np.nan], ids=["zeros", "NaN"])
def clients(request):
    """Ragged clients made by hand, filled up with something that is no example, in any place."""
    rng = np.random.default_rng(0)
    mask = np.zeros((3, 6), bool)
    for row, size in zip(mask, SIZES, strict=True):
        row[rng.permutation(6)[:size]] = True
    x = np.where(mask[:, :, None], rng.normal(size=(3, 6, 2)), request.param)
    y = np.where(mask, rng.normal(size=(3, 6)), request.param)
    return vf.ClientData(jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32), jnp.asarray(mask))


BATCHES = [{}, {"batch_size": 2}, {"batch_size": 2, "local_steps": 3}, {"local_steps": (3, 1, 2)}]
MAKERS = {
    "fedavg": lambda **o: vf.fedavg(loss_fn, learning_rate=0.1, **o),
    "fedprox": lambda **o: vf.fedprox(loss_fn, mu=0.1, learning_rate=0.1, **o),
    "fednova": lambda **o: vf.fednova(loss_fn, learning_rate=0.1, momentum=0.5, **o),
    "fedadam": lambda **o: vf.fedadam(loss_fn, learning_rate=0.1, **o),
    "scaffold": lambda **o: vf.scaffold(loss_fn, learning_rate=0.1, **o),
    "adam at clients": lambda **o: vf.fedavg(loss_fn, optimizer=OPTIMIZER, **o),
    "centralized": lambda **o: vf.centralized(loss_fn, learning_rate=0.1, **o),
    "local only": lambda **o: vf.local_only(loss_fn, learning_rate=0.1, **o),
}
OPTIMIZER = optax.adam(0.1)


def rounds_of(algorithm, clients, **options):
    state = algorithm.init(jnp.array([1.0, -1.0]), 3)
    state, metrics = algorithm.round(state, clients, jax.random.key(0), **options)
    return np.asarray(jax.tree.leaves(algorithm.params(state))[0]), metrics


@pytest.mark.parametrize("options", BATCHES, ids=str)
@pytest.mark.parametrize("name", MAKERS)
def test_every_algorithm_and_batch_form(clients, name, options):
    params, metrics = rounds_of(MAKERS[name](**options), clients, backend="vmap")
    assert np.isfinite(params).all()
    assert (params != np.array([1.0, -1.0])).any()
    assert int(metrics.status) == vf.Status.OK


@pytest.mark.parametrize(
    "backend", [{"backend": "map", "chunk_size": 2}, {"backend": "loop"}, {"mesh": 8}, {"mesh": 2, "backend": "vmap"}],
    ids=str,
)  # fmt: skip
def test_every_backend(clients, backend):
    algorithm = MAKERS["fedavg"](batch_size=2)
    expected, _ = rounds_of(algorithm, clients, backend="vmap")
    if "mesh" in backend:
        mesh = jax.make_mesh((backend["mesh"],), ("clients",), devices=jax.devices()[: backend["mesh"]])
        backend = {**backend, "mesh": mesh}
    params, metrics = rounds_of(algorithm, clients, **backend)
    np.testing.assert_allclose(params, expected, rtol=1e-5)
    assert metrics.finite.tolist() == [True] * 3


def test_full_batches_against_numpy(clients):
    params, _ = rounds_of(MAKERS["fedavg"](), clients)
    start, moves = np.array([1.0, -1.0]), []
    for x, y, mask in zip(*map(np.asarray, clients), strict=True):
        unit = x[mask] / np.linalg.norm(x[mask], axis=1, keepdims=True)
        moves.append(-0.1 * 2 * (unit.T @ (unit @ start - y[mask])) / mask.sum() * mask.sum() / sum(SIZES))
    np.testing.assert_allclose(params, start + sum(moves), rtol=1e-5)


def test_gathered_clients_repeat_their_own_examples():
    indices = np.array([[4, -1, 2], [-1, 3, -1]])
    clients = vf.gather_clients(np.arange(1.0, 6), np.arange(5) + 10, vf.Partition(indices, indices >= 0))
    assert clients.x.tolist() == [[5, 3, 3], [4, 4, 4]]
    assert clients.y.tolist() == [[14, 12, 12], [13, 13, 13]]
    assert clients.mask.tolist() == [[True, False, True], [False, True, False]]
