"""Columns of any scale: the estimator of the user's units, without the loss of digits."""

import numpy as np
import pytest

from verax.probe import RidgeProbe
from verax.spectral import moment_spectrum

pytestmark = pytest.mark.double


def table(n, p):
    rng = np.random.default_rng(5)
    time, ratio = 1.6e9 + 1e7 * rng.normal(size=n), 0.1 * rng.normal(size=n)
    return np.column_stack([time, ratio, rng.normal(size=(n, p - 2))]), (ratio > 0).astype(int)


@pytest.mark.parametrize("n", [100, 400])
def test_a_time_in_seconds_does_not_hide_a_ratio(n):
    x, y = table(n, 5)
    probe = RidgeProbe().fit(x, y)
    # The same estimator in other units: a ridge so small that the units do not matter.
    plain = RidgeProbe().fit((x - x.mean(0)) / x.std(0), y)
    assert probe.error_.value < 0.12  # one half where the time hides the ratio
    assert probe.error_.value == pytest.approx(plain.error_.value, abs=0.03)
    np.testing.assert_allclose(probe.coef_ * x.std(0), plain.coef_, atol=0.1)


def test_moments_of_graded_columns_keep_their_small_eigenvalues():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 6)) * np.array([1e8, 1e5, 1, 1e-2, 1e-4, 1e-5])
    x -= x.mean(0)
    spectrum, directions = moment_spectrum(x.T @ x, x.T @ x[:, 3:4], float(np.sum(x[:, 3] ** 2)), num_samples=300)
    expected = np.linalg.svd(x / 1e3, compute_uv=False) ** 2 * 1e6 / 300
    assert spectrum.rank == 6
    np.testing.assert_allclose(spectrum.eigenvalues[:4], expected[:4], rtol=1e-6)
    np.testing.assert_allclose(directions.T @ directions, np.eye(6), atol=1e-9)
