"""Compiled rounds of MatchUCB against the scan."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from support.native import needs_native
from verax.matching import Market, Typed, Unstructured, match_ucb, random_market, simulate

ROUNDS = 200


@pytest.fixture(autouse=True)
def native():
    needs_native()


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((4, 4), {"horizon": ROUNDS, "prices": "midpoint"}),
        ((3, 5), {"horizon": None, "prices": "row_optimal"}),
        ((5, 3), {"horizon": ROUNDS, "prices": "column_optimal", "fee": 0.3}),
    ],
)
def test_plays_the_same_rounds(x64, shape, options):
    if not x64:
        pytest.skip("rounding decides between prices in single precision")
    market = Market(*(side.astype(jnp.float64) for side in random_market(*shape, key=jax.random.key(3))))
    policy = match_ucb(Unstructured(), confidence_scale=1.0, **options)
    ours, theirs = (
        simulate(policy, market, horizon=ROUNDS, key=jax.random.key(1), implementation=name)
        for name in ("native", "xla")
    )
    np.testing.assert_array_equal(ours.outcome.match, theirs.outcome.match)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)


def test_equal_in_distribution():
    market = random_market(3, 3, key=jax.random.key(0))
    keys = jax.random.split(jax.random.key(1), 32)
    regret = {}
    for name in ("native", "xla"):
        policy = match_ucb(Unstructured(), horizon=300, confidence_scale=1.0)

        def run(key, policy=policy, name=name):
            return simulate(policy, market, horizon=300, key=key, implementation=name).instability.sum()

        regret[name] = np.asarray(jax.jit(jax.vmap(run))(keys))
    deviation = np.sqrt(sum(r.var(ddof=1) / len(keys) for r in regret.values()))
    assert abs(regret["native"].mean() - regret["xla"].mean()) < 5 * deviation


def test_what_it_cannot_play_is_refused():
    market = random_market(2, 2, key=jax.random.key(0))
    policy = match_ucb(Typed([0, 0], [0, 1]), horizon=10)
    with pytest.raises(ValueError, match="implementation: got 'native'; need match_ucb with Unstructured"):
        simulate(policy, market, horizon=10, key=jax.random.key(1), implementation="native")
