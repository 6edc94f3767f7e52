"""Marking algorithms: random eviction among unmarked pages, and its version with predictions."""

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Real, Shaped

from verax._arrays import to_key
from verax._types import AnyArray

from ._requests import Requests, Run, Size, check_cache, check_predictions, updated


def marker(requests: Shaped[AnyArray, "t"], cache_size: Size, *, num_pages: int | None = None, key: Array) -> Run:
    r"""Randomized marking: requested pages are marked, a random unmarked page is evicted.

    When a page is missing and all cached pages are marked, a new phase begins and all marks are removed.

    .. math:: \mathbb{E}\,\text{misses} \le 2 H_k \,\mathrm{OPT}

    Parameters
    ----------
    requests : [t]
        Pages, as for :func:`belady`.
    cache_size
        ``k``, pages that fit; may be traced, as under ``vmap``.
    num_pages
        As for :func:`belady`.
    key
        A ``jax.random.key``.

    Returns
    -------
    Run

    Raises
    ------
    ValueError
        As :func:`belady`.

    Notes
    -----
    O(num_pages) per request.

    Examples
    --------
    >>> import jax
    >>> import numpy as np
    >>> from verax.online.caching import marker
    >>> run = marker(np.array([0, 1, 2, 0, 1, 2]), 2, key=jax.random.key(0))
    >>> 4 <= int(run.num_misses) <= 6
    True

    References
    ----------
    Fiat, Karp, Luby, McGeoch, Sleator, Young (1991), Competitive paging algorithms.
    """
    read = check_cache(requests, cache_size, num_pages)
    times = jnp.zeros(read.codes.shape, jnp.result_type(float))
    return _mark(read, times, cache_size, to_key("key", key), jnp.int32(-1))


def predictive_marker(
    requests: Shaped[AnyArray, "t"],
    predicted_next: Real[AnyArray, "t"],
    cache_size: Size,
    *,
    num_pages: int | None = None,
    key: Array,
) -> Run:
    r"""Marking with predictions: evict the unmarked page that is predicted to be furthest, while chains are short.

    A page that was not requested in the phase before (clean) starts a chain; a page whose eviction a chain caused
    lengthens it when it returns. While a chain is no longer than ``H_k`` the prediction chooses, then chance.

    Parameters
    ----------
    requests : [t]
        Pages, as for :func:`belady`.
    predicted_next : [t]
        Predicted at each request: the time of that page's next one.
    cache_size
        ``k``, pages that fit; may be traced, as under ``vmap``.
    num_pages
        As for :func:`belady`.
    key
        A ``jax.random.key``.

    Returns
    -------
    Run

    Raises
    ------
    ValueError
        As :func:`belady`, and for predictions that are not finite or not one per request.

    Notes
    -----
    O(num_pages) per request. Robust as marking is, whatever the predictions, and better the smaller their error; the
    constants of the source's guarantee were not read, and are not quoted.

    Examples
    --------
    >>> import jax
    >>> import numpy as np
    >>> from verax.online.caching import next_requests, predictive_marker
    >>> requests = np.array([0, 1, 2, 0, 1, 2])
    >>> run = predictive_marker(requests, next_requests(requests), 2, key=jax.random.key(0))
    >>> int(run.num_misses)
    4

    References
    ----------
    Lykouris, Vassilvitskii (2018), Competitive caching with machine learned advice.
    """
    read = check_cache(requests, cache_size, num_pages)
    num = len(read.pages)
    predicted = check_predictions(predicted_next, read.codes.shape[0])
    # Whole at 1 alone, so rounding is harmless.
    harmonic = jnp.cumsum(1 / jnp.arange(1, num + 1, dtype=predicted.dtype))
    longest = jnp.floor(harmonic[jnp.minimum(cache_size, num) - 1]).astype(jnp.int32)
    return _mark(read, predicted, cache_size, to_key("key", key), longest)


@jax.jit
def _run(codes: Array, pages: Array, times: Array, cache_size: Array, key: Array, longest: Array) -> tuple[Array, ...]:
    """Marking in which the prediction chooses the victim for chains of at most ``longest``, chance for others."""
    num_pages = pages.shape[0]

    def serve(state, request):
        cached, marked, due, known, length = state
        page, time, number = request
        missed = ~cached[page]
        full = cached.sum() >= cache_size
        begins = missed & full & ~(cached & ~marked).any()
        # A new phase: pages of the phase that ends are stale for the next, and all chains are forgotten.
        known = jnp.where(begins, marked, known)
        marked = marked & ~begins
        length = jnp.where(begins, 0, length)
        chain = jnp.where(known[page], length[page], 0) + 1
        unmarked = cached & ~marked
        furthest = jnp.argmax(jnp.where(unmarked, due, -jnp.inf))
        draws = jax.random.uniform(jax.random.fold_in(key, number), (num_pages,))
        chance = jnp.argmax(jnp.where(unmarked, draws, -1))
        victim = jnp.where(chain <= longest, furthest, chance)
        evicts = missed & full
        length = length.at[victim].set(jnp.where(evicts, chain, length[victim]))
        evicted = jnp.where(evicts, victim, -1)
        cached, marked = updated(cached, page, evicted), marked.at[page].set(True)
        return (cached, marked, due.at[page].set(time), known, length), (missed, evicted)

    none = jnp.zeros(num_pages, bool)
    start = (none, none, jnp.zeros(num_pages, times.dtype), none, jnp.zeros(num_pages, jnp.int32))
    _, (missed, evicted) = jax.lax.scan(serve, start, (codes, times, jnp.arange(codes.shape[0])))
    return missed, evicted


def _mark(requests: Requests, times: Array, cache_size: Size, key: Array, longest: Array) -> Run:
    codes, pages = jnp.asarray(requests.codes), jnp.zeros(len(requests.pages), bool)
    return requests.served(*_run(codes, pages, times, jnp.asarray(cache_size), key, longest))
