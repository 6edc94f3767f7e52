"""Projection Norm: the closed form against solves and descent, the linear theory, and retraining's contract."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import verax.shift as vs
from verax.models import mlp

pytestmark = pytest.mark.double

KEY = jax.random.key(0)
K, P, M, POOL, HOLDOUT, SETS = 3, 6, 20, 50, 15, 4


def problem(width=P, dtype=np.float64):
    rng = np.random.default_rng(0)
    head = rng.normal(size=(width, K))
    pool, holdout = rng.normal(size=(POOL, width)), rng.normal(size=(HOLDOUT, width))
    sets = rng.normal(size=(SETS, M, width)) * np.linspace(1, 2, SETS)[:, None, None] ** np.arange(width)
    return [a.astype(dtype) for a in (pool, pool @ head, sets, sets @ head, holdout)]


def by_solve(x, z, budget, scale):
    residual = np.eye(K)[z.argmax(1)] - 1 / K
    return np.linalg.solve(x.T @ x / len(x) + scale / budget * np.eye(x.shape[1]), x.T @ residual / len(x))


@pytest.mark.parametrize("width", [P, 40])  # fewer and more features than examples
@pytest.mark.parametrize("norm", ["function", "parameter", "disagreement"])
def test_closed_form_against_solves(width, norm, x64):
    if not x64:
        pytest.skip("a comparison in double precision")
    pool, pool_z, sets, sets_z, holdout = problem(width)
    # The whole pool as the only reference: then its rows are known.
    pool, pool_z = pool[:M], pool_z[:M]
    scale = (pool**2).sum(1).mean()
    budgets = [0.5, 10.0]
    scores = vs.kernel_projection_norm(
        pool, pool_z, sets, sets_z, budget=budgets, norm=norm, holdout_features=holdout, normalize=None,
        num_references=1, num_nulls=0, key=KEY,
    )  # fmt: skip
    for b, budget in enumerate(budgets):
        reference = by_solve(pool, pool_z, budget, scale)
        for s in range(SETS):
            fit = by_solve(sets[s], sets_z[s], budget, scale)
            expected = {
                "parameter": np.linalg.norm(fit - reference),
                "function": np.sqrt(np.mean(np.sum((holdout @ (fit - reference)) ** 2, 1))),
                "disagreement": np.mean((holdout @ fit).argmax(1) != (holdout @ reference).argmax(1)),
            }[norm]
            assert float(scores.value[b, s]) == pytest.approx(expected, rel=1e-9, abs=1e-12)
    if norm == "parameter":
        gram = vs.gram_projection_norm(
            sets[1] @ sets[1].T, pool @ pool.T, pool @ sets[1].T, sets_z[1], pool_z, budget=budgets
        )
        np.testing.assert_allclose(gram, scores.value[:, 1], rtol=1e-7)


@pytest.mark.costly
def test_limit_of_small_budgets_is_one_gradient_step():
    pool, pool_z, sets, sets_z, _ = problem(dtype=np.float32)
    options = {"normalize": None, "num_references": 2, "num_nulls": 3, "norm": "parameter", "key": KEY}
    limit = vs.kernel_projection_norm(pool, pool_z, sets, sets_z, budget=0.0, **options)
    small = vs.kernel_projection_norm(pool, pool_z, sets, sets_z, budget=1e-6, **options)
    np.testing.assert_allclose(small.value / 1e-6, limit.value, rtol=1e-2)
    # One step from 0 on squared loss moves by Phi' R / m.
    one = vs.kernel_projection_norm(
        pool[:M], pool_z[:M], sets, sets_z, budget=0, normalize=None, norm="parameter", num_references=1, num_nulls=0,
        key=KEY,
    )  # fmt: skip
    steps = [x.T @ (np.eye(K)[z.argmax(1)] - 1 / K) / M for x, z in ((pool[:M], pool_z[:M]), (sets[2], sets_z[2]))]
    scale = (pool[:M] ** 2).sum(1).mean()
    assert float(one.value[2]) == pytest.approx(np.linalg.norm(steps[1] - steps[0]) / scale, rel=1e-4)


def test_null_distribution_and_status():
    pool, pool_z, sets, sets_z, holdout = problem(dtype=np.float32)
    sets_z = sets_z.copy()
    sets_z[1] = [9, 0, 0]
    sets = sets.copy()
    sets[2, 0, 0] = np.nan
    scores = vs.kernel_projection_norm(
        pool, pool_z, sets, sets_z, budget=5.0, holdout_features=holdout, num_nulls=9, key=KEY
    )
    assert scores.status.tolist() == [0, vs.Status.ONE_CLASS, vs.Status.NON_FINITE, 0]
    assert np.isnan(scores.value[2])
    assert np.isnan(scores.p_value[2])
    np.testing.assert_allclose(scores.excess, scores.value - scores.null_mean)
    assert np.all(np.isin(np.round(np.asarray(scores.p_value[np.array([0, 1, 3])]) * 10), np.arange(1, 11)))
    assert float(scores.null_sd) > 0
    assert float(scores.p_value[3]) == pytest.approx(0.1)  # far away: beyond all nine draws


@pytest.mark.costly
def test_p_values_are_uniform_without_shift():
    # Sets, references and nulls are disjoint draws of one population, so P(p <= 0.2) = 0.2.
    rng = np.random.default_rng(1)
    head = rng.normal(size=(P, K)).astype(np.float32)
    low = []
    for seed in range(40):
        pool, sets = (rng.normal(size=shape).astype(np.float32) for shape in ((700, P), (10, 30, P)))
        scores = vs.kernel_projection_norm(
            pool, pool @ head, sets, sets @ head, budget=5.0, norm="parameter", num_nulls=19, key=jax.random.key(seed)
        )
        low.append(np.mean(np.asarray(scores.p_value) <= 0.2 + 1e-6))
    assert abs(np.mean(low) - 0.2) <= 3 * np.std(low, ddof=1) / 40**0.5


def test_draws_are_disjoint_as_long_as_rows_last():
    draws = vs._scores.draw_rows(KEY, 3, np.arange(10, 40), 10)
    assert sorted(draws.ravel().tolist()) == list(range(10, 40))
    more = vs._scores.draw_rows(KEY, 4, np.arange(10, 40), 10)
    assert len(set(more[3].tolist())) == 10
    assert vs._scores.draw_rows(KEY, 0, np.arange(5), 5).shape == (0, 5)
    assert not set(vs._scores.remaining_rows(40, draws[:1], 10).tolist()) & set(draws[0].tolist())


@pytest.mark.costly
def test_excess_is_comparable_between_sizes():
    rng = np.random.default_rng(2)
    head = rng.normal(size=(P, K)).astype(np.float32)
    pool, holdout = (rng.normal(size=(n, P)).astype(np.float32) for n in (900, 100))
    value, excess = [], []
    for m in (20, 300):
        x = rng.normal(size=(6, m, P)).astype(np.float32)
        s = vs.kernel_projection_norm(
            pool, pool @ head, x, x @ head, budget=5.0, holdout_features=holdout, key=jax.random.key(m)
        )
        value.append(float(s.value.mean()))
        excess.append(float(jnp.abs(s.excess).mean()))
    assert value[0] > 1.5 * value[1]  # a clean small set looks worse than a clean large one
    assert max(excess) < 0.35 * value[0]


@pytest.mark.parametrize("sizes", [(60, 20), (60, 60), (60, 120)])
def test_linear_theory(sizes, x64):
    """E |(I - P~) P theta|^2 = (n - tr P P~) / d and E |P~ (I - P) theta|^2 = (m - tr P P~) / d for isotropic theta."""
    if not x64:
        pytest.skip("a comparison in double precision")
    n, m, d = *sizes, 200
    rng = np.random.default_rng(3)
    projections = []
    for rows in (n, m):
        basis = np.linalg.qr(rng.normal(size=(d, rows)))[0]
        projections.append(basis @ basis.T)
    p, q = projections
    score, hidden = (np.eye(d) - q) @ p, q @ (np.eye(d) - p)
    overlap = np.trace(p @ q)
    assert np.linalg.norm(score) ** 2 == pytest.approx(n - overlap)
    assert np.linalg.norm(hidden) ** 2 == pytest.approx(m - overlap)
    if n == m:  # the same principal angles: why the reference has the target's size
        np.testing.assert_allclose(
            np.linalg.svd(score, compute_uv=False), np.linalg.svd(hidden, compute_uv=False), atol=1e-7
        )


def test_large_budget_is_the_minimum_norm_fit(x64):
    """The closed form at a large budget gives |W_t - W_r| of the linear theory's interpolators."""
    if not x64:
        pytest.skip("a comparison in double precision")
    pool, pool_z, sets, sets_z, _ = problem(40)
    scores = vs.kernel_projection_norm(
        pool[:M], pool_z[:M], sets, sets_z, budget=1e10, norm="parameter", normalize=None, num_references=1,
        num_nulls=0, key=KEY,
    )  # fmt: skip
    fits = [
        np.linalg.pinv(x) @ (np.eye(K)[z.argmax(1)] - 1 / K) for x, z in ((pool[:M], pool_z[:M]), (sets[0], sets_z[0]))
    ]
    assert float(scores.value[0]) == pytest.approx(np.linalg.norm(fits[1] - fits[0]), rel=1e-5)


NETWORK, INIT = mlp([4, 8, K], key=jax.random.key(1))
_, MODEL = mlp([4, 8, K], key=jax.random.key(2))
OPTIMIZER = optax.sgd(0.1, momentum=0.9)


def retrain(**changes):
    rng = np.random.default_rng(4)
    pool, holdout = rng.normal(size=(60, 4)).astype(np.float32), rng.normal(size=(10, 4)).astype(np.float32)
    sets = np.stack([pool[:24], 3 * np.abs(rng.normal(size=(24, 4)).astype(np.float32))])
    arguments = {
        "apply_fn": NETWORK, "init_params": INIT, "model_params": MODEL, "reference_x": pool, "target_x": sets,
        "steps": 6, "batch_size": 8, "optimizer": OPTIMIZER, "holdout_x": holdout, "norm": vs._projection_norm.NORMS,
        "num_references": 1, "num_nulls": 2, "key": KEY,
    }  # fmt: skip
    arguments.update(changes)
    return vs.projection_norm(**arguments)


@pytest.mark.costly
def test_retraining_against_a_plain_loop():
    scores = retrain()
    rng = np.random.default_rng(4)
    pool, holdout = rng.normal(size=(60, 4)).astype(np.float32), rng.normal(size=(10, 4)).astype(np.float32)
    sets = np.stack([pool[:24], 3 * np.abs(rng.normal(size=(24, 4)).astype(np.float32))])
    order_key, reference_key, _ = jax.random.split(KEY, 3)
    batches = vs._projection_norm._batch_order(order_key, 24, 8, 6)
    assert batches.shape == (6, 8)
    for epoch in (batches[:3], batches[3:]):  # every example once an epoch
        assert sorted(np.asarray(epoch).ravel().tolist()) == list(range(24))
    reference = pool[vs._scores.draw_rows(reference_key, 1, np.arange(60), 24)[0]]

    def train(x):
        labels = NETWORK(MODEL, x).argmax(1)
        params, velocity = INIT, jax.tree.map(jnp.zeros_like, INIT)
        for rows in batches:

            def loss(p, rows=rows):
                return -jnp.take_along_axis(
                    jax.nn.log_softmax(NETWORK(p, x[rows])), labels[rows][:, None], axis=1
                ).mean()  # fmt: skip

            velocity = jax.tree.map(lambda v, g: 0.9 * v + g, velocity, jax.grad(loss)(params))
            params = jax.tree.map(lambda p, v: p - 0.1 * v, params, velocity)
        return params

    fits = [train(x) for x in (reference, *sets)]
    outputs = [np.asarray(NETWORK(p, holdout)) for p in fits]
    for s in (0, 1):
        gaps = jax.tree.map(lambda a, b: ((a - b) ** 2).sum(), fits[s + 1], fits[0])
        parameter = float(sum(jax.tree.leaves(gaps))) ** 0.5
        function = np.sqrt(np.mean(np.sum((outputs[s + 1] - outputs[0]) ** 2, 1)))
        disagreement = np.mean(outputs[s + 1].argmax(1) != outputs[0].argmax(1))
        p = [np.exp(z) / np.exp(z).sum(1, keepdims=True) for z in (outputs[s + 1], outputs[0])]
        softmax = np.sqrt(np.mean(np.sum((p[0] - p[1]) ** 2, 1)))
        np.testing.assert_allclose(scores.value[:, s], [function, parameter, disagreement, softmax], rtol=1e-4)


def test_chunks_and_one_by_one_agree():
    np.testing.assert_allclose(retrain(set_chunk=3).value, retrain().value, rtol=1e-4)


def test_the_scan_of_accelerators_agrees(monkeypatch):
    expected = retrain().value
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    np.testing.assert_allclose(retrain().value, expected, rtol=1e-4)


def test_runs_repeat_exactly():
    # The authors' code draws its permutations from an unseeded generator.
    np.testing.assert_array_equal(retrain().value, retrain().value)


def test_the_deployed_model_only_labels():
    # The authors' code falls back on the deployed model as the reference. Doubling its head changes no label.
    doubled = {**MODEL, "head": jax.tree.map(lambda leaf: 2 * leaf, MODEL["head"])}
    np.testing.assert_array_equal(retrain(model_params=doubled).value, retrain().value)


def test_a_set_drawn_like_the_reference_is_at_distance_zero():
    rng = np.random.default_rng(4)
    pool = rng.normal(size=(24, 4)).astype(np.float32)
    rows = vs._scores.draw_rows(jax.random.split(KEY, 3)[1], 1, np.arange(24), 24)[0]
    scores = retrain(reference_x=pool, target_x=pool[rows][None])
    np.testing.assert_allclose(scores.value, 0, atol=1e-6)


def test_true_labels_for_the_reference():
    labels = np.random.default_rng(5).integers(0, K, 60)
    assert np.all(np.asarray(retrain(reference_labels=labels).value[:2]) != np.asarray(retrain().value[:2]))


def test_status_of_retraining():
    sets = np.full((2, 24, 4), 1.0, np.float32)
    sets[1, 0] = np.nan
    scores = retrain(target_x=sets, num_nulls=0, norm="parameter")
    assert scores.status.tolist() == [vs.Status.ONE_CLASS, vs.Status.NON_FINITE]
    assert np.isnan(scores.value[1])
