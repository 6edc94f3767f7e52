"""The compiled assignment against the pure-JAX one, under every transformation."""

import concurrent.futures

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from support.native import needs_native
from verax import _native
from verax.matching import check_certificate, solve_assignment


@pytest.fixture(autouse=True)
def native():
    needs_native()


def problems(rng, batch, n, m, dtype):
    """Continuous weights, ties, and forbidden pairs, one third each."""
    weights = rng.normal(size=(batch, n, m))
    weights[::3] = rng.integers(-3, 4, (len(weights[::3]), n, m))
    weights[1::3] = np.where(rng.random((len(weights[1::3]), n, m)) < 0.5, -np.inf, weights[1::3])
    return weights.astype(dtype)


@pytest.mark.parametrize(
    ("shape", "allow_unmatched"), [((5, 5), True), ((5, 5), False), ((3, 7), True), ((7, 3), False)]
)
def test_agrees_with_pure_jax(rng, x64, shape, allow_unmatched):
    dtype = np.float64 if x64 else np.float32
    weights = problems(rng, 60, *shape, dtype)
    ours, truth = (
        solve_assignment(weights, allow_unmatched=allow_unmatched, implementation=name) for name in ("native", "xla")
    )
    np.testing.assert_array_equal(ours.status, truth.status)
    tolerance = 100 * np.finfo(dtype).eps
    np.testing.assert_allclose(ours.value, truth.value, rtol=tolerance, atol=tolerance)
    assert [x.dtype for x in ours] == [x.dtype for x in truth]
    assert ours.value.dtype == dtype
    gap = np.asarray(check_certificate(weights, ours, allow_unmatched=allow_unmatched).gap)
    np.testing.assert_allclose(gap[np.asarray(ours.status) == 0], 0, atol=tolerance)


def test_auto_is_native_on_cpu():
    text = jax.jit(solve_assignment).lower(jnp.eye(3)).as_text()
    assert _native.ASSIGNMENT in text
    text = jax.jit(lambda w: solve_assignment(w, implementation="xla")).lower(jnp.eye(3)).as_text()
    assert _native.ASSIGNMENT not in text


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
def test_export_for_other_devices_leaves_no_native_call(platform):
    exported = jax.export.export(jax.jit(solve_assignment), platforms=[platform])(
        jax.ShapeDtypeStruct((2, 3, 4), jnp.float32)
    )
    assert f"@{_native.ASSIGNMENT}" not in exported.mlir_module()


def test_vmap_is_one_call(rng):
    weights = rng.normal(size=(4, 3, 3, 5)).astype(np.float32)

    def solve(w):
        return solve_assignment(w, implementation="native")

    nested = jax.jit(jax.vmap(jax.vmap(solve)))
    for got, expected in zip(nested(weights), solve(weights), strict=True):
        np.testing.assert_array_equal(got, expected)
    assert nested.lower(weights).as_text().count(f"@{_native.ASSIGNMENT}") == 1


def test_gradient_is_the_matching(rng):
    weights = rng.normal(size=(6, 4, 5)).astype(np.float32)
    gradient = jax.vmap(jax.grad(lambda w: solve_assignment(w, implementation="native").value))(weights)
    matching = np.asarray(solve_assignment(weights).col_of_row)[..., None] == np.arange(5)
    np.testing.assert_array_equal(gradient, matching)
    tangent = rng.normal(size=weights.shape).astype(np.float32)
    _, slope = jax.jvp(lambda w: solve_assignment(w, implementation="native").value, (weights,), (tangent,))
    np.testing.assert_allclose(slope, (gradient * tangent).sum((1, 2)), rtol=1e-5, atol=1e-6)


def test_large_batch_and_concurrent_calls(rng):
    """Enough work for several threads, from several callers at once: each answer must be its own problem's."""
    weights = rng.normal(size=(200, 20, 25)).astype(np.float32)
    solve = jax.jit(lambda w: solve_assignment(w, implementation="native"))
    expected = np.asarray(solve(weights).value)
    one_by_one = [float(solve_assignment(w, implementation="native").value) for w in weights[:5]]
    np.testing.assert_allclose(expected[:5], one_by_one, rtol=1e-6)
    orders = [rng.permutation(200) for _ in range(8)]
    with concurrent.futures.ThreadPoolExecutor(4) as executor:
        results = list(executor.map(lambda order: np.asarray(solve(weights[order]).value), orders))
    for order, result in zip(orders, results, strict=True):
        np.testing.assert_array_equal(result, expected[order])


@pytest.mark.parametrize("implementation", ["auto", "xla"])
def test_shard_map_gathers_nothing(rng, implementation):
    mesh = jax.make_mesh((4,), ("batch",), axis_types=(AxisType.Auto,))
    spec = PartitionSpec("batch")
    weights = rng.normal(size=(8, 3, 4)).astype(np.float32)
    sharded = jax.device_put(weights, NamedSharding(mesh, spec))
    solve = jax.jit(
        jax.shard_map(
            lambda w: solve_assignment(w, implementation=implementation), mesh=mesh, in_specs=spec, out_specs=spec
        )
    )
    np.testing.assert_allclose(solve(sharded).value, solve_assignment(weights).value, rtol=1e-6)
    assert "all-gather" not in solve.lower(sharded).compile().as_text()


def test_float32_prices_are_computed_in_double_precision(rng):
    """A long chain of price rises would drift in float32; here prices are as exact as their rounding allows."""
    weights = (rng.random((60, 60)) + 1e4).astype(np.float32)
    result = solve_assignment(weights, allow_unmatched=False, implementation="native")
    exact = weights.astype(np.float64)
    slack = np.asarray(result.row_price, np.float64)[:, None] + np.asarray(result.col_price, np.float64) - exact
    assert slack.min() > -2 * np.spacing(np.float32(1e4))


def test_asking_for_native_where_it_is_off_fails_loudly(monkeypatch):
    monkeypatch.setattr(_native, "native_status", lambda: "off: VERAX_NATIVE=0")
    with pytest.raises(RuntimeError, match="off: VERAX_NATIVE=0"):
        solve_assignment(np.eye(2, dtype=np.float32), implementation="native")
    assert float(solve_assignment(np.eye(2, dtype=np.float32)).value) == 2
