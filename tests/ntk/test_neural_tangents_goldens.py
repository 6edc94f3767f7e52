"""Every method of `empirical_ntk` gives the kernels that neural-tangents 0.6.5 gave (``make_goldens.py``)."""

import numpy as np
import pytest

from support.ntk_goldens import NAMES, assert_kernel_close, golden
from verax import ntk

pytestmark = [pytest.mark.reference, pytest.mark.double]


def flattened(interleaved):
    """``[n1, n2, O, O]`` from neural-tangents' ``[n1, n2, a, a, b, b, ...]``."""
    num1, num2, *axes = interleaved.shape
    first = [2 + 2 * axis for axis in range(len(axes) // 2)]
    outputs = int(np.prod(axes[::2]))
    return interleaved.transpose(0, 1, *first, *(axis + 1 for axis in first)).reshape(num1, num2, outputs, outputs)


@pytest.mark.parametrize("method", ["jacobian", "structured", "vector_products"])
@pytest.mark.parametrize("name", NAMES)
def test_all_pairs_of_outputs(name, method):
    apply_fn, params, x1, x2, kernels = golden(name)
    full = ntk.empirical_ntk(apply_fn, params, x1, x2, output="full", method=method)
    assert_kernel_close(full, flattened(kernels["full/cross"]))


@pytest.mark.parametrize("name", [name for name in NAMES if name != "per_position"])
def test_trace_is_outputs_times_their_mean_kernel(name):
    apply_fn, params, x1, _, kernels = golden(name)
    trace = ntk.empirical_ntk(apply_fn, params, x1)
    num_outputs = kernels["full/same"].shape[-1]
    assert_kernel_close(trace, num_outputs * kernels["mean/same"])


def test_mean_is_over_all_output_axes():
    apply_fn, params, x1, x2, kernels = golden("per_position")
    assert_kernel_close(ntk.empirical_ntk(apply_fn, params, x1, x2, output="mean"), kernels["trace12/cross"])
