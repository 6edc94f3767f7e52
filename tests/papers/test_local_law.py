import numpy as np
import pytest

from verax.papers.gcv.local_law import LAW_TOLERANCE, law_sizes, local_law


def kernel(rescaling, num_features=400, num_samples=900):
    rng = np.random.default_rng(3)
    features = rng.normal(size=(num_samples, num_features)) * np.arange(1, num_features + 1) ** -0.6
    features = features * np.exp(rescaling * rng.normal(size=num_samples))[:, None]
    return features, features @ features.T


def test_the_left_side_is_the_quadratic_form_of_the_features():
    features, k = kernel(0.0, num_features=30, num_samples=90)
    held = np.arange(60, 90)
    size, ridge = 20, 0.3
    covariance = features[:size].T @ features[:size] / size
    direct = ridge * np.sum(features[held] @ np.linalg.inv(covariance + ridge * np.eye(30)) * features[held], axis=1)
    quadratic = np.diagonal(k)[held] - np.sum(
        k[np.ix_(held, np.arange(size))] @ np.linalg.inv(k[:size, :size] + size * ridge * np.eye(size))
        * k[np.ix_(held, np.arange(size))], axis=1,
    )  # fmt: skip
    np.testing.assert_allclose(quadratic, direct, rtol=1e-9)
    quantiles, shares = local_law(k, (60,), 60, held, np.array([ridge]))
    np.testing.assert_allclose(quantiles, 1, atol=1e-3)  # a fit against itself
    assert shares.tolist() == [[1.0]]


@pytest.mark.parametrize(("rescaling", "holds"), [(0.0, True), (0.75, False)])
def test_the_law_holds_for_gaussian_rows_and_not_for_rows_of_very_different_size(rescaling, holds):
    _, k = kernel(rescaling)
    ridges = np.array([1e-3, 1e-2]) * np.mean(np.diagonal(k))
    _, shares = local_law(k, (200,), 600, np.arange(600, 900), ridges)
    assert (shares.mean() >= 0.9) == holds


def test_sizes_are_small_beside_the_largest():
    assert law_sizes((250, 500, 1000, 2000, 4000)) == (500, 1000)
    assert law_sizes((32, 64)) == ()
    assert LAW_TOLERANCE == 0.1
