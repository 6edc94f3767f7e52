import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from verax.online import caching

pytestmark = pytest.mark.double

PAGES, SIZE, LENGTH = 6, 3, 40
run_belady = jax.jit(jax.vmap(lambda r: caching.belady(r, SIZE, num_pages=PAGES)))
run_oracle = jax.jit(jax.vmap(lambda r, h: caching.blind_oracle(r, h, SIZE, num_pages=PAGES)))
run_marker = jax.jit(jax.vmap(lambda r, k: caching.marker(r, SIZE, num_pages=PAGES, key=k)))
run_predictive = jax.jit(jax.vmap(lambda r, h, k: caching.predictive_marker(r, h, SIZE, num_pages=PAGES, key=k)))
run_combine = jax.jit(jax.vmap(lambda r, a, b: caching.combine(r, a, b, SIZE)))


@pytest.fixture(scope="module")
def traces():
    rng = np.random.default_rng(0)
    uniform, skewed = (
        rng.integers(PAGES, size=(60, LENGTH)),
        np.minimum(rng.geometric(0.4, (60, LENGTH)) - 1, PAGES - 1),
    )
    requests = jnp.asarray(np.concatenate([uniform, skewed]), jnp.int32)
    following = jax.vmap(caching.next_requests)(requests)
    noise = rng.choice([0, 1, 5, 30], (120, 1)) * rng.standard_normal((120, LENGTH))
    predicted = jnp.asarray(np.asarray(following) + noise, jnp.float32)
    keys = jax.random.split(jax.random.key(0), 120)
    runs = {"opt": run_belady(requests), "oracle": run_oracle(requests, predicted)}
    runs |= {"marker": run_marker(requests, keys), "predictive": run_predictive(requests, predicted, keys)}
    runs["combined"] = run_combine(requests, runs["oracle"], runs["marker"])
    return requests, following, predicted, runs


def fewest_misses(requests, size):
    """Dynamic programme over all contents of the cache."""
    best = {frozenset(): 0}
    for page in requests:
        reached = {}
        for cache, misses in best.items():
            if page in cache:
                options = [(cache, misses)]
            else:
                kept = [cache] if len(cache) < size else [cache - {victim} for victim in cache]
                options = [(rest | {page}, misses + 1) for rest in kept]
            for content, count in options:
                reached[content] = min(count, reached.get(content, count))
        best = reached
    return min(best.values())


def test_belady_is_optimal(traces):
    requests, _, _, runs = traces
    for number in range(8):
        assert runs["opt"].num_misses[number] == fewest_misses(np.asarray(requests[number]).tolist(), SIZE)


def test_every_run_is_a_cache(traces):
    requests, _, _, runs = traces
    contents = jax.jit(jax.vmap(caching.cache_contents))
    for run in runs.values():
        cached, missed = np.asarray(contents(requests, run)), np.asarray(run.missed)
        assert cached.sum(-1).max() <= SIZE
        assert (run.num_misses >= runs["opt"].num_misses).all()
        before = np.concatenate([np.zeros_like(cached[:, :1]), cached[:, :-1]], axis=1)
        for trace, time in itertools.product(range(0, 120, 17), range(LENGTH)):
            page = int(requests[trace, time])
            assert cached[trace, time, page]
            assert missed[trace, time] == (not before[trace, time, page])
            arrived = cached[trace, time] & ~before[trace, time]
            assert arrived.sum() <= 1  # only the requested page


def test_guarantees(traces):
    _, following, predicted, runs = traces
    opt = np.asarray(runs["opt"].num_misses)
    error = np.abs(np.asarray(predicted) - np.asarray(following)).sum(1)
    assert (np.asarray(runs["oracle"].num_misses) <= opt + 2 * error + 1e-3).all()
    better = np.minimum(runs["oracle"].num_misses, runs["marker"].num_misses)
    assert (np.asarray(runs["combined"].num_misses) <= 2 * better + SIZE).all()
    harmonic = sum(1 / i for i in range(1, SIZE + 1))
    ratio = np.asarray(runs["marker"].num_misses) / opt
    assert ratio.mean() <= 2 * harmonic
    exact = (error < 1e-3).nonzero()[0]
    assert len(exact) > 10
    np.testing.assert_array_equal(np.asarray(runs["oracle"].num_misses)[exact], opt[exact])
    predictive = np.asarray(runs["predictive"].num_misses)
    assert predictive[exact].mean() <= np.asarray(runs["marker"].num_misses)[exact].mean()


LABELS = {
    "addresses": 0x7FEBF08F31E8 + 64 * np.arange(40),
    "64-bit hashes": np.uint64(2**63) + np.arange(40, dtype=np.uint64) * np.uint64(2**20),
    "64-bit integers": (np.arange(40) - 20) << 40,
    "strings": np.array([f"page {number:02d}" for number in range(40)]),
    "bytes": np.arange(40, dtype=np.uint8),
}


@pytest.mark.parametrize("kind", LABELS)
def test_pages_of_any_kind(rng, kind):
    """Labels change neither misses nor evictions, which the scan over dense pages and the host's heap agree on."""
    dense = rng.permutation(np.concatenate([np.arange(40), rng.integers(40, size=200)]))
    requests, predicted = LABELS[kind][dense], np.asarray(caching.next_requests(dense)) + rng.normal(0, 20, 240)
    for policy, extra in ((caching.belady, ()), (caching.blind_oracle, (predicted.astype(np.float32),))):
        run = policy(requests, *extra, 10)
        scanned = jax.jit(lambda r, policy=policy, extra=extra: policy(r, *extra, 10, num_pages=40))(dense)
        np.testing.assert_array_equal(run.missed, scanned.missed)
        np.testing.assert_array_equal(run.evicted, scanned.evicted)
        np.testing.assert_array_equal(run.pages, LABELS[kind])
    first = caching.marker(requests, 10, key=jax.random.key(0))
    np.testing.assert_array_equal(first.missed, caching.marker(dense, 10, num_pages=40, key=jax.random.key(0)).missed)
    both = caching.combine(requests, run, first, 10)
    assert int(both.num_misses) <= 2 * min(int(run.num_misses), int(first.num_misses)) + 10
    np.testing.assert_array_equal(caching.next_requests(requests), caching.next_requests(dense))


def test_a_trace_far_larger_than_any_table_of_contents(rng):
    """Misses of the optimum at one page are the changes of the page; at all pages, the pages."""
    requests = rng.integers(20_000, size=60_000) << 30
    assert int(caching.belady(requests, 1).num_misses) == 1 + (np.diff(requests) != 0).sum()
    assert int(caching.belady(requests, 20_000).num_misses) == len(np.unique(requests))


def test_next_requests():
    requests = np.array([3, 1, 3, 3, 0, 1])
    np.testing.assert_array_equal(caching.next_requests(requests), [2, 5, 3, 6, 6, 6])


def test_a_cache_for_all_pages_misses_each_once():
    requests = np.array([0, 1, 2, 0, 1, 2, 2])
    assert int(caching.belady(requests, 3).num_misses) == 3
    assert int(caching.marker(requests, 5, key=jax.random.key(1)).num_misses) == 3


@pytest.mark.costly
def test_sizes_and_seeds_are_batched(traces):
    """One compiled programme over cache sizes and seeds says what one call each says."""
    requests, _, predicted, _ = traces
    trace, times, sizes = requests[3], predicted[3], jnp.arange(1, PAGES + 2)
    keys = jax.random.split(jax.random.key(5), 2)

    def misses(size, key):
        first = caching.marker(trace, size, num_pages=PAGES, key=key)
        oracle = caching.blind_oracle(trace, times, size, num_pages=PAGES)
        predictive = caching.predictive_marker(trace, times, size, num_pages=PAGES, key=key)
        runs = (caching.belady(trace, size, num_pages=PAGES), first, oracle, predictive)
        return jnp.stack([run.num_misses for run in (*runs, caching.combine(trace, oracle, first, size))])

    batched = jax.jit(jax.vmap(jax.vmap(misses, (None, 0)), (0, None)))(sizes, keys)
    assert (np.diff(np.asarray(batched[:, 0, 0])) <= 0).all()  # a larger cache misses no more under the optimum
    np.testing.assert_array_equal(batched[2, 1], misses(3, keys[1]))
