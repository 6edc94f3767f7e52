"""Gradient products, TRAK and EK-FAC against small dense references."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from support.ntk_networks import arrays, inputs
from verax.influence import Status, influence
from verax.ntk import Rademacher

pytestmark = pytest.mark.double


def tolerance():
    return 1e-9 if jax.config.read("jax_enable_x64") else 1e-3


def logits(p, x):
    return jnp.tanh(x @ p["w"] + p["b"]) @ p["v"]


def loss_fn(p, batch):
    return -jnp.take_along_axis(jax.nn.log_softmax(logits(p, batch["x"])), batch["y"][:, None], axis=1)[:, 0]


def margin(p, batch):
    chosen = -loss_fn(p, batch)
    return chosen - jnp.log1p(-jnp.exp(chosen))


def sample_fn(p, batch, key):
    return {**batch, "y": jax.random.categorical(key, logits(p, batch["x"])).astype(jnp.int32)}


def batch_of(seed, n):
    y = np.random.default_rng(seed).integers(0, 3, n)
    return {"x": inputs(seed, n, 4), "y": jnp.asarray(y, jnp.int32)}


PARAMS = arrays(0, w=(4, 5), b=(5,), v=(5, 3))


def gradients(function, batch):
    """Gradients by leaf, [n, ...], in double precision NumPy."""

    def one(example):
        return jax.grad(lambda p: function(p, jax.tree.map(lambda leaf: leaf[None], example))[0])(PARAMS)

    with jax.default_matmul_precision("highest"):
        return {name: np.asarray(leaf, np.float64) for name, leaf in jax.jit(jax.vmap(one))(batch).items()}


def rows(function, batch):
    return np.concatenate([leaf.reshape(len(leaf), -1) for leaf in gradients(function, batch).values()], axis=1)


def assert_close(found, expected):
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= tolerance() * np.abs(expected).max()


@pytest.fixture(scope="module")
def data():
    return batch_of(1, 9), batch_of(2, 4)


def test_gradient_products(data):
    train, test = data
    expected = rows(loss_fn, test) @ rows(loss_fn, train).T
    found = influence(loss_fn, PARAMS, train, test)
    assert_close(found.scores, expected)
    assert found.status == Status.OK
    assert np.isnan(found.standard_error)
    explained = influence(loss_fn, PARAMS, train, test, measure_fn=margin)
    assert_close(explained.scores, -rows(margin, test) @ rows(loss_fn, train).T)


def test_a_step_on_a_helpful_example_lowers_the_test_loss(data):
    train, test = data
    found = influence(loss_fn, PARAMS, train, test)
    for i in range(9):
        step = {name: leaf[i] for name, leaf in gradients(loss_fn, train).items()}
        moved = {name: PARAMS[name] - 1e-3 * jnp.asarray(leaf, PARAMS[name].dtype) for name, leaf in step.items()}
        change = np.asarray(loss_fn(PARAMS, test) - loss_fn(moved, test)) / 1e-3
        np.testing.assert_allclose(change, found.scores[:, i], atol=0.02 * np.abs(found.scores).max())


@pytest.mark.parametrize("measure_fn", [None, margin], ids=["from the loss", "given"])
def test_trak_in_the_limit_of_many_features_is_ridge_regression(data, measure_fn):
    """With as many features as it takes, sketched products equal those of the gradients to a few per cent."""
    train, test = data
    key = jax.random.key(0)
    found = influence(
        loss_fn,
        PARAMS,
        train,
        test,
        method="trak",
        measure_fn=measure_fn,
        sketch=Rademacher(20_000),
        key=key,
        ridge=0.5,
    )
    phi, other = rows(margin, train), rows(margin, test)
    residual = 1 - np.exp(-np.asarray(loss_fn(PARAMS, train), np.float64))
    penalised = phi.T @ phi + 9 * 0.5 * np.eye(phi.shape[1])
    expected = other @ np.linalg.solve(penalised, phi.T) * residual
    assert np.abs(found.scores - expected).max() < 0.05 * np.abs(expected).max()
    assert found.ridge == 0.5


def test_trak_takes_the_ridge_of_gcv(data):
    train, test = data
    options = {"method": "trak", "sketch": Rademacher(6), "key": jax.random.key(3)}
    found = influence(loss_fn, PARAMS, train, test, **options)
    assert found.ridge > 0
    again = influence(loss_fn, PARAMS, train, test, **options, ridge=found.ridge)
    assert_close(found.scores, again.scores)


def test_ekfac(data):
    train, test = data
    key = jax.random.key(1)
    found = influence(loss_fn, PARAMS, train, test, method="ekfac", sample_fn=sample_fn, key=key)
    drawn = sample_fn(PARAMS, train, key)
    p = {name: np.asarray(leaf, np.float64) for name, leaf in PARAMS.items()}
    x = np.asarray(train["x"], np.float64)
    hidden = np.tanh(x @ p["w"] + p["b"])
    raw = np.exp(hidden @ p["v"])
    outer = raw / raw.sum(1, keepdims=True) - np.eye(3)[np.asarray(drawn["y"])]
    inner = (outer @ p["v"].T) * (1 - hidden**2)
    layers = [(np.c_[x, np.ones(len(x))], inner), (hidden, outer)]
    expected = 0.0
    sampled, mine, theirs = (gradients(loss_fn, batch) for batch in (drawn, test, train))
    for (a, b), names in zip(layers, (("w", "b"), ("v",)), strict=True):
        left, right = np.linalg.eigh(a.T @ a)[1], np.linalg.eigh(b.T @ b)[1]

        def turned(found, names=names, left=left, right=right):
            whole = np.concatenate(
                [found[name].reshape(len(found[name]), -1, right.shape[0]) for name in names], axis=1
            )
            return np.einsum("nab,ac,bd->ncd", whole, left, right)

        eigenvalues = (turned(sampled) ** 2).mean(0)
        weights = 1 / (eigenvalues + 0.1 * eigenvalues.mean())
        expected = expected + np.einsum("tab,nab,ab->tn", turned(mine), turned(theirs), weights)
    assert_close(found.scores, expected)
    assert found.ridge == 0.1


def test_non_finite_scores_are_a_status(data):
    def without_derivative(p, batch):
        return loss_fn(p, batch) + jnp.sqrt(0 * jnp.sum(p["w"] ** 2))

    found = influence(without_derivative, PARAMS, *data, measure_fn=margin)
    assert found.status == Status.NON_FINITE
    with pytest.raises(ValueError, match="not finite"):
        found.raise_if_failed()


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("argument", "options"),
    [
        ("method", {"method": "retraining"}),
        ("key", {"method": "trak"}),
        ("key", {"method": "trak", "key": 1}),
        ("sample_fn", {"method": "ekfac", "key": np.array([0, 1], np.uint32)}),
        ("ridge", {"ridge": -1.0}),
        ("measure_fn", {"measure_fn": 3}),
    ],
)
def test_bad_options(data, argument, options):
    with pytest.raises(ValueError, match=f"^{argument}: got .*; need "):
        influence(loss_fn, PARAMS, *data, **options)


@pytest.mark.bad_input
def test_trak_needs_likelihoods(data):
    key = np.array([0, 1], np.uint32)
    with pytest.raises(ValueError, match=r"^loss_fn: got negative losses; need "):
        influence(lambda p, batch: loss_fn(p, batch) - 9, PARAMS, *data, method="trak", key=key)
