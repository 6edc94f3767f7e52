"""Every number of a fit against plain refits by scikit-learn."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from verax.probe import RidgeProbe
from verax.probe._blocks import NUM_FOLDS, draw_folds, plan
from verax.probe._decomposition import PARTS
from verax.probe._dual import Dual
from verax.probe._primal import Primal
from verax.spectral import feature_spectrum, risk_path

pytestmark = [pytest.mark.reference, pytest.mark.double]

RIDGE = 0.05


def problem(n, p, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, p)) * np.arange(1, p + 1) ** -0.5 + 3.0
    return x, np.eye(3)[np.argmax(x[:, :3] + 0.3 * rng.normal(size=(n, 3)), axis=1)]


def refit(x, y, rows, ridge):
    # Leaving one out keeps the penalty of the sum of squares.
    return Ridge(alpha=ridge, solver="svd", tol=1e-12).fit(x[rows], y[rows])


@pytest.fixture(scope="module", params=[(80, 12), (80, 130)], ids=["primal", "dual"])
def fitted(request):
    n, p = request.param
    x, y = problem(n, p)
    work = plan(n, p, 3, None)._replace(block_rows=17, block_columns=9)
    folds = draw_folds(n, NUM_FOLDS)
    decomposition = (Primal if work.primal else Dual)(x, y, folds, work)
    assert work.primal == (p <= n)
    return x, y, folds, decomposition


def test_coefficients(fitted):
    x, y, _, decomposition = fitted
    expected = refit(x, y, slice(None), len(x) * RIDGE)
    found = decomposition.predictor(RIDGE)
    np.testing.assert_allclose(found.coefficients.T, expected.coef_, atol=1e-9)
    np.testing.assert_allclose(found.intercept, expected.intercept_, atol=1e-8)


def test_leave_one_out_is_n_refits(fitted):
    x, y, _, decomposition = fitted
    expected = np.stack(
        [refit(x, y, np.arange(len(x)) != i, len(x) * RIDGE).predict(x[i : i + 1])[0] for i in range(len(x))]
    )
    found = decomposition.leave_one_out(RIDGE)
    np.testing.assert_allclose(found.predictions, expected, atol=1e-8)
    risks = decomposition.loo_risks(np.array([RIDGE, 1.0]))
    np.testing.assert_allclose(risks[0], np.mean(np.sum((y - expected) ** 2, axis=1)), rtol=1e-8)


def test_spectrum_is_that_of_the_features(fitted):
    x, y, _, decomposition = fitted
    ridges = np.geomspace(1e-3, 1, 5)
    found, expected = (risk_path(s, ridges) for s in (decomposition.spectrum, feature_spectrum(x, y)))
    for name in ("gcv", "df1", "df2", "effective_ridge", "train_risk", "bias_plus_noise"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-8, err_msg=name)


def test_parts_are_fits_to_their_rows(fitted):
    x, y, folds, decomposition = fitted
    fits = [
        decomposition.fit_part(part, lambda spectrum, ridge=ridge: (risk_path(spectrum, [ridge]), ridge))
        for part, ridge in [(PARTS[2][1], RIDGE), (PARTS[8][2], 0.3)]
    ]
    found = [np.full(y.shape, np.nan) for _ in fits]
    for index, part in decomposition.held_out(fits):
        found[index][part.rows] = part.predictions
    for (part, path, ridge, _), predictions in zip(fits, found, strict=True):
        inside = np.isin(folds, part)
        assert np.isnan(predictions[inside]).all()
        expected = refit(x, y, inside, inside.sum() * ridge).predict(x[~inside])
        np.testing.assert_allclose(predictions[~inside], expected, atol=1e-8)
        expected = risk_path(feature_spectrum(x[inside], y[inside]), [ridge])
        np.testing.assert_allclose(path.gcv, expected.gcv, rtol=1e-8)


@pytest.mark.parametrize(("n", "p"), [(80, 12), (80, 130)])
def test_primal_and_dual_agree_on_either_side(n, p):
    x, y = problem(n, p, seed=1)
    folds = draw_folds(n, NUM_FOLDS)
    work = plan(n, p, 3, None)
    primal, dual = Primal(x, y, folds, work), Dual(x, y, folds, work)
    a, b = primal.leave_one_out(RIDGE), dual.leave_one_out(RIDGE)
    np.testing.assert_allclose(a.predictions, b.predictions, atol=1e-9)
    np.testing.assert_allclose(a.leverage, b.leverage, atol=1e-9)
    np.testing.assert_allclose(primal.predictor(RIDGE).coefficients, dual.predictor(RIDGE).coefficients, atol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int16, np.uint8, np.bool_])
def test_any_real_dtype_counts_as_its_float64_values(dtype, rng):
    x = (rng.normal(size=(70, 5)) * 3 + 10).astype(dtype)
    x = rng.random((70, 5)) > 0.5 if dtype == np.bool_ else x
    y = rng.integers(0, 2, 70)
    a, b = RidgeProbe().fit(x, y), RidgeProbe().fit(x.astype(np.float64), y)
    np.testing.assert_allclose(a.coef_, b.coef_, rtol=1e-9, atol=1e-12)
    assert a.law_.duplicates == b.law_.duplicates
