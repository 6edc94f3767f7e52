import jax
import numpy as np
import pytest

import verax.federated as vf

pytestmark = pytest.mark.double


def test_gathered_examples_are_the_clients_own(rng):
    x, y = {"a": rng.normal(size=(30, 2, 3)), "b": np.arange(30)}, np.arange(30) % 3
    partition = vf.partition_dirichlet(y, 4, 0.3, key=jax.random.key(1), min_size=2)
    clients = vf.gather_clients(x, y, partition)
    assert clients.num_clients == 4
    for client in range(4):
        mine = partition.indices[client][partition.mask[client]]
        np.testing.assert_array_equal(clients.x["b"][client][: len(mine)], mine)
        np.testing.assert_allclose(clients.x["a"][client][: len(mine)], x["a"][mine], rtol=1e-6)
        np.testing.assert_array_equal(clients.y[client][: len(mine)], y[mine])
        repeated = mine[np.arange(clients.mask.shape[1]) % len(mine)]
        np.testing.assert_array_equal(clients.x["b"][client], repeated)
        assert clients.mask[client].tolist() == [True] * len(mine) + [False] * (clients.mask.shape[1] - len(mine))


def test_more_clients_than_classes_share_a_class():
    y = np.arange(60) % 3
    report = vf.partition_by_label_count(y, 6, 1, key=jax.random.key(0)).report(y)
    np.testing.assert_array_equal(report.counts, np.tile(10 * np.eye(3, dtype=int), (2, 1)))


def test_a_partition_survives_the_disk(tmp_path):
    partition = vf.partition_dirichlet(np.arange(60) % 3, 3, 0.5, key=jax.random.key(0))
    vf.save(partition, tmp_path / "partition.npz")
    again = vf.load(tmp_path / "partition.npz")
    assert isinstance(again, vf.Partition)
    np.testing.assert_array_equal(again.indices, partition.indices)
    np.testing.assert_array_equal(again.mask, partition.mask)
