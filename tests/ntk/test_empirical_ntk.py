"""All methods, blocks and outputs of the kernel against its definition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from support.ntk_networks import NETWORKS, arrays, inputs, reference_kernel
from verax.ntk import empirical_ntk, ntk_diagonal, ntk_plan

pytestmark = pytest.mark.double


def tolerance():
    """Relative to the largest entry: rounding of a few hundred additions."""
    return 1e-12 if jax.config.read("jax_enable_x64") else 2e-5


def assert_same(kernel, expected):
    assert kernel.shape == expected.shape
    assert float(jnp.abs(kernel - expected).max()) <= tolerance() * float(jnp.abs(expected).max())


@pytest.fixture(params=sorted(NETWORKS), scope="module")
def case(request):
    apply_fn, params, x = NETWORKS[request.param]()
    return request.param, apply_fn, params, x, reference_kernel(apply_fn, params, x)


def test_full_kernel_equals_the_jacobian_product(case):
    _, apply_fn, params, x, expected = case
    assert_same(empirical_ntk(apply_fn, params, x, output="full"), expected)


def test_trace_in_uneven_blocks(case):
    _, apply_fn, params, x, expected = case
    assert_same(empirical_ntk(apply_fn, params, x, block_size=2), jnp.einsum("ijoo->ij", expected))


@pytest.mark.parametrize("method", ["structured", "jacobian", "vector_products"])
def test_methods_agree_between_two_sets(method):
    apply_fn, params, x = NETWORKS["mlp"]()
    expected = reference_kernel(apply_fn, params, x, x[:3])
    kernel = empirical_ntk(apply_fn, params, x, x[:3], output="full", method=method, block_size=2)
    assert_same(kernel, expected)


def test_outputs_are_parts_of_the_full_kernel():
    apply_fn, params, x = NETWORKS["mlp"]()
    full = reference_kernel(apply_fn, params, x)
    trace = jnp.einsum("ijoo->ij", full)
    assert_same(empirical_ntk(apply_fn, params, x), trace)
    assert_same(empirical_ntk(apply_fn, params, x, output="mean"), trace / 3)
    assert_same(empirical_ntk(apply_fn, params, x, output="sum"), full.sum((2, 3)))
    assert_same(empirical_ntk(apply_fn, params, x, output=-1), full[:, :, 2, 2])


def test_diagonal_needs_no_pairs(case):
    _, apply_fn, params, x, expected = case
    assert_same(ntk_diagonal(apply_fn, params, x), jnp.einsum("iioo->i", expected))


def test_no_layer_falls_back(case):
    _, apply_fn, params, x, _ = case
    assert "fallback" not in {leaf.route for leaf in ntk_plan(apply_fn, params, x).leaves}


def test_routes_follow_the_cost():
    apply_fn, params, x = NETWORKS["convolutions"]()
    routes = {leaf.path: leaf.route for leaf in ntk_plan(apply_fn, params, x).leaves}
    assert routes["w"] == "hadamard"  # one position: Grams of inputs and of cotangents
    assert routes["k0"] == "contraction"  # many positions, few channels

    wide = arrays(0, w=(300, 200), b=(200,))
    plan = ntk_plan(lambda p, x: (x @ p["w"] + p["b"]).mean(1), wide, inputs(1, 4, 8, 300))
    assert {leaf.route for leaf in plan.leaves} == {"hadamard"}


def test_hadamard_over_positions_equals_contraction():
    params = arrays(0, w=(120, 90), b=(90,))

    def apply_fn(p, x):
        return jnp.tanh(x @ p["w"] + p["b"]).sum((1, 2))

    x = inputs(1, 6, 4, 120)
    assert {leaf.route for leaf in ntk_plan(apply_fn, params, x).leaves} == {"hadamard"}
    assert_same(
        empirical_ntk(apply_fn, params, x, method="structured"),
        empirical_ntk(apply_fn, params, x, method="jacobian"),
    )


def test_large_block_is_computed_by_halves():
    params = arrays(0, w=(6, 5), v=(5, 2))

    def apply_fn(p, x):
        return jnp.tanh(x @ p["w"]) @ p["v"]

    x = inputs(1, 300, 6)
    kernel = empirical_ntk(apply_fn, params, x)
    assert_same(kernel, jnp.einsum("ijoo->ij", reference_kernel(apply_fn, params, x)))
    assert_same(kernel, kernel.T)


def test_param_filter_selects_leaves_by_path():
    apply_fn, params, x = NETWORKS["mlp"]()
    seen = []

    def only_first(path, leaf):
        seen.append((path, leaf.shape))
        return path.endswith("0")

    part = empirical_ntk(apply_fn, params, x, param_filter=only_first)
    rest = empirical_ntk(apply_fn, params, x, param_filter=lambda path, leaf: not path.endswith("0"))
    assert seen[:2] == [("b0", (6,)), ("b1", (6,))]
    assert_same(part + rest, empirical_ntk(apply_fn, params, x))


def test_examples_may_be_trees_and_parameters_lists():
    params = [arrays(0, w=(3, 2)), arrays(1, v=(4, 2))]
    x = {"left": inputs(2, 5, 3), "right": inputs(3, 5, 4)}

    def apply_fn(p, x):
        return x["left"] @ p[0]["w"] + x["right"] @ p[1]["v"]

    expected = 2 * (x["left"] @ x["left"].T + x["right"] @ x["right"].T)
    assert_same(empirical_ntk(apply_fn, params, x), expected)
    assert [leaf.path for leaf in ntk_plan(apply_fn, params, x).leaves] == ["0/w", "1/v"]


def test_jit_vmap_and_grad():
    apply_fn, params, x = NETWORKS["shared"]()
    expected = empirical_ntk(apply_fn, params, x)
    assert_same(jax.jit(lambda p, x: empirical_ntk(apply_fn, p, x, block_size=3))(params, x), expected)

    closed_over = jax.jit(lambda scale: scale * empirical_ntk(apply_fn, params, x))
    assert_same(closed_over(jnp.ones((), x.dtype)), expected)

    doubled = jax.tree.map(lambda leaf: jnp.stack([leaf, 0.5 * leaf]), params)
    batched = jax.vmap(lambda p: empirical_ntk(apply_fn, p, x))(doubled)
    assert_same(batched[0], expected)

    def through_kernel(p):
        return empirical_ntk(apply_fn, p, x).sum()

    def through_definition(p):
        return jnp.einsum("ijoo->", reference_kernel(apply_fn, p, x))

    got, want = jax.grad(through_kernel)(params), jax.grad(through_definition)(params)
    for path in want:
        np.testing.assert_allclose(got[path], want[path], atol=50 * tolerance() * float(jnp.abs(want[path]).max()))


def test_permutation_of_examples_permutes_the_kernel():
    apply_fn, params, x = NETWORKS["convolutions"]()
    order = np.array([3, 0, 4, 1, 2])
    kernel = empirical_ntk(apply_fn, params, x)
    assert_same(empirical_ntk(apply_fn, params, x[order]), kernel[order][:, order])
    assert float(np.linalg.eigvalsh(np.asarray(kernel, np.float64)).min()) >= -1e-4


def test_plan_respects_the_budget():
    params = arrays(0, w=(64, 64), v=(64, 1))

    def apply_fn(p, x):
        return jnp.tanh(jnp.tanh(x @ p["w"]).mean(1) @ p["v"])

    x = inputs(1, 200, 30, 64)
    roomy = ntk_plan(apply_fn, params, x)
    tight = ntk_plan(apply_fn, params, x, memory_budget=2_000_000)
    assert roomy.formed == 1
    assert tight.block_size < roomy.block_size
    assert tight.formed > 200 / tight.block_size  # factors do not all fit, so some blocks are formed again
    assert tight.bytes <= 2_000_000
    kernel = empirical_ntk(apply_fn, params, x, memory_budget=2_000_000)
    assert_same(kernel, empirical_ntk(apply_fn, params, x))


def test_plan_is_a_table():
    apply_fn, params, x = NETWORKS["mlp"]()
    plan = ntk_plan(apply_fn, params, x)
    lines = str(plan).splitlines()
    assert len(lines) == len(plan.leaves) + 2
    assert "bias, one more input feature" in str(plan)
    assert plan.flops > 0
    assert all(leaf.bytes >= 0 for leaf in plan.leaves)


def test_a_second_call_compiles_nothing():
    apply_fn, params, x = NETWORKS["mlp"]()
    traced = []

    def counted(p, x):
        traced.append(1)
        return apply_fn(p, x)

    empirical_ntk(counted, params, x)
    first = len(traced)
    empirical_ntk(counted, params, x + 1)
    assert len(traced) == first


def test_half_precision_accumulates_in_single():
    apply_fn, params, x = NETWORKS["mlp"]()
    half = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), params)
    kernel = empirical_ntk(apply_fn, half, x.astype(jnp.bfloat16))
    exact = empirical_ntk(apply_fn, params, x)
    assert kernel.dtype == jnp.float32
    assert float(jnp.abs(kernel - exact.astype(jnp.float32)).max()) < 0.1 * float(exact.max())


def test_progress_is_drawn_on_request(capsys):
    apply_fn, params, x = NETWORKS["mlp"]()
    empirical_ntk(apply_fn, params, x, block_size=2, progress=True)
    assert "kernel tiles" in capsys.readouterr().out
