"""Learning in markets: runs against brute force, confidence sets against the truth, policies by their definition."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from verax.matching import (
    Feedback,
    Market,
    Outcome,
    SeparableLinear,
    Typed,
    Unstructured,
    epsilon_greedy,
    explore_then_commit,
    linear_market,
    match_ucb,
    minimax_market,
    random_arrivals,
    simulate,
    thompson,
    typed_market,
    ucb_without_transfers,
    utility_gap,
)
from verax.matching._learning import _evaluate

pytestmark = pytest.mark.double

HORIZON = 300
SEEDS = 12
N, M = 3, 2
TOLERANCE = 2e-5


@pytest.fixture(scope="module")
def market():
    # Drawn in single precision whatever the default, so that it is the same market.
    drawn = jax.random.uniform(jax.random.key(3), (2, N, M), jnp.float32, minval=-1, maxval=1)
    return Market(*drawn.astype(jnp.result_type(float)))


@pytest.fixture(scope="module")
def runs(market):
    keys = jax.random.split(jax.random.key(0), SEEDS)

    @functools.cache
    def run(name):
        policy = {
            "ucb": lambda: match_ucb(Unstructured(), horizon=HORIZON),
            "fast": lambda: match_ucb(Unstructured(), horizon=HORIZON, confidence_scale=1.0),
            "unpaid": lambda: ucb_without_transfers(Unstructured(), horizon=HORIZON, confidence_scale=1.0),
            "commit": lambda: explore_then_commit(Unstructured(), horizon=HORIZON, plays=30),
            "greedy": lambda: epsilon_greedy(Unstructured()),
            "thompson": lambda: thompson(Unstructured()),
            "fee": lambda: match_ucb(Unstructured(), horizon=HORIZON, fee=0.25),
        }[name]()
        return jax.jit(jax.vmap(lambda key: simulate(policy, market, horizon=HORIZON, key=key)))(keys)

    return run


def plays_before(history):
    """Observations of each pair before each round, [seeds, rounds, n, m]."""
    chosen = np.asarray(history.outcome.match)[..., None] == np.arange(M)
    return np.cumsum(chosen, axis=1) - chosen, chosen


def worst_coalition(customer, provider, match, *transfers):
    """Instability by its definition: all coalitions, all matchings within."""
    n, m = customer.shape
    net = np.concatenate([np.asarray(side, np.float64) for side in transfers])
    for i, j in enumerate(match):
        if j >= 0:
            net[[i, n + j]] += customer[i, j], provider[i, j]
    best = 0.0
    for partners in itertools.product(range(-1, m), repeat=n):
        taken = [j for j in partners if j >= 0]
        if len(set(taken)) == len(taken):
            pairs = [(i, j) for i, j in enumerate(partners) if j >= 0]
            members = {i for i, _ in pairs} | {n + j for _, j in pairs}
            alone = sum(max(-net[a], 0) for a in range(n + m) if a not in members)
            best = max(best, alone + sum(customer[p] + provider[p] - net[p[0]] - net[n + p[1]] for p in pairs))
    return best


@pytest.mark.costly
@pytest.mark.parametrize("name", ["fast", "commit"])
def test_instability_of_every_round_is_that_of_the_worst_coalition(name, market, runs):
    history = runs(name)
    sides = [np.asarray(side, np.float64) for side in market]
    for seed, time in itertools.product(range(2), range(0, HORIZON, 7)):
        expected = worst_coalition(*sides, *(np.asarray(part[seed, time]) for part in history.outcome))
        assert history.instability[seed, time] == pytest.approx(expected, abs=TOLERANCE)
    assert (np.asarray(history.status) == 0).all()
    assert np.asarray(history.utility_gap[0]) == pytest.approx(
        np.asarray(
            utility_gap(
                Market(*(jnp.broadcast_to(side, (HORIZON, N, M)) for side in market)),
                Outcome(*(part[0] for part in history.outcome)),
            )
        ),
        abs=TOLERANCE,
    )


@pytest.mark.costly
@pytest.mark.parametrize("size", [1, 7, HORIZON + 5])
def test_only_changes_are_evaluated_and_batches_do_not_matter(size, market, runs, monkeypatch):
    history = runs("commit")
    outcome = Outcome(*(part[0] for part in history.outcome))
    monkeypatch.setattr(_evaluate, "_LARGEST_BATCH", size)
    nobody = jnp.zeros((HORIZON, 0), bool)
    value, status = jax.jit(functools.partial(_evaluate._one_run, True))(*market, *outcome, nobody, history.changed[0])
    assert np.asarray(value) == pytest.approx(np.asarray(history.instability[0]), abs=TOLERANCE)
    assert (np.asarray(status) == 0).all()


def test_batches_stay_within_their_memory():
    assert _evaluate.rounds_per_solve(10, 10, 8) == 1024
    large = _evaluate.rounds_per_solve(1000, 500, 8)
    assert 1 <= large * 12 * 8 * 1000 * 500 <= 256 * 2**20
    assert _evaluate.rounds_per_solve(10_000, 10_000, 8) == 1


def test_optimism_bounds_instability_by_the_widths(runs):
    history = runs("ucb")
    plays, chosen = plays_before(history)
    log = np.log((N + M) * HORIZON)
    with np.errstate(divide="ignore"):
        width = np.minimum(1, 2 * np.sqrt(log / plays))
    bound = (2 * 2 * (1 + 1e-3) * width * chosen).sum((-1, -2))
    assert (np.asarray(history.instability) <= bound + TOLERANCE).all()
    assert np.asarray(history.revenue) == pytest.approx(0, abs=TOLERANCE)  # transfers cancel


def test_confidence_sets_hold_the_truth_at_the_valid_scale_and_not_at_a_tenth(market, runs):
    state = runs("ucb").state
    holds = {}
    for scale in (2.0, 0.1):
        lower, upper = jax.vmap(lambda s, scale=scale: Unstructured().confidence(s, HORIZON, scale))(state)
        inside = [(a <= u) & (u <= b) for a, u, b in zip(lower, market, upper, strict=True)]
        holds[scale] = np.stack(inside).mean()
    assert holds[2.0] == 1.0
    assert holds[0.1] < 0.9


@pytest.mark.costly
def test_regret_falls_and_transfers_matter(runs):
    late = {name: np.asarray(runs(name).instability)[:, -60:].mean(1) for name in ("fast", "unpaid", "thompson")}
    early = np.asarray(runs("fast").instability)[:, :60].mean(1)
    difference = early - late["fast"]
    assert difference.mean() > 4 * difference.std(ddof=1) / np.sqrt(SEEDS)
    difference = late["unpaid"] - late["fast"]
    assert difference.mean() > 4 * difference.std(ddof=1) / np.sqrt(SEEDS)
    assert (np.asarray(runs("unpaid").outcome.match) == np.asarray(runs("fast").outcome.match)).mean() > 0.999
    assert not np.asarray(runs("unpaid").outcome.customer_transfer).any()


def test_explore_then_commit_plays_every_pair_equally_often_and_then_stays(runs):
    history = runs("commit")
    assert (np.asarray(history.state[0].plays) == 30).all()
    last = 30 * max(N, M)
    assert np.asarray(history.changed)[:, :last].all()
    assert not np.asarray(history.changed)[:, last + 1 :].any()


def test_epsilon_greedy_explores_with_its_probability(runs):
    match = np.asarray(runs("greedy").outcome.match)
    unpaid = ~np.asarray(runs("greedy").outcome.customer_transfer).any(-1)
    expected = np.minimum(1, np.arange(1, HORIZON + 1) ** (-1 / 3))
    error = np.sqrt((expected * (1 - expected)).sum() / SEEDS)
    assert abs(unpaid.mean(0).sum() - expected.sum()) < 4 * error
    assert (np.sort(match[:, 0], axis=1) == [-1, 0, 1]).all()


def test_a_fee_pays_for_stability_with_friction(runs):
    history = runs("fee")
    assert np.asarray(history.instability).max() < TOLERANCE  # nobody leaves, as long as the confidence sets hold
    plays, chosen = plays_before(history)
    matched = chosen.sum((-1, -2))
    assert (np.asarray(history.revenue) <= 2 * 0.25 * matched + TOLERANCE).all()
    revenue = np.asarray(history.revenue)
    assert (revenue[:, -50:].mean(1) > revenue[:, :50].mean(1)).all()
    assert (plays.sum((-1, -2))[:, -1] > 0).all()


@pytest.mark.costly
def test_under_vmap_a_run_is_what_it_is_alone(market, runs):
    policy = match_ucb(Unstructured(), horizon=HORIZON, confidence_scale=1.0)
    alone = simulate(policy, market, horizon=HORIZON, key=jax.random.split(jax.random.key(0), SEEDS)[4])
    together = jax.tree.map(lambda x: x[4], runs("fast"))
    assert (np.asarray(alone.outcome.match) == np.asarray(together.outcome.match)).mean() > 0.99
    assert np.asarray(alone.instability[:50]) == pytest.approx(np.asarray(together.instability[:50]), abs=1e-4)


@pytest.mark.costly
def test_absent_agents_take_no_part(market):
    present = random_arrivals(N, M, present=1, horizon=HORIZON, key=jax.random.key(5))
    policy = match_ucb(Unstructured(), confidence_scale=1.0)  # anytime
    history = simulate(policy, market, horizon=HORIZON, arrivals=present, key=jax.random.key(1))
    customers, providers = np.asarray(present[:, :N]), np.asarray(present[:, N:])
    assert not (np.asarray(history.outcome.match)[~customers] >= 0).any()
    assert not np.asarray(history.outcome.customer_transfer)[~customers].any()
    assert not np.asarray(history.outcome.provider_transfer)[~providers].any()
    sides = [np.asarray(side, np.float64) for side in market]
    for time in range(0, HORIZON, 11):
        i, j = customers[time].argmax(), providers[time].argmax()
        match = [0 if history.outcome.match[time, i] >= 0 else -1]
        transfers = (
            history.outcome.customer_transfer[time, i : i + 1],
            history.outcome.provider_transfer[time, j : j + 1],
        )
        pair = [side[i : i + 1, j : j + 1] for side in sides]
        assert history.instability[time] == pytest.approx(worst_coalition(*pair, match, *transfers), abs=TOLERANCE)
        total = pair[0][0, 0] + pair[1][0, 0]
        gap = max(total, 0) - (total if match[0] == 0 else 0)
        assert history.utility_gap[time] == pytest.approx(gap, abs=TOLERANCE)


def observe(model, dtype, seed=0, rounds=25):
    """Feed a model random rounds; returns its state and what it saw."""
    rng = np.random.default_rng(seed)
    state, seen = model.init(4, 3, dtype), []
    for _ in range(rounds):
        order = rng.permutation(4)
        match = np.where(order < 3, order, -1).astype(np.int32)
        customer, provider = rng.normal(size=4).astype(dtype), rng.normal(size=3).astype(dtype)
        customer[match < 0] = 0
        seen += [(i, j, customer[i], provider[j]) for i, j in enumerate(match) if j >= 0]
        outcome = Outcome(jnp.asarray(match), jnp.zeros(4, dtype), jnp.zeros(3, dtype))
        state = model.update(state, outcome, Feedback(jnp.asarray(customer), jnp.asarray(provider)))
    return state, seen


def default_dtype():
    return np.dtype(jnp.zeros(()).dtype)


def test_typed_pools_pairs_of_the_same_types():
    rows, columns = [0, 0, 1, 2], [1, 0, 1]
    model = Typed(rows, columns)
    state, seen = observe(model, default_dtype())
    mean = model.mean(state)
    confidence = model.confidence(state, 100, 2.0)
    for i, j in itertools.product(range(4), range(3)):
        alike = [(y, z) for k, c, y, z in seen if rows[k] == rows[i] and columns[c] == columns[j]]
        assert (mean.customer_utility[i, j], mean.provider_utility[i, j]) == pytest.approx(
            np.mean(alike, axis=0), abs=1e-5
        )
        expected = min(1, np.mean(alike, axis=0)[0] + 2 * np.sqrt(np.log(7 * 100) / len(alike)))
        assert confidence.upper.customer_utility[i, j] == pytest.approx(max(expected, -1), abs=1e-5)
    every, _ = observe(Typed(np.arange(4), np.arange(3)), default_dtype())
    plain, _ = observe(Unstructured(), default_dtype())
    for a, b in zip(every, plain, strict=True):
        assert np.asarray(a) == pytest.approx(np.asarray(b), abs=1e-5)


def test_linear_is_ridge_regression_with_its_ellipsoid():
    _, model = linear_market(4, 3, 2, key=jax.random.key(8))
    state, seen = observe(model, default_dtype())
    customers, providers = (np.asarray(side, np.float64) for side in model._contexts)
    gram, moment = np.eye(2), np.zeros(2)
    for i, j, y, _ in seen:
        if i == 1:
            gram, moment = gram + np.outer(providers[j], providers[j]), moment + providers[j] * y
    assert np.asarray(model.mean(state).customer_utility[1]) == pytest.approx(
        providers @ np.linalg.solve(gram, moment), abs=1e-4
    )
    radius = 1 + np.sqrt(2 * np.log(7 * 50) + 2 * np.log(1 + 50 / 2))
    width = radius * np.sqrt(np.einsum("jd,de,je->j", providers, np.linalg.inv(gram), providers))
    upper = np.clip(providers @ np.linalg.solve(gram, moment) + width, -1, 1)
    assert np.asarray(model.confidence(state, 50, 2.0).upper.customer_utility[1]) == pytest.approx(upper, abs=1e-4)
    gram, moment = np.eye(2), np.zeros(2)
    for i, j, _, z in seen:
        if j == 2:
            gram, moment = gram + np.outer(customers[i], customers[i]), moment + customers[i] * z
    assert np.asarray(model.mean(state).provider_utility[:, 2]) == pytest.approx(
        customers @ np.linalg.solve(gram, moment), abs=1e-4
    )


@pytest.mark.costly
@pytest.mark.parametrize("name", ["unstructured", "typed", "linear"])
def test_posterior_draws_have_the_posterior_mean_and_spread(name):
    model = {
        "unstructured": Unstructured,
        "typed": lambda: Typed([0, 0, 1, 2], [1, 0, 1]),
        "linear": lambda: linear_market(4, 3, 2, key=jax.random.key(8))[1],
    }[name]()
    state, _ = observe(model, default_dtype())
    draws = np.asarray(
        jax.vmap(lambda key: model.sample(state, key).customer_utility)(jax.random.split(jax.random.key(0), 4000))
    )
    if name == "linear":
        centre = model.mean(state).customer_utility
        providers = model._contexts[1]
        spread = jnp.sqrt(jnp.einsum("jd,ide,je->ij", providers, state.inverse[:4], providers))
    else:
        centre = state.customer_sum / (state.plays + 1)
        spread = 1 / jnp.sqrt(state.plays + 1)
        if name == "typed":
            centre, spread = (model._spread([x, x]).customer_utility for x in (centre, spread))
    assert (np.abs(draws.mean(0) - np.asarray(centre)) < 5 * np.asarray(spread) / np.sqrt(4000)).all()
    assert draws.std(0) == pytest.approx(np.asarray(spread), rel=0.07)


def test_markets_are_what_they_are_called():
    hidden = minimax_market(4, horizon=1600, key=jax.random.key(1))
    assert np.asarray(hidden.customer_utility).sum(0) == pytest.approx(np.full(4, 0.1))
    assert ((np.asarray(hidden.provider_utility) > 0).sum(1) == 1).all()
    types = np.array([0, 1, 1]), np.array([1, 0])
    typed = typed_market(*types, key=jax.random.key(2))
    assert (np.asarray(typed.provider_utility[1]) == np.asarray(typed.provider_utility[2])).all()
    linear, model = linear_market(5, 4, 3, key=jax.random.key(3))
    assert np.linalg.matrix_rank(np.asarray(linear.customer_utility), tol=1e-4) == 3
    assert isinstance(model, SeparableLinear)
    assert np.abs(np.asarray(linear.provider_utility)).max() <= 1 + 1e-6
