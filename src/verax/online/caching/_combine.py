"""Follow whichever of two policies has missed less so far."""

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Shaped

from verax._errors import check
from verax._types import AnyArray

from ._requests import Requests, Run, Size, check_size, run_codes, updated


def combine(requests: Shaped[AnyArray, "t"], first: Run, second: Run, cache_size: Size) -> Run:
    r"""Combine two policies into one that misses little more than twice as often as the better of them.

    At a miss with a full cache, evict a page that the policy with fewer misses so far does not hold.

    .. math:: \text{misses} \le 2 \min\{A, B\} + k

    Parameters
    ----------
    requests : [t]
        Pages.
    first, second : Run
        Both policies on these requests with this cache size.
    cache_size
        ``k``, pages that fit; may be traced, as under ``vmap``.

    Returns
    -------
    Run

    Raises
    ------
    ValueError
        For runs of other lengths, or as :func:`belady`.

    Notes
    -----
    O(num_pages) per request. The page evicted is the lowest that the leading policy does not hold, so that the result
    is deterministic given the two runs. The bound above is checked on random traces, not proved here.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.online.caching import belady, blind_oracle, combine, next_requests
    >>> requests = np.array([0, 1, 2, 0, 1, 2])
    >>> good = belady(requests, 2)
    >>> bad = blind_oracle(requests, -next_requests(requests), 2)
    >>> int(good.num_misses), int(bad.num_misses), int(combine(requests, good, bad, 2).num_misses)
    (4, 6, 4)

    References
    ----------
    Fiat, Rabani, Ravid (1990), Competitive k-server algorithms; Wei (2020), Better and simpler learning-augmented
    online caching.
    """
    check_size(cache_size)
    codes = run_codes("first", requests, first)
    run_codes("second", requests, second)
    num_pages = len(first.pages)
    same = len(second.pages) == num_pages
    check(same, "second", f"a run over {len(second.pages)} pages", f"one over {num_pages}, as first")

    def serve(state: tuple[Array, ...], request: tuple[Array, ...]) -> tuple[tuple[Array, ...], tuple[Array, Array]]:
        cached, cached_a, cached_b, missed_a, missed_b = state
        page, miss_a, miss_b, evicted_a, evicted_b = request
        cached_a, cached_b = updated(cached_a, page, evicted_a), updated(cached_b, page, evicted_b)
        missed_a, missed_b = missed_a + miss_a, missed_b + miss_b
        leader = jnp.where(missed_a <= missed_b, cached_a, cached_b)
        missed = ~cached[page]
        full = cached.sum() >= cache_size
        victim = jnp.argmax(cached & ~leader)  # there is one: the leader's cache holds the page that is missing here
        evicted = jnp.where(missed & full, victim, -1)
        return (updated(cached, page, evicted), cached_a, cached_b, missed_a, missed_b), (missed, evicted)

    empty = jnp.zeros(num_pages, bool)
    start = (empty, empty, empty, jnp.int32(0), jnp.int32(0))
    misses = [jnp.asarray(run.missed).astype(jnp.int32) for run in (first, second)]
    evictions = [jnp.asarray(run.evicted) for run in (first, second)]
    _, (missed, evicted) = jax.lax.scan(serve, start, (codes, *misses, *evictions))
    return Requests(codes, first.pages).served(missed, evicted)
