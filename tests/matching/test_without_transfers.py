"""Markets whose agents cannot pay one another: deferred acceptance and instability, against enumeration."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from verax.matching import (
    Market,
    Unstructured,
    compute_match,
    deferred_acceptance,
    is_stable,
    ntu_subset_instability,
    ntu_ucb,
    random_market,
    simulate,
    subset_instability,
)

pytestmark = pytest.mark.double


def blocks(customer, provider, match, tolerance=0.0):
    """Whether some agent or pair would rather leave, by definition."""
    n, m = customer.shape
    got = np.array([customer[i, match[i]] if match[i] >= 0 else 0 for i in range(n)])
    held = np.zeros(m)
    for i in range(n):
        if match[i] >= 0:
            held[match[i]] = provider[i, match[i]]
    pair = (customer > got[:, None] + tolerance) & (provider > held + tolerance)
    return bool(pair.any() or (got < -tolerance).any() or (held < -tolerance).any())


def least_subsidy(customer, provider, match):
    """Minimum over all combinations of thresholds."""
    n, m = customer.shape
    got = np.array([customer[i, match[i]] if match[i] >= 0 else 0 for i in range(n)])
    held = np.zeros(m)
    for i in range(n):
        if match[i] >= 0:
            held[match[i]] = provider[i, match[i]]
    gains = [customer[i] - got[i] for i in range(n)] + [provider[:, j] - held[j] for j in range(m)]
    levels = [
        sorted({max(0, -now)} | {g for g in gain if g > max(0, -now)})
        for gain, now in zip(gains, [*got, *held], strict=True)
    ]
    feasible = (
        sum(s)
        for s in itertools.product(*levels)
        if all(s[i] >= gains[i][j] - 1e-9 or s[n + j] >= gains[n + j][i] - 1e-9 for i in range(n) for j in range(m))
    )
    return min(feasible)


def matches(n, m):
    """All matches of n customers with m providers."""
    return [
        np.array(match)
        for match in itertools.product(range(-1, m), repeat=n)
        if len({j for j in match if j >= 0}) == sum(j >= 0 for j in match)
    ]


@pytest.mark.parametrize("proposing", ["customers", "providers"])
def test_deferred_acceptance_is_stable_and_best_for_those_who_propose(rng, proposing):
    customer, provider = rng.uniform(-0.5, 1, (2, 20, 3, 3)).astype(np.float32)
    found = np.asarray(deferred_acceptance(Market(customer, provider), proposing=proposing))
    for k in range(20):
        u, p = customer[k], provider[k]
        assert not blocks(u, p, found[k])
        stable = [match for match in matches(3, 3) if not blocks(u, p, match)]
        side = u if proposing == "customers" else p

        def worth(match, side=side):
            return sum(side[i, match[i]] for i in range(3) if match[i] >= 0)

        assert worth(found[k]) == pytest.approx(max(worth(match) for match in stable))


def test_deferred_acceptance_without_acceptable_partners():
    refuse = Market(-jnp.ones((2, 2)), jnp.ones((2, 2)))
    assert deferred_acceptance(refuse).tolist() == [-1, -1]
    assert deferred_acceptance(Market(jnp.full((2, 2), jnp.nan), jnp.ones((2, 2)))).tolist() == [-1, -1]
    assert deferred_acceptance(Market(jnp.zeros((2, 0)), jnp.zeros((2, 0)))).tolist() == [-1, -1]


@pytest.mark.costly
def test_least_subsidy_without_transfers(rng):
    for _ in range(25):
        n, m = rng.integers(1, 4, 2)
        customer, provider = rng.uniform(-1, 1, (2, n, m))
        options = matches(n, m)
        match = options[rng.integers(len(options))]
        market = Market(*(jnp.asarray(x) for x in (customer, provider)))
        unstable = ntu_subset_instability(market, match)
        as_given = [np.asarray(x, np.float64) for x in market]
        np.testing.assert_allclose(unstable.value, least_subsidy(*as_given, match), atol=1e-5)
        assert bool(unstable.coalition.any()) == blocks(*as_given, match)


def test_non_finite_utilities_have_a_status():
    market = Market(jnp.array([[[1.0]], [[jnp.nan]]]), jnp.ones((2, 1, 1)))
    unstable = ntu_subset_instability(market, np.array([[-1], [-1]]))
    assert unstable.status.tolist() == [0, 2]
    assert np.isnan(unstable.value[1])


@pytest.mark.costly
def test_learning_without_transfers():
    market = random_market(3, 3, key=jax.random.key(0))
    history = simulate(
        ntu_ucb(Unstructured(), horizon=400, confidence_scale=1.0), market, horizon=400, key=jax.random.key(1)
    )
    rounds = Market(*(jnp.broadcast_to(side, (400, 3, 3)) for side in market))
    value = np.asarray(ntu_subset_instability(rounds, history.outcome.match).value)
    assert value[-50:].mean() < 0.5 * value[:50].mean()


def test_width_slack_is_stable_and_has_no_less_slack_than_other_rules(rng):
    dtype = jnp.zeros(()).dtype
    upper = [jnp.asarray(x, dtype) for x in rng.uniform(-1, 1, (2, 4, 5))]
    lower = [u - jnp.asarray(rng.random((4, 5)), dtype) for u in upper]
    market, below = Market(*upper), Market(*lower)

    def counted(outcome):
        match = np.asarray(outcome.match)
        row, col = np.array(outcome.customer_transfer, float), np.array(outcome.provider_transfer, float)
        widths = [np.zeros(4), np.zeros(5)]
        other = np.ones((4, 5), bool)
        for i in np.flatnonzero(match >= 0):
            j = match[i]
            row[i] += upper[0][i, j]
            col[j] += upper[1][i, j]
            widths[0][i], widths[1][j] = (float(u[i, j] - v[i, j]) for u, v in zip(upper, lower, strict=True))
            other[i, j] = False
        slack = row[:, None] + col - np.asarray(upper[0] + upper[1])
        cap = widths[0][:, None] + widths[1]
        return np.minimum(slack, cap)[other].sum() + np.minimum(row, widths[0]).sum() + np.minimum(col, widths[1]).sum()

    rules = {
        rule: compute_match(market, lower=below, prices=rule) for rule in ("midpoint", "row_optimal", "width_slack")
    }
    assert all(bool(is_stable(market, outcome, tolerance=1e-5)) for outcome in rules.values())
    assert counted(rules["width_slack"]) >= max(counted(outcome) for outcome in rules.values()) - 1e-4


@pytest.mark.costly
def test_compute_match_keeps_instability_below_the_widths(rng):
    truth = Market(*(jnp.asarray(x, jnp.float32) for x in rng.uniform(-1, 1, (2, 30, 3, 4))))
    width = jnp.asarray(rng.random((2, 30, 3, 4)), jnp.float32)
    upper = Market(*(u + w for u, w in zip(truth, width, strict=True)))
    outcome = compute_match(upper)
    matched = jax.nn.one_hot(outcome.match, 4, dtype=jnp.float32)
    bound = (matched * width.sum(0)).sum((1, 2))
    assert (subset_instability(truth, outcome).value <= bound + 1e-5).all()
    lower = Market(*(u - w for u, w in zip(truth, width, strict=True)))
    paid = compute_match(upper, lower=lower, fee=0.25)
    eased = paid._replace(
        customer_transfer=paid.customer_transfer + 0.25, provider_transfer=paid.provider_transfer + 0.25
    )
    np.testing.assert_allclose(subset_instability(truth, eased).value, 0, atol=1e-5)


@pytest.mark.bad_input
def test_bad_input():
    market = Market(np.ones((2, 2), np.float32), np.ones((2, 2), np.float32))
    for call, message in (
        (lambda: deferred_acceptance(market, proposing="both"), "proposing: got 'both'"),
        (lambda: compute_match(market, fee=-1), "fee: got -1"),
        (lambda: compute_match(market, fee=1.0), "lower: got None"),
        (lambda: compute_match(market, prices="width_slack"), "lower: got None"),
        (lambda: compute_match(market, prices="fair"), "prices: got 'fair'"),
        (lambda: ntu_subset_instability(market, np.array([0, 0])), "match: got an index outside or twice"),
        (lambda: jax.jit(lambda m: ntu_subset_instability(m, np.array([0, 1])))(market), "a traced array"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
