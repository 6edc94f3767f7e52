"""A sketch acts as more ridge: against the self-consistent equation of the population."""

import numpy as np
import pytest
from scipy.optimize import brentq

import verax.spectral as vs

pytestmark = pytest.mark.double

N, P, K = 1200, 1500, 500


def test_the_effective_ridge_solves_the_equation_of_the_population():
    rng = np.random.default_rng(0)
    population = np.arange(1, P + 1) ** -1.5
    features = rng.normal(size=(N, P)) * np.sqrt(population)
    sketched = features @ rng.normal(size=(P, K)) / np.sqrt(K)
    ridges = np.array([1e-4, 1e-3, 1e-2])
    path = vs.risk_path(vs.feature_spectrum(sketched, features[:, :3], center=False), ridges)
    found = vs.sketch_bias(path, K)
    for ridge, kappa, share in zip(ridges, found.effective_ridge, found.share, strict=True):

        def gap(log_kappa, ridge=ridge):
            kappa = np.exp(log_kappa)
            df1 = np.sum(population / (population + kappa))
            return (1 - df1 / N) * (1 - df1 / K) * kappa - ridge if df1 < min(N, K) else -ridge

        expected = np.exp(brentq(gap, np.log(ridge), np.log(100.0)))
        assert kappa == pytest.approx(expected, rel=0.02)
        assert share == pytest.approx(np.sum(population / (population + expected)) / K, rel=0.02)
    assert found.reliable.tolist() == (found.share <= 0.2).tolist()


def test_an_intercept_is_no_sketched_feature():
    features = np.random.default_rng(1).normal(size=(60, 5))
    path = vs.risk_path(vs.feature_spectrum(features, features[:, 0]), [1e-12])
    found = vs.sketch_bias(path, 5)
    assert found.share[0] == pytest.approx(1, abs=1e-6)
    assert not found.reliable[0]


@pytest.mark.bad_input
def test_bad_widths():
    path = vs.risk_path(vs.feature_spectrum(np.eye(6), np.arange(6.0)), [0.1])
    with pytest.raises(ValueError, match="num_features: got 0"):
        vs.sketch_bias(path, 0)
