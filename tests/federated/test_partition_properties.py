"""Laws of every partition: nothing twice, nothing lost unasked, the promised classes and sizes, one key one result."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import verax.federated as vf

pytestmark = pytest.mark.property

fast = settings(max_examples=40, deadline=None, derandomize=True)


def labels_of(num_classes, num, seed):
    rng = np.random.default_rng(seed)
    return rng.permutation(np.concatenate([np.arange(num_classes), rng.integers(0, num_classes, num)]))


labels = st.builds(labels_of, st.integers(1, 8), st.integers(60, 200), st.integers(0, 10_000))
keys = st.builds(jax.random.key, st.integers(0, 10_000))
alphas = st.floats(-4, 3).map(lambda power: 10.0**power)


def check_partition(partition, y, *, whole=True):
    held = partition.indices[partition.mask]
    assert len(set(held.tolist())) == len(held)
    assert (partition.indices[~partition.mask] == -1).all()
    report = partition.report(y)
    np.testing.assert_array_equal(report.counts.sum(0) + report.dropped, np.bincount(y))
    np.testing.assert_array_equal(report.sizes, partition.mask.sum(1))
    assert (report.sizes > 0).all()
    assert (report.skew >= -1e-12).all()
    assert (report.skew < 1).all()
    if whole:
        assert report.dropped.sum() == 0
    return report


def same(one, two):
    return np.array_equal(one.indices, two.indices) and one.num_moved == two.num_moved


@fast
@given(labels, st.integers(1, 12), keys)
def test_iid(y, num_clients, key):
    partition = vf.partition_iid(y, num_clients, key=key)
    report = check_partition(partition, y)
    assert np.ptp(report.sizes) <= 1
    assert same(partition, vf.partition_iid(y, num_clients, key=key))


@fast
@given(labels, st.integers(1, 8), keys)
def test_label_count(y, k, key):
    num_classes = int(y.max()) + 1
    k = min(k, num_classes)
    num_clients = int(num_classes)  # client i owns class i, so every class has an owner
    y = np.concatenate([y, np.repeat(np.arange(num_classes), num_clients)])  # enough of each class for all to share
    partition = vf.partition_by_label_count(y, num_clients, k, key=key)
    report = check_partition(partition, y)
    assert ((report.counts > 0).sum(1) == k).all()
    assert (np.diag(report.counts) > 0).all()
    for column in report.counts.T:
        assert np.ptp(column[column > 0]) <= 1
    assert same(partition, vf.partition_by_label_count(y, num_clients, k, key=key))


@fast
@given(labels, st.integers(1, 8), st.integers(1, 8), keys)
def test_disjoint_labels(y, num_clients, k, key):
    num_classes = int(y.max()) + 1
    num_clients = min(num_clients, num_classes)
    k = min(k, num_classes // num_clients)
    partition = vf.partition_by_label_count(y, num_clients, k, key=key, scheme="disjoint", drop_unowned=True)
    report = check_partition(partition, y, whole=num_clients * k == num_classes)
    assert ((report.counts > 0).sum(0) <= 1).all()
    np.testing.assert_array_equal(report.dropped > 0, np.arange(num_classes) >= num_clients * k)


@fast
@given(labels, st.integers(1, 12), alphas, st.integers(1, 5), st.sampled_from(["class", "client"]), keys)
def test_dirichlet(y, num_clients, alpha, min_size, by, key):
    options = {"key": key, "min_size": min_size, "by": by, "max_tries": 3}
    partition = vf.partition_dirichlet(y, num_clients, alpha, **options)
    report = check_partition(partition, y)
    assert report.sizes.min() >= min_size
    if by == "client":
        assert np.ptp(report.sizes) <= 1
    assert same(partition, vf.partition_dirichlet(y, num_clients, alpha, **options))


@fast
@given(labels, st.integers(1, 12), st.integers(1, 8), alphas, keys)
def test_extended_dirichlet(y, num_clients, k, alpha, key):
    num_classes = int(y.max()) + 1
    k = min(max(k, -(-num_classes // num_clients)), num_classes)
    y = np.concatenate([y, np.repeat(np.arange(num_classes), 2 * num_clients)])
    partition = vf.partition_extended_dirichlet(y, num_clients, k, alpha, key=key, min_size=2, max_tries=3)
    report = check_partition(partition, y)
    assert ((report.counts > 0).sum(1) <= k).all()
    assert report.sizes.min() >= 2


def test_keys_matter():
    y = np.arange(300) % 10
    one, two = (vf.partition_dirichlet(y, 5, 0.5, key=jax.random.key(seed)) for seed in (0, 1))
    assert not same(one, two)


def test_skew_falls_with_alpha_and_reaches_its_limits():
    y = np.arange(5000) % 10
    for by in ("class", "client"):
        skews = [
            np.mean(
                [vf.partition_dirichlet(y, 10, a, key=jax.random.key(s), by=by).report(y).skew.mean() for s in range(5)]
            )
            for a in (0.05, 0.5, 5.0, 500.0)
        ]
        assert skews == sorted(skews, reverse=True)
        assert skews[0] > 0.5
        assert skews[-1] < 0.1
    one_class = vf.partition_by_label_count(y, 10, 1, key=jax.random.key(0)).report(y)
    np.testing.assert_allclose(one_class.skew, 0.9)


def test_an_impossible_draw_is_mended_and_counted():
    # One class and a tiny alpha: every draw gives all to one client, and others would draw for ever.
    y = np.zeros(100, int)
    partition = vf.partition_dirichlet(y, 4, 1e-3, key=jax.random.key(0), min_size=10, max_tries=2)
    report = check_partition(partition, y)
    assert report.sizes.min() == 10
    assert report.num_moved == 30
