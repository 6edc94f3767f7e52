"""Evict the page that is requested furthest in the future: in truth (Belady), or by prediction (blind oracle)."""

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Int, Real

from verax._types import AnyArray

from ._requests import Run, Size, check_cache, check_predictions, next_requests


def belady(requests: Int[AnyArray, "t"], cache_size: Size, *, num_pages: int | None = None) -> Run:
    """Offline optimum: evict the page whose next request is furthest.

    Parameters
    ----------
    requests : [t], int
        Pages.
    cache_size
        Pages that fit; may be traced, as under ``vmap``.
    num_pages
        Number of pages; found from concrete requests when None.

    Returns
    -------
    Run
        With the fewest misses of all policies.

    Raises
    ------
    ValueError
        For requests that are no pages, an empty cache, or ``num_pages`` too small, or missing under a transformation.

    Notes
    -----
    O(num_pages) a request.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.online.caching import belady
    >>> int(belady(np.array([0, 1, 2, 0, 1, 2]), 2).num_misses)
    4

    References
    ----------
    Belady (1966), A study of replacement algorithms for a virtual-storage computer.
    """
    pages, num = check_cache(requests, cache_size, num_pages)
    return _evict_furthest(pages, next_requests(pages).astype(jnp.result_type(float)), cache_size, num)


def blind_oracle(
    requests: Int[AnyArray, "t"],
    predicted_next: Real[AnyArray, "t"],
    cache_size: Size,
    *,
    num_pages: int | None = None,
) -> Run:
    r"""Follow the predictions blindly: evict the page whose next request is predicted to be furthest.

    .. math:: \text{misses} \le \mathrm{OPT} + 2 \eta, \qquad \eta = \sum_t |h_t - N_t|

    Parameters
    ----------
    requests : [t], int
        Pages.
    predicted_next : [t]
        ``h_t``, predicted at each request: the time of that page's next one.
    cache_size
        Pages that fit; may be traced, as under ``vmap``.
    num_pages
        Number of pages; found from concrete requests when None.

    Returns
    -------
    Run

    Raises
    ------
    ValueError
        As :func:`belady`, and for predictions that are not finite or not one a request.

    Notes
    -----
    O(num_pages) a request. Not robust: with bad predictions the ratio to the optimum is unbounded.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.online.caching import blind_oracle, next_requests
    >>> requests = np.array([0, 1, 2, 0, 1, 2])
    >>> int(blind_oracle(requests, next_requests(requests), 2).num_misses)
    4

    References
    ----------
    Wei (2020), Better and simpler learning-augmented online caching.
    """
    pages, num = check_cache(requests, cache_size, num_pages)
    return _evict_furthest(pages, check_predictions(predicted_next, pages.shape[0]), cache_size, num)


def _evict_furthest(pages: Array, times: Array, cache_size: Size, num_pages: int) -> Run:
    def serve(
        state: tuple[Array, Array], request: tuple[Array, Array]
    ) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        cached, due = state
        page, time = request
        missed = ~cached[page]
        full = cached.sum() >= cache_size
        victim = jnp.argmax(jnp.where(cached, due, -jnp.inf))
        cached = cached.at[victim].set(cached[victim] & ~(missed & full))
        cached = cached.at[page].set(True)
        return (cached, due.at[page].set(time)), (missed, cached)

    start = (jnp.zeros(num_pages, bool), jnp.zeros(num_pages, times.dtype))
    _, (missed, cached) = jax.lax.scan(serve, start, (pages, times))
    return Run(missed.sum(), missed, cached)
