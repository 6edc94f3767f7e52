"""Stage 2 against literal loops and pooled solutions in float64 NumPy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import verax.federated as vf
import verax.ntk
import verax.spectral as vs
from support.federated_problems import NUM_CLASSES, assert_close, softmax_loss, softmax_problem

pytestmark = [pytest.mark.reference, pytest.mark.double]

SIZES = np.array([6, 9, 5])
TALL, WIDE = 4, 12


def features_of(num_features, seed=0):
    """Features, targets and mask of ragged clients, in float64 and in the default dtype."""
    rng = np.random.default_rng(seed)
    mask = np.arange(SIZES.max()) < SIZES[:, None]
    phi = rng.normal(size=(*mask.shape, num_features)) * np.arange(1.0, num_features + 1) ** -0.5
    y = phi[:, :, :2] + 0.3 * rng.normal(size=(*mask.shape, 2))
    dtype = np.asarray(jnp.zeros(())).dtype
    return phi.astype(dtype), y.astype(dtype), mask


def pooled(phi, y, mask, ridge, weights="num_examples"):
    hessian, linear = 0.0, 0.0
    for rows, targets, keep in zip(np.float64(phi), np.float64(y), mask, strict=True):
        share = keep.sum() / mask.sum() if weights == "num_examples" else 1 / len(mask)
        hessian = hessian + share * rows[keep].T @ rows[keep] / keep.sum()
        linear = linear + share * rows[keep].T @ targets[keep] / keep.sum()
    return np.linalg.solve(hessian + ridge * np.eye(phi.shape[2]), linear)


@pytest.mark.parametrize(
    ("num_features", "ridge", "step_size"), [(TALL, 0.0, None), (WIDE, 0.0, None), (WIDE, 0.1, None), (WIDE, 0.0, 0.35)]
)
def test_the_closed_form_is_the_loop(num_features, ridge, step_size):
    phi, y, mask = features_of(num_features)
    options = {"rounds": 4, "local_steps": 500, "ridge": ridge, "step_size": step_size}
    one = vf.scaffold_linear(phi, y, mask, **options)
    two = vf.scaffold_linear(phi, y, mask, **options, method="loop")
    x64 = phi.dtype == np.float64
    np.testing.assert_allclose(one.coefficients, two.coefficients, atol=1e-12 if x64 else 3e-4)
    np.testing.assert_allclose(one.objective, two.objective, rtol=1e-12 if x64 else 1e-4)


@pytest.mark.parametrize("num_features", [TALL, WIDE])
def test_spectra_serve_every_ridge_and_number_of_steps(num_features):
    phi, y, mask = features_of(num_features)
    spectra = vf.client_spectra(phi, mask)
    for ridge, local_steps in ((0.0, 3), (0.2, 40)):
        options = {"rounds": 2, "local_steps": local_steps, "ridge": ridge}
        shared = vf.scaffold_linear(phi, y, mask, **options, spectra=spectra)
        np.testing.assert_array_equal(shared.coefficients, vf.scaffold_linear(phi, y, mask, **options).coefficients)
    for client, keep in enumerate(mask):
        rows = np.float64(phi[client][keep])
        expected = np.linalg.svd(rows, compute_uv=False) ** 2 / keep.sum()
        np.testing.assert_allclose(np.sort(spectra.eigenvalues[client])[::-1][: len(expected)], expected, atol=1e-10)


def test_stage_two_is_the_general_algorithm_on_a_linear_model():
    phi, y, mask = features_of(WIDE)
    clients = vf.ClientData(jnp.asarray(phi), jnp.asarray(y), jnp.asarray(mask))

    def loss_fn(theta, x, y):
        return jnp.sum((x @ theta - y) ** 2, axis=1) / 2

    for make, control_variates in ((vf.scaffold, True), (vf.fedavg, False)):
        algorithm = make(loss_fn, learning_rate=0.2, local_steps=7)
        start = jnp.zeros((WIDE, 2), phi.dtype)
        expected, _ = vf.run(algorithm, start, clients, rounds=3, key=jax.random.key(0))
        found = vf.scaffold_linear(
            phi, y, mask, rounds=3, local_steps=7, step_size=0.2, control_variates=control_variates
        )
        assert_close(found.coefficients, expected)


@pytest.mark.parametrize("weights", ["num_examples", "uniform"])
def test_scaffold_reaches_the_pooled_optimum_and_fedavg_does_not(weights):
    phi, y, mask = features_of(TALL)
    options = {"rounds": 300, "local_steps": 20, "ridge": 0.05, "weights": weights}
    expected = pooled(phi, y, mask, 0.05, weights)
    found = vf.scaffold_linear(phi, y, mask, **options).coefficients
    np.testing.assert_allclose(found, expected, atol=1e-10 if phi.dtype == np.float64 else 1e-4)
    biased = vf.scaffold_linear(phi, y, mask, **options, control_variates=False).coefficients
    assert np.abs(biased - expected).max() > 0.003


def test_the_step_size_is_just_below_that_of_the_largest_eigenvalue():
    phi, y, mask = features_of(WIDE)
    largest = max(np.linalg.eigvalsh(p[k].T @ p[k] / k.sum())[-1] for p, k in zip(np.float64(phi), mask, strict=True))
    fit = vf.scaffold_linear(phi, y, mask, rounds=1, local_steps=1, ridge=0.3)
    assert 3 ** (-1 / 32) * (1 - 1e-5) <= fit.step_size * (largest + 0.3) <= 1 + 1e-5


def divided(phi, y, owners, num_clients):
    """The same examples, divided in another way."""
    partition = vf._partition.from_owners(owners, num_clients)
    keep = partition.mask
    return phi[partition.indices] * keep[:, :, None], y[partition.indices] * keep[:, :, None], keep


@pytest.mark.parametrize("num_features", [TALL, 40])
def test_one_shot_does_not_depend_on_the_partition(num_features):
    rng = np.random.default_rng(0)
    phi, y = rng.normal(size=(30, num_features)).astype(np.float32), rng.normal(size=(30, 3)).astype(np.float32)
    exact = np.linalg.solve(np.float64(phi).T @ phi / 30 + 0.1 * np.eye(num_features), np.float64(phi).T @ y / 30)
    spectrum = vs.feature_spectrum(phi.astype(np.float64), y.astype(np.float64), center=False)
    path = vs.risk_path(spectrum, [0.01, 0.1, 1.0])
    for owners in (np.zeros(30, int), np.arange(30) % 5, np.sort(rng.integers(0, 4, 30)), np.arange(30)):
        parts = vf.client_statistics(*divided(phi, y, owners, int(owners.max()) + 1))
        total = vf.total_statistics(parts)
        assert total.num_examples == 30
        np.testing.assert_allclose(vf.fit_ridge(total, 0.1).coefficients, exact, atol=1e-10)
        fit = vf.fit_ridge(total, ridges=path.ridge)
        np.testing.assert_allclose(fit.path.gcv, path.gcv, rtol=1e-9)
        np.testing.assert_allclose(fit.path.train_risk, path.train_risk, rtol=1e-9)
        np.testing.assert_allclose(fit.path.df1, path.df1, rtol=1e-9)
        assert fit.ridge == path.best_ridge


def test_a_client_that_leaves_is_forgotten():
    phi, y, mask = features_of(TALL)
    parts = vf.client_statistics(phi, y, mask)
    rest = vf.total_statistics(parts, without=parts[1:2])
    again = vf.total_statistics([parts[0], parts[2]])
    np.testing.assert_allclose(vf.fit_ridge(rest, 0.1).coefficients, vf.fit_ridge(again, 0.1).coefficients, atol=1e-10)
    with pytest.raises(ValueError, match="without: got 0 examples left"):
        vf.total_statistics(parts, without=parts)


@pytest.mark.parametrize("ridge", [1e-12, 1e-6, 0.1, 1e4])
def test_a_given_ridge_is_fitted_as_a_candidate_is(ridge):
    """A given ridge is solved by Cholesky, but for the smallest here; candidates in the eigenbasis."""
    phi, y, mask = features_of(TALL)
    total = vf.total_statistics(vf.client_statistics(phi, y, mask))
    given, candidate = vf.fit_ridge(total, ridge), vf.fit_ridge(total, ridges=np.array([ridge]))
    assert (given.ridge, given.path) == (candidate.ridge, None)
    scale = np.abs(candidate.coefficients).max()
    np.testing.assert_allclose(given.coefficients, candidate.coefficients, rtol=0, atol=1e-9 * scale)


def test_without_ridge_the_solution_has_least_norm():
    phi, y, mask = features_of(40)
    found = vf.fit_ridge(vf.total_statistics(vf.client_statistics(phi, y, mask)), 0.0)
    rows, targets = np.float64(phi)[mask], np.float64(y)[mask]
    np.testing.assert_allclose(found.coefficients, np.linalg.pinv(rows) @ targets, atol=1e-8)


@pytest.mark.parametrize("weights", ["num_examples", "uniform"])
def test_conjugate_gradients_solve_the_pooled_problem(weights):
    phi, y, mask = features_of(WIDE)
    seen = []
    fit = vf.conjugate_gradient_linear(
        phi,
        y,
        mask,
        rounds=20,
        ridge=0.1,
        weights=weights,
        evaluate=lambda theta: seen.append(theta) or {"n": len(seen)},
    )
    expected = pooled(phi, y, mask, 0.1, weights)
    np.testing.assert_allclose(fit.coefficients, expected, atol=1e-10 if phi.dtype == np.float64 else 1e-4)
    share = SIZES / SIZES.sum() if weights == "num_examples" else np.full(3, 1 / 3)
    theta = np.float64(seen[2])
    losses = [
        np.sum((np.float64(p[k]) @ theta - t[k]) ** 2) / (2 * k.sum()) for p, t, k in zip(phi, y, mask, strict=True)
    ]
    np.testing.assert_allclose(fit.objective[3], share @ losses + 0.05 * np.sum(theta**2), rtol=1e-4)
    assert (np.diff(fit.objective) < 1e-5).all()
    assert fit.evaluations["n"].tolist() == list(range(1, 21))


def test_standardising_by_sums_is_standardising_the_pool():
    phi, _, mask = features_of(WIDE)
    phi[:, :, 3] = 0.1  # constant, and not exactly representable
    phi[:, :, 4] += 1000.0  # a large mean, where a sum of squares would cancel
    rows = np.float64(phi)[mask]
    fitted = vf.fit_standardizer(jnp.asarray(phi), mask)
    np.testing.assert_allclose(fitted.mean, rows.mean(0), rtol=1e-13, atol=1e-13)
    others = np.arange(WIDE) != 3
    np.testing.assert_allclose(1 / fitted.scale[others], rows.std(0)[others], rtol=1e-10)
    assert fitted.scale[3] == 0
    assert not fitted(phi)[:, :, 3].any()


def hidden(params, x):
    return jnp.tanh(x @ params["first"])


def logits(params, x):
    return hidden(params, x) @ params["second"]


@pytest.fixture(scope="module")
def trained():
    params, clients = softmax_problem((12, 9, 12), seed=3)
    x, y = clients.x[clients.mask], np.asarray(clients.y[clients.mask])
    fits = {}
    for stage2 in ("scaffold", "fedavg", "one_shot", "cg"):
        fits[stage2] = vf.tct(
            logits,
            softmax_loss,
            params,
            clients,
            stage1=STAGE1,
            rounds1=2,
            features_fn=hidden,
            width=5,
            sketch=verax.ntk.Rademacher(20),
            stage2=stage2,
            rounds2=3,
            local_steps=10,
            ridge=None if stage2 != "cg" else 0.1,
            keep_features=True,
            key=jax.random.key(0),
            held_out=clients if stage2 == "one_shot" else None,
            test=(x, y),
        )
    return fits, params, clients, x, y


STAGE1 = vf.fedavg(softmax_loss, learning_rate=0.1, batch_size=4)


def test_tct_predicts_what_its_history_says(trained):
    fits, _, _, x, y = trained
    for stage2, fit in fits.items():
        scores = np.asarray(fit.predict(x))
        assert scores.shape == (len(y), NUM_CLASSES)
        if stage2 != "cg":  # whose columns go at their own pace; centred targets have rows that sum to zero
            np.testing.assert_allclose(scores.sum(1), 0, atol=1e-4)
        assert fit.history.accuracy[-1] == pytest.approx((scores.argmax(1) == y).mean()), stage2
        assert len(fit.history.accuracy) == 2 + (1 if stage2 == "one_shot" else 3)
        assert fit.history.accuracy[-1] > 1 / 3


def test_features_that_are_kept_are_those_of_the_clients(trained):
    fits, _, clients, x, _ = trained
    kept = np.asarray(fits["one_shot"].client_features)[np.asarray(clients.mask)]
    np.testing.assert_allclose(kept, fits["one_shot"].features(x), rtol=1e-5, atol=1e-5)


def test_the_ledger_counts_arrays(trained):
    fits, params, *_ = trained
    model = sum(leaf.nbytes for leaf in jax.tree.leaves(params))
    m, item, k = 20, params["first"].dtype.itemsize, 3
    message = k * m * NUM_CLASSES * item
    common = [("stage 1", 2 * k * model, 2 * k * model), ("standardisation", 2 * k * m * 8, 2 * k * m * 8)]
    rounds = [("stage 2", 3 * message, 3 * message)]
    step = [("step size", k * 8, k * 8)]
    statistics = k * (8 * (m * (m + 1) // 2 + m * NUM_CLASSES) + 16)
    assert list(fits["scaffold"].ledger) == [*common, *step, *rounds]
    assert list(fits["cg"].ledger) == [*common, ("right-hand side", message, 0), *rounds]
    one_shot = [("statistics", statistics, 0), ("model", 0, message), ("held-out statistics", statistics, 0)]
    assert list(fits["one_shot"].ledger) == common + one_shot
    for stage2, fit in fits.items():
        held_out = statistics if stage2 == "one_shot" else 0
        assert fit.history.total_bytes[-1] == sum(e.bytes_up + e.bytes_down for e in fit.ledger) - held_out


def test_held_out_risk_is_that_of_their_features(trained):
    fits, _, _, x, y = trained
    fit = fits["one_shot"]
    phi = np.float64(fit.features(x))
    targets = vf.class_targets(y, NUM_CLASSES, np.float64)
    path = vs.risk_path(vs.feature_spectrum(phi, targets, center=False), fit.risk.ridge)
    np.testing.assert_allclose(fit.risk.gcv, path.gcv, rtol=1e-4)
    assert fits["scaffold"].risk is None


def test_tct_survives_the_disk(trained, tmp_path):
    fits, _, _, x, _ = trained
    vf.save(fits["one_shot"], tmp_path / "tct.npz")
    again = vf.load(tmp_path / "tct.npz")
    with pytest.raises(ValueError, match="network: got None"):
        again.predict(x)
    np.testing.assert_array_equal(again.bind(features_fn=hidden).predict(x), fits["one_shot"].predict(x))
    assert again.ledger == fits["one_shot"].ledger


def test_features_at_initialisation_and_of_an_uncut_network(trained):
    _, params, clients, x, y = trained
    fit = vf.tct(
        logits,
        softmax_loss,
        params,
        clients,
        stage1=functools.partial(vf.fedavg, learning_rate=0.1),
        rounds1=0,
        stage2="one_shot",
        ridge=1e-3,
        key=jax.random.key(0),
    )
    assert fit.ledger[0] == ("stage 1", 0, 0)
    assert fit.ridge == 1e-3
    assert np.linalg.norm(fit.head["kernel"]) == pytest.approx(1.0, rel=1e-6)
    # The combination is drawn, not trained: its place among the features is empty.
    assert fit.features(x).shape[1] == 4 * 5 + 5 * 3 + 3
    assert (fit.standardizer.scale == 0).sum() >= 3
    assert (np.asarray(fit.predict(x)).argmax(1) == y).mean() > 0.5
