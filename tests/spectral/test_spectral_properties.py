"""Invariances that hold for every kernel, checked on drawn ones."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import verax.spectral as vs
from support.spectral_data import power_law_problem

pytestmark = pytest.mark.property

problems = st.builds(
    power_law_problem,
    st.integers(5, 25),
    st.integers(2, 40),
    seed=st.integers(0, 10_000),
    num_targets=st.integers(1, 3),
    alpha=st.floats(0, 1),
    noise=st.floats(0.1, 1),
    offset=st.floats(-2, 2),
)
fast = settings(max_examples=40, deadline=None, derandomize=True)


@fast
@given(problems, st.booleans(), st.floats(-6, 2), st.integers(0, 100))
def test_order_of_samples_and_rotation_of_targets_do_not_matter(p, center, log_ridge, seed):
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(p.targets))
    rotation, _ = np.linalg.qr(rng.normal(size=(p.targets.shape[1],) * 2))
    one = vs.risk_path(vs.kernel_spectrum(p.kernel, p.targets, center=center), 10.0**log_ridge)
    other = vs.kernel_spectrum(p.kernel[np.ix_(order, order)], p.targets[order] @ rotation, center=center)
    two = vs.risk_path(other, 10.0**log_ridge)
    for name in ("gcv", "loo", "train_risk", "df1", "df2", "standard_error"):
        np.testing.assert_allclose(getattr(one, name), getattr(two, name), rtol=1e-5, atol=1e-12, err_msg=name)


@fast
@given(problems, st.booleans())
def test_dimensions_and_effective_ridge_are_ordered(p, center):
    spectrum = vs.kernel_spectrum(p.kernel, p.targets, center=center)
    path = vs.risk_path(spectrum, np.geomspace(1e-4, 1e2, 7))
    assert (np.diff(path.df1) <= 0).all()
    assert (path.df2 <= path.df1 + 1e-9).all()
    assert (path.df1 <= spectrum.rank + center + 1e-9).all()
    assert (np.diff(path.effective_ridge) > 0).all()
    assert (path.effective_ridge >= path.ridge).all()
    assert (path.train_risk <= path.gcv + 1e-12).all()
    energy = spectrum.target_energy.sum() + spectrum.null_energy
    y = p.targets - p.targets.mean(0) * center
    np.testing.assert_allclose(energy, np.sum(y**2), rtol=1e-8)


@fast
@given(problems, st.floats(-4, 1))
def test_an_intercept_does_not_see_a_shift(p, log_ridge):
    ridge = 10.0**log_ridge
    shift = np.linspace(0, 1, len(p.targets))
    kernel = p.kernel + shift + shift[:, None] + 3  # adds constants to features, as far as differences can tell
    one = vs.risk_path(vs.kernel_spectrum(p.kernel, p.targets), ridge)
    two = vs.risk_path(vs.kernel_spectrum(kernel, p.targets + 5), ridge)
    np.testing.assert_allclose(two.gcv, one.gcv, rtol=1e-5)
    np.testing.assert_allclose(two.loo, one.loo, rtol=1e-5)
