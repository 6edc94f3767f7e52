"""What every reference network promises."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from support.state_dicts import cifar_arrays, torchvision_arrays
from verax._tree import leaf_paths
from verax.models import cifar_resnet, features_of, mlp, resnet18, small_cnn, torchvision_resnet

SHAPES = {
    "mlp": (6, 4, 4, 1),
    "small_cnn": (6, 8, 8, 1),
    "group_norm_cnn": (6, 8, 8, 1),
    "resnet18": (6, 8, 8, 3),
    "cifar_resnet": (6, 8, 8, 3),
    "torchvision_resnet": (6, 32, 32, 3),
}


def assert_same_leaves(first, second):
    for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
        np.testing.assert_array_equal(a, b)


def make(name, seed=0, **options):
    key, rng = jax.random.key(seed), np.random.default_rng(seed)
    if name == "mlp":
        return mlp([16, 12, 8, 5], key=key)
    if name == "small_cnn":
        return small_cnn(5, key=key, **options)
    if name == "group_norm_cnn":
        return small_cnn(5, num_groups=8, key=key, **options)
    if name == "resnet18":
        return resnet18(5, width=4, key=key, **options)
    if name == "cifar_resnet":
        return cifar_resnet(cifar_arrays(rng, 1, num_outputs=5), **options)
    arrays = torchvision_arrays(rng, (1, 1, 1, 1), expansion=1, width=4, num_outputs=5)
    return torchvision_resnet(arrays, **options)


@pytest.mark.parametrize("name", SHAPES)
def test_jit_is_eager_vmap_is_batch_and_the_head_is_dense(rng, name):
    network, params = make(name)
    x = jnp.asarray(rng.normal(size=SHAPES[name]).astype(np.float32))
    features_fn, body, width = features_of(network, params)

    def all_ways(params, body, x):  # one compilation for the three
        return network(params, x), jax.vmap(lambda one: network(params, one[None])[0])(x), features_fn(body, x)

    logits, one_by_one, features = map(np.asarray, jax.jit(all_ways)(params, body, x))
    assert logits.shape == (6, network.num_outputs) == (6, 5)
    assert logits.dtype == np.float32
    assert features.shape == (6, width)
    tolerance = {"rtol": 1e-4, "atol": 1e-4 * float(np.abs(logits).max())}
    np.testing.assert_allclose(one_by_one, logits, **tolerance)
    if name != "resnet18":  # compiling each operation by itself takes too long there
        np.testing.assert_allclose(network(params, x), logits, **tolerance)
    head = {name: np.asarray(value) for name, value in params["head"].items()}
    np.testing.assert_allclose(features @ head["kernel"] + head["bias"], logits, **tolerance)


@pytest.mark.parametrize("name", SHAPES)
def test_every_parameter_is_float32_and_trainable(rng, name):
    network, params = make(name)
    x = jnp.asarray(rng.normal(size=SHAPES[name]).astype(np.float32))
    gradient = jax.jit(jax.grad(lambda params: jnp.square(network(params, x)).sum()))(params)
    gradient = jax.tree.map(np.asarray, gradient)
    for path, leaf, slope in zip(leaf_paths(params), jax.tree.leaves(params), jax.tree.leaves(gradient), strict=True):
        assert leaf.dtype == jnp.float32, path
        assert np.isfinite(slope).all(), path
        assert np.abs(slope).max() > 0, path
    assert not any("running" in path for path in leaf_paths(params))


@pytest.mark.parametrize("name", ["small_cnn", "group_norm_cnn", "resnet18", "cifar_resnet", "torchvision_resnet"])
def test_both_convolutions_give_the_same_network(rng, name):
    x = jnp.asarray(rng.normal(size=SHAPES[name]).astype(np.float32))
    im2col, native = (make(name, convolution=convolution) for convolution in ("im2col", "native"))
    assert all(
        bool((a == b).all()) for a, b in zip(jax.tree.leaves(im2col[1]), jax.tree.leaves(native[1]), strict=True)
    )
    want = np.asarray(jax.jit(native[0])(native[1], x))
    np.testing.assert_allclose(jax.jit(im2col[0])(im2col[1], x), want, rtol=1e-4, atol=1e-4 * np.abs(want).max())


@pytest.mark.parametrize("name", ["mlp", "small_cnn", "group_norm_cnn", "resnet18"])
def test_the_key_decides_the_parameters(name):
    first, again, other = ([np.asarray(leaf) for leaf in jax.tree.leaves(make(name, seed)[1])] for seed in (0, 0, 1))
    assert_same_leaves(first, again)
    kernels = [(a, b) for a, b in zip(first, other, strict=True) if a.ndim > 1]
    assert all((a != b).any() for a, b in kernels)
    # No two kernels of one network share their draws.
    assert len({float(a.reshape(-1)[0] / a.std()) for a, _ in kernels}) == len(kernels)


def test_training_mode_shares_parameters_and_couples_examples(rng):
    arrays = cifar_arrays(rng, 1)
    evaluation, params = cifar_resnet(arrays)
    training, same = cifar_resnet(arrays, train=True)
    assert_same_leaves(params, same)
    x = jnp.asarray(rng.normal(size=(4, 8, 8, 3)).astype(np.float32))
    changed = x.at[3].multiply(3.0)
    apply = jax.jit(lambda x: (evaluation(params, x)[0], training(params, x)[0]))
    (eval_before, train_before), (eval_after, train_after) = apply(x), apply(changed)
    np.testing.assert_allclose(eval_after, eval_before, rtol=1e-5, atol=1e-5)
    assert float(jnp.abs(train_after - train_before).max()) > 1e-2


def test_linear_model_is_affine(rng):
    network, params = mlp([3, 2], key=jax.random.key(0))
    x = rng.normal(size=(4, 3)).astype(np.float32)
    want = x @ np.asarray(params["head"]["kernel"]) + np.asarray(params["head"]["bias"])
    np.testing.assert_allclose(network(params, x), want, rtol=1e-5, atol=1e-6)


def test_resnet18_of_the_literature_has_its_parameter_count():
    params = jax.eval_shape(lambda: resnet18(10, key=jax.random.key(0))[1])
    # CIFAR ResNet-18 has 11,173,962 with batch norm; group norm's affine parameters are as many.
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 11_173_962


def test_double_precision(rng, x64):
    if not x64:
        pytest.skip("needs jax_enable_x64")
    network, params = make("cifar_resnet")
    x = rng.normal(size=(2, 8, 8, 3))
    exact = jax.jit(network)(jax.tree.map(lambda leaf: leaf.astype(jnp.float64), params), x)
    assert exact.dtype == jnp.float64
    np.testing.assert_allclose(jax.jit(network)(params, x.astype(np.float32)), exact, rtol=1e-3, atol=1e-3)
