"""Follow whichever of two policies has missed less so far."""

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Int

from verax._errors import check
from verax._types import AnyArray

from ._requests import Run, Size, check_cache


def combine(requests: Int[AnyArray, "t"], first: Run, second: Run, cache_size: Size) -> Run:
    r"""Combine two policies into one that misses little more than twice as often as the better of them.

    At a miss with a full cache, evict a page that the policy with fewer misses so far does not hold.

    .. math:: \text{misses} \le 2 \min\{A, B\} + k

    Parameters
    ----------
    requests : [t], int
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
    O(num_pages) a request. The page evicted is the lowest that the leading policy does not hold, so that the result is
    deterministic given the two runs. The bound above is checked on random traces, not proved here.

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
    num_pages = first.cached.shape[-1]
    for name, run in (("first", first), ("second", second)):
        shape = (jnp.shape(requests)[0], num_pages)
        check(run.cached.shape == shape, name, f"a run of shape {run.cached.shape}", f"one on these requests, {shape}")
    pages, _ = check_cache(requests, cache_size, num_pages)

    def serve(state: tuple[Array, Array, Array], request: tuple[Array, ...]):
        cached, missed_a, missed_b = state
        page, miss_a, miss_b, cached_a, cached_b = request
        missed_a, missed_b = missed_a + miss_a, missed_b + miss_b
        leader = jnp.where(missed_a <= missed_b, cached_a, cached_b)
        missed = ~cached[page]
        full = cached.sum() >= cache_size
        victim = jnp.argmax(cached & ~leader)  # there is one: the leader's cache holds the page that is missing here
        cached = cached.at[victim].set(cached[victim] & ~(missed & full))
        cached = cached.at[page].set(True)
        return (cached, missed_a, missed_b), (missed, cached)

    start = (jnp.zeros(num_pages, bool), jnp.int32(0), jnp.int32(0))
    runs = (first.missed.astype(jnp.int32), second.missed.astype(jnp.int32), first.cached, second.cached)
    _, (missed, cached) = jax.lax.scan(serve, start, (pages, *runs))
    return Run(missed.sum(), missed, cached)
