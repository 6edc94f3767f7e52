"""Gauss and Gauss-Radau rules: the exact energy lies between them, and they meet."""

import jax
import numpy as np
import pytest

from verax.spectral import kernel_spectrum, quadrature_bounds

pytestmark = pytest.mark.double

RIDGES = np.array([1e-4, 1e-2, 1.0])


def problem(rank, *, center):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(120, rank)) * np.arange(1.0, rank + 1) ** -0.7
    targets = rng.normal(size=(120, 2)) + features[:, :2]
    kernel = features @ features.T
    middle = np.eye(120) - center / 120
    centred = middle @ targets
    exact = [
        float(np.sum(centred * np.linalg.solve(middle @ kernel @ middle / 120 + ridge * np.eye(120), centred)))
        for ridge in RIDGES
    ]
    return kernel, targets, np.array(exact)


@pytest.mark.parametrize("rank", [80, 200])  # with a null space, and without
@pytest.mark.parametrize("center", [True, False])
def test_the_exact_energy_lies_between_and_the_bounds_meet(rank, center):
    kernel, targets, exact = problem(rank, center=center)
    rounding, widths = 1e-8, []
    for steps in (4, 7, 12):
        spectrum = kernel_spectrum(
            kernel, targets, center=center, method="lanczos", num_steps=steps, key=jax.random.key(0)
        )
        bounds = quadrature_bounds(spectrum, RIDGES)
        assert (bounds.lower <= exact * (1 + rounding)).all()
        assert (bounds.upper >= exact * (1 - rounding)).all()
        widths.append(bounds.upper - bounds.lower)
    assert (widths[1] < widths[0]).all()
    assert (widths[2] < 1e-3 * exact)[1:].all()


def test_a_ridge_below_the_precision_has_no_upper_bound():
    kernel, targets, _ = problem(80, center=True)
    kernel = kernel.astype(np.float32)
    spectrum = kernel_spectrum(kernel, targets, method="lanczos", num_steps=6, key=jax.random.key(0))
    bounds = quadrature_bounds(spectrum, np.array([spectrum.precision_floor / 2, 1.0]))
    assert bounds.upper[0] == np.inf
    assert np.isfinite(bounds.upper[1])
    assert np.isfinite(bounds.lower).all()


@pytest.mark.bad_input
def test_what_has_no_bounds():
    kernel, targets, _ = problem(80, center=True)
    with pytest.raises(ValueError, match="spectrum: got an exact decomposition"):
        quadrature_bounds(kernel_spectrum(kernel, targets), 1.0)
    spectrum = kernel_spectrum(kernel, targets, method="lanczos", num_steps=4, key=jax.random.key(0))
    with pytest.raises(ValueError, match="ridges: got 0; need ridges > 0"):
        quadrature_bounds(spectrum, 0.0)
