"""Both ways to convolve, against each other and against sums written out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from verax.models._conv import choose_convolution, conv2d


def written_out(x, kernel, stride, padding):
    x = np.pad(np.asarray(x, np.float64), ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    height, width = kernel.shape[:2]
    rows, columns = (x.shape[1] - height) // stride + 1, (x.shape[2] - width) // stride + 1
    out = np.zeros((len(x), rows, columns, kernel.shape[3]))
    for row in range(rows):
        for column in range(columns):
            window = x[:, row * stride : row * stride + height, column * stride : column * stride + width]
            out[:, row, column] = np.einsum("nijc,ijco->no", window, np.asarray(kernel, np.float64))
    return out


@pytest.mark.parametrize("convolution", ["im2col", "native"])
@pytest.mark.parametrize(
    ("size", "window", "stride", "padding"),
    [
        ((5, 6), (3, 3), 1, 1),
        ((5, 6), (3, 3), 2, 1),
        ((6, 5), (1, 1), 2, 0),
        ((7, 9), (7, 5), 2, 3),
        ((4, 4), (4, 4), 3, 0),
    ],
)
def test_against_written_out_sums(rng, convolution, size, window, stride, padding):
    x = rng.normal(size=(2, *size, 3)).astype(np.float32)
    kernel = rng.normal(size=(*window, 3, 4)).astype(np.float32)
    got = conv2d(jnp.asarray(x), jnp.asarray(kernel), stride=stride, padding=padding, convolution=convolution)
    np.testing.assert_allclose(got, written_out(x, kernel, stride, padding), rtol=1e-4, atol=1e-4)


def test_gradients_agree_one_by_one_under_vmap_and_in_a_scan(rng):
    x = jnp.asarray(rng.normal(size=(4, 6, 6, 2)).astype(np.float32))
    kernels = jnp.asarray(rng.normal(size=(3, 3, 3, 2, 3)).astype(np.float32))

    def results(convolution):
        def loss(kernel, x):
            return jnp.square(conv2d(x, kernel, stride=2, padding=1, convolution=convolution)).sum()

        gradient = jax.grad(loss, argnums=(0, 1))
        _, in_scan = jax.lax.scan(lambda carry, kernel: (carry, gradient(kernel, x)), None, kernels)
        return {
            "over kernels": jax.vmap(gradient, (0, None))(kernels, x),
            "scan": in_scan,
            "over examples": jax.vmap(gradient, (None, 0))(kernels[0], x[:, None]),
        }

    im2col, native = jax.jit(results, static_argnums=0)("im2col"), jax.jit(results, static_argnums=0)("native")
    for name, value in im2col.items():
        for got, want in zip(value, native[name], strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-3, err_msg=name)
    for got, want in zip(im2col["scan"], im2col["over kernels"], strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("convolution", ["im2col", "native"])
def test_the_kernel_enters_one_operation_unchanged(rng, convolution):
    x, kernel = jnp.zeros((2, 5, 5, 3)), jnp.zeros((3, 3, 3, 4))
    jaxpr = jax.make_jaxpr(lambda kernel: conv2d(x, kernel, padding=1, convolution=convolution))(kernel).jaxpr
    users = [equation for equation in jaxpr.eqns if jaxpr.invars[0] in equation.invars]
    assert [user.primitive.name for user in users] == [
        {"im2col": "dot_general", "native": "conv_general_dilated"}[convolution]
    ]


def test_choice_by_backend_and_depth():
    with jax.default_device(jax.devices("cpu")[0]):
        assert choose_convolution("auto", num_layers=3) == "im2col"
        assert choose_convolution("auto", num_layers=20) == "native"
    with jax.default_device("gpu"):  # read, not used
        assert choose_convolution("auto", num_layers=3) == "native"
    assert choose_convolution("native", num_layers=3) == "native"
    assert choose_convolution("im2col", num_layers=20) == "im2col"


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((5, 5, 3), {}, "^x: got shape"),
        ((1, 5, 5, 2), {}, "^x: got 2 channels; need 3"),
        ((1, 2, 5, 3), {}, "^x: got images of 2 by 5 pixels"),
        ((1, 5, 5, 3), {"stride": 0}, "^stride"),
        ((1, 5, 5, 3), {"padding": -1}, "^padding"),
    ],
)
def test_bad_input(shape, options, message):
    with pytest.raises(ValueError, match=message):
        conv2d(jnp.zeros(shape), jnp.zeros((3, 3, 3, 4)), **({"convolution": "native"} | options))
