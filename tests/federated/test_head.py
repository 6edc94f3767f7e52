"""Linear heads on features of frozen networks, and what the second stage of TCT does by default."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import Ridge

import verax.federated as vf
from support.federated_problems import softmax_loss, softmax_problem

SIZES = (8, 20, 12)


def clients_of(offset=0.0, num_features=5, seed=0):
    rng = np.random.default_rng(seed)
    mask = np.arange(max(SIZES)) < np.array(SIZES)[:, None]
    y = rng.integers(0, 3, mask.shape)
    x = (
        1.5 * np.eye(3)[y] @ rng.normal(size=(3, num_features)) + rng.normal(size=(*mask.shape, num_features))
    ) + offset
    return vf.ClientData(np.float32(np.where(mask[..., None], x, np.nan)), np.where(mask, y, 7), mask)


def pooled(clients):
    return np.float64(clients.x[clients.mask]), clients.y[clients.mask]


@pytest.mark.parametrize("weights", ["num_examples", "uniform"])
def test_one_shot_is_the_weighted_ridge_regression(weights):
    clients = clients_of()
    head = vf.fit_head(clients, ridge=0.1, weights=weights, standardize=False)
    x, y = pooled(clients)
    each = np.ones(len(y)) if weights == "num_examples" else np.repeat(sum(SIZES) / 3 / np.array(SIZES), SIZES)
    peer = Ridge(alpha=0.1 * len(y), fit_intercept=False).fit(x, np.eye(3)[y] - 1 / 3, sample_weight=each)
    np.testing.assert_allclose(head.coefficients, peer.coef_.T, atol=1e-8)
    assert head.total_bytes == sum(e.bytes_up + e.bytes_down for e in head.ledger)
    slow = vf.fit_head(clients, ridge=0.1, weights=weights, standardize=False, stage2="scaffold", rounds2=300)
    np.testing.assert_allclose(slow.coefficients, head.coefficients, atol=2e-5)


@pytest.mark.parametrize("stage2", ["scaffold", "cg", "one_shot"])
def test_features_far_from_zero_in_single_precision(stage2):
    """As in double precision: 1e-6 of the scores, with means 300 times the deviations."""
    clients = clients_of(offset=300.0)
    options = {"stage2": stage2, "rounds2": 30, "ridge": 1e-3, "standardize": False}
    single = vf.fit_head(clients, **options)
    double = vf.fit_head(clients._replace(x=np.float64(clients.x)), **options)
    on_device = vf.fit_head(clients._replace(x=jnp.asarray(clients.x)), **options)
    x, _ = pooled(clients)
    expected = x @ double.coefficients
    for head in (single, on_device):
        np.testing.assert_allclose(x @ head.coefficients, expected, atol=1e-6 * np.abs(expected).max())


def test_a_client_is_removed_exactly():
    clients = clients_of()
    head = vf.fit_head(clients, keep_statistics=True)
    others = vf.ClientData(*(part[[0, 2]] for part in clients))
    x = head.standardizer(np.where(others.mask[..., None], np.float64(others.x), 0))
    again = vf.fit_head(others._replace(x=x), ridge=head.ridge, standardize=False)
    np.testing.assert_allclose(head.without([1]).coefficients, again.coefficients, atol=1e-9)
    with pytest.raises(ValueError, match=r"^clients: got \[3\]; need clients from 0 to 2"):
        head.without([3])
    with pytest.raises(ValueError, match=r"^clients: got a head without the clients' sums"):
        vf.fit_head(clients).without([1])


def test_the_predicted_error_is_that_of_leaving_each_example_out():
    clients = clients_of()
    head = vf.fit_head(clients, ridge=0.05, standardize=False, predict_error=True)
    x, y = pooled(clients)
    wrong = []
    for i in range(len(y)):
        rest = np.arange(len(y)) != i
        peer = Ridge(alpha=0.05 * len(y), fit_intercept=False).fit(x[rest], np.eye(3)[y[rest]] - 1 / 3)
        wrong.append(peer.predict(x[i : i + 1]).argmax() != y[i])
    assert head.predicted_error.estimate == pytest.approx(np.mean(wrong))
    assert head.predicted_error.num_examples == len(y)
    assert head.predicted_error.lower < head.predicted_error.estimate < head.predicted_error.upper


@pytest.mark.statistical
def test_predicted_errors_cover_those_of_new_examples():
    covered = []
    for seed in range(60):
        same = np.random.default_rng(seed)  # draws the labels and then the means of the classes, as clients_of does
        same.integers(0, 3, (3, max(SIZES)))
        means, rng = 1.5 * np.eye(3) @ same.normal(size=(3, 5)), np.random.default_rng(1000 + seed)
        labels = rng.integers(0, 3, 2000)
        head = vf.fit_head(clients_of(seed=seed), predict_error=True)
        error = np.mean(head.predict(means[labels] + rng.normal(size=(2000, 5))).argmax(1) != labels)
        covered.append(head.predicted_error.lower <= error <= head.predicted_error.upper)
    assert np.mean(covered) >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / 60)


def logits(params, x):
    return jnp.tanh(x @ params["first"]) @ params["second"]


def test_tct_by_default():
    params, clients = softmax_problem((12, 9, 12), seed=3)
    stage1 = functools.partial(vf.fedavg, learning_rate=0.1)
    x, y = np.asarray(clients.x[clients.mask]), np.asarray(clients.y[clients.mask])
    options = {"stage1": stage1, "rounds1": 1, "rounds2": 2, "key": jax.random.key(0)}
    model = vf.tct(logits, softmax_loss, params, clients, **options, test=(x, y))
    assert model.sketch is None  # a small network's gradients are features as they are
    assert model.accuracy == pytest.approx((np.asarray(model.predict(x)).argmax(1) == y).mean())
    assert model.total_bytes == model.history.total_bytes[-1]
    by_client = vf.tct(logits, softmax_loss, params, clients, **options, stage2="one_shot", weights="uniform")
    plain = vf.tct(logits, softmax_loss, params, clients, **options, stage2="one_shot")
    assert not np.allclose(by_client.coefficients, plain.coefficients)
    for changes, message in (
        ({"stage1": functools.partial(vf.local_only, learning_rate=0.1)}, r"^stage1: got local_only"),
        ({"weights": "nonsense"}, r"^weights: got 'nonsense'"),
        ({"sketch": "small"}, r"^sketch: got 'small'"),
    ):
        with pytest.raises(ValueError, match=message):
            vf.tct(logits, softmax_loss, params, clients, **(options | {"stage2": "one_shot"} | changes))


def test_wide_networks_are_sketched_to_what_fits(monkeypatch):
    from verax.federated import _tct

    wide = {"w": jnp.zeros((784, 128)), "v": jnp.zeros(1_000)}  # 101,352 parameters
    keep = np.ones((10, 300), bool)
    assert _tct._by_memory(wide, (), keep).num_features == 4096
    monkeypatch.setattr(_tct, "planned_memory", lambda: 256 * 2**20)
    size = _tct._by_memory(wide, (), keep).num_features
    assert 64 <= size < 4096
    assert size * keep.size * 12 + 14 * size**2 * 8 <= 256 * 2**20
