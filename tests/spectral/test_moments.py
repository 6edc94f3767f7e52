"""Sums over samples and streams of rows give the spectrum of the whole."""

import numpy as np
import pytest

from verax.spectral import feature_spectrum, moment_spectrum, risk_path

pytestmark = pytest.mark.double


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("block_rows", [7, 64, 1000])
def test_a_stream_of_rows_is_the_whole(tmp_path, rng, center, block_rows):
    features = rng.normal(size=(300, 20)) * np.arange(1.0, 21) ** -1.0 + 100.0
    features[:, 7] = features[:, 6]  # rank deficient
    targets = rng.normal(size=(300, 2)) + features[:, :2]
    np.save(tmp_path / "features.npy", features)
    mapped = np.load(tmp_path / "features.npy", mmap_mode="r")
    whole = feature_spectrum(features, targets, center=center, keep_eigenvectors=False)
    found = feature_spectrum(mapped, targets, center=center, keep_eigenvectors=False, block_rows=block_rows)
    assert (found.rank, found.null_count) == (whole.rank, whole.null_count)
    np.testing.assert_allclose(found.eigenvalues, whole.eigenvalues, rtol=1e-7)
    np.testing.assert_allclose(found.target_energy, whole.target_energy, rtol=1e-6, atol=1e-8)
    ridges = np.array([1e-3, 1.0])
    np.testing.assert_allclose(risk_path(found, ridges).gcv, risk_path(whole, ridges).gcv, rtol=1e-7)


def test_directions_are_those_of_the_features(rng):
    features = rng.normal(size=(50, 6))
    spectrum, directions = moment_spectrum(
        features.T @ features, features.T @ features[:, :1], 1.0, num_samples=50, center=False
    )
    projected = features @ directions
    np.testing.assert_allclose(projected.T @ projected / 50, np.diag(spectrum.eigenvalues), atol=1e-10)


@pytest.mark.bad_input
def test_what_cannot_be_streamed(rng):
    features = rng.normal(size=(30, 4))
    with pytest.raises(ValueError, match="keep_eigenvectors: got True, with block_rows; need False"):
        feature_spectrum(features, features[:, 0], block_rows=8)
    with pytest.raises(ValueError, match="block_rows: got 0; need an integer >= 1"):
        feature_spectrum(features, features[:, 0], keep_eigenvectors=False, block_rows=0)
    features[17, 2] = np.nan
    with pytest.raises(ValueError, match="NaN or infinity in rows 16 to 23"):
        feature_spectrum(features, np.arange(30.0), keep_eigenvectors=False, block_rows=8)
    with pytest.raises(ValueError, match="target_energy: got -1"):
        moment_spectrum(np.eye(2), np.ones((2, 1)), -1.0, num_samples=5)
