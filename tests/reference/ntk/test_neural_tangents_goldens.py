"""Every method of `empirical_ntk` gives the kernels that neural-tangents 0.6.5 gave (``make_goldens.py``)."""

import numpy as np
import pytest
from support.ntk_goldens import NAMES, assert_kernel_close, golden

from verax import ntk

METHODS = ("jacobian", "structured", "vector_products", "auto")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", [name for name in NAMES if name != "per_position"])
def test_empirical_ntk_equals_neural_tangents(name, method):
    apply_fn, params, x1, x2, kernels = golden(name)
    full = ntk.empirical_ntk(apply_fn, params, x1, x2, output="full", method=method)
    assert_kernel_close(full, kernels["full/cross"])
    mean = ntk.empirical_ntk(apply_fn, params, x1, output="mean", method=method)
    assert_kernel_close(mean, kernels["mean/same"])
    num_outputs = full.shape[-1]
    trace = ntk.empirical_ntk(apply_fn, params, x1, x2, output="trace", method=method)
    assert_kernel_close(trace, num_outputs * kernels["mean/cross"])
    last = ntk.empirical_ntk(apply_fn, params, x1, output=num_outputs - 1, method=method)
    assert_kernel_close(last, kernels["full/same"][:, :, -1, -1])
    summed = ntk.empirical_ntk(apply_fn, params, x1, x2, output="sum", method=method)
    assert_kernel_close(summed, kernels["full/cross"].sum((2, 3)))


@pytest.mark.parametrize("method", METHODS)
def test_all_output_axes_flatten(method):
    apply_fn, params, x1, x2, kernels = golden("per_position")
    interleaved = kernels["full/cross"]  # [n1, n2, positions, positions, channels, channels]
    num1, num2, positions, _, channels, _ = interleaved.shape
    outputs = positions * channels
    want = interleaved.transpose(0, 1, 2, 4, 3, 5).reshape(num1, num2, outputs, outputs)
    assert_kernel_close(ntk.empirical_ntk(apply_fn, params, x1, x2, output="full", method=method), want)
    mean = np.trace(want, axis1=2, axis2=3) / outputs
    np.testing.assert_allclose(mean, kernels["trace12/cross"], rtol=1e-10)
    assert_kernel_close(ntk.empirical_ntk(apply_fn, params, x1, x2, output="mean", method=method), mean)
