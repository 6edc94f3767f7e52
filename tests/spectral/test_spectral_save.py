import numpy as np
import pytest

import verax.spectral as vs
from support.spectral_data import power_law_problem

pytestmark = pytest.mark.double


def test_round_trip_of_a_spectrum_and_a_predictor(tmp_path):
    p = power_law_problem(20, 40, seed=0, num_targets=2)
    spectrum = vs.kernel_spectrum(p.kernel, p.targets)
    vs.save(spectrum, tmp_path / "spectrum.npz")
    again = vs.load(tmp_path / "spectrum.npz")
    assert type(again) is vs.Spectrum
    for name, one, two in zip(spectrum._fields, spectrum, again, strict=True):
        np.testing.assert_array_equal(one, two, err_msg=name)
    np.testing.assert_array_equal(vs.risk_path(again, [0.1]).gcv, vs.risk_path(spectrum, [0.1]).gcv)
    model = vs.kernel_ridge_fit(p.kernel, p.targets, 0.1)
    vs.save(model, tmp_path / "no_extension")
    np.testing.assert_array_equal(vs.load(tmp_path / "no_extension").predict(p.kernel), model.predict(p.kernel))


def test_a_failed_save_leaves_the_old_file(tmp_path):
    path = tmp_path / "model.npz"
    model = vs.kernel_ridge_fit(np.eye(3), np.arange(3.0), 0.1)
    vs.save(model, path)
    with pytest.raises(ValueError, match="ridge"):
        vs.save(model._replace(ridge=object()), path)
    assert [file.name for file in tmp_path.iterdir()] == ["model.npz"]
    np.testing.assert_array_equal(vs.load(path).dual_coefficients, model.dual_coefficients)


def test_strange_objects_and_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match="KernelRidge"):
        vs.save({"a": 1}, tmp_path / "x.npz")
    np.savez(tmp_path / "other.npz", a=np.ones(2))
    with pytest.raises(ValueError, match="header"):
        vs.load(tmp_path / "other.npz")
    np.save(tmp_path / "pickle.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"pickle|header"):
        vs.load(tmp_path / "pickle.npy")
