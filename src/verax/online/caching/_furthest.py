"""Evict the page that is requested furthest in the future: in truth (Belady), or by prediction (blind oracle)."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Real, Shaped

from verax._errors import is_traced
from verax._types import AnyArray

from ._host import evict_furthest_on_host
from ._requests import Requests, Run, Size, check_cache, check_predictions, next_of_codes, updated


def belady(requests: Shaped[AnyArray, "t"], cache_size: Size, *, num_pages: int | None = None) -> Run:
    """Offline optimum: evict the page whose next request is furthest.

    Parameters
    ----------
    requests : [t]
        Pages: integers of any size, strings, or other labels; integers below ``num_pages`` where they are traced.
    cache_size
        Pages that fit; may be traced, as under ``vmap``.
    num_pages
        Number of pages, which are then the integers below it; needed for traced requests. None: labels of any kind.

    Returns
    -------
    Run
        With the fewest misses of all policies.

    Raises
    ------
    ValueError
        For requests that are not one vector of labels, an empty cache, or ``num_pages`` too small, or missing under a
        transformation.

    Notes
    -----
    O(log t) per request on the host for concrete requests, O(num_pages) where anything is traced.

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
    read = check_cache(requests, cache_size, num_pages)
    times = next_of_codes(read.codes)
    if is_traced((read.codes, cache_size)):
        return _evict_furthest(read, jnp.asarray(times).astype(jnp.result_type(float)), cache_size)
    return evict_furthest_on_host(read, times, cache_size)


def blind_oracle(
    requests: Shaped[AnyArray, "t"],
    predicted_next: Real[AnyArray, "t"],
    cache_size: Size,
    *,
    num_pages: int | None = None,
) -> Run:
    r"""Follow the predictions blindly: evict the page whose next request is predicted to be furthest.

    .. math:: \text{misses} \le \mathrm{OPT} + 2 \eta, \qquad \eta = \sum_t |h_t - N_t|

    Parameters
    ----------
    requests : [t]
        Pages: integers of any size, strings, or other labels; integers below ``num_pages`` where they are traced.
    predicted_next : [t]
        ``h_t``, predicted at each request: the time of that page's next one.
    cache_size
        Pages that fit; may be traced, as under ``vmap``.
    num_pages
        Number of pages, which are then the integers below it; needed for traced requests. None: labels of any kind.

    Returns
    -------
    Run

    Raises
    ------
    ValueError
        As :func:`belady`, and for predictions that are not finite or not one per request.

    Notes
    -----
    O(log t) per request on the host for concrete requests, O(num_pages) where anything is traced. Not robust: with
    bad predictions the ratio to the optimum is unbounded.

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
    read = check_cache(requests, cache_size, num_pages)
    times = check_predictions(predicted_next, read.codes.shape[0])
    if is_traced((read.codes, cache_size, times)):
        return _evict_furthest(read, times, cache_size)
    return evict_furthest_on_host(read, np.asarray(times), cache_size)


def _evict_furthest(requests: Requests, times: Array, cache_size: Size) -> Run:
    num_pages = len(requests.pages)

    def serve(
        state: tuple[Array, Array], request: tuple[Array, Array]
    ) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        cached, due = state
        page, time = request
        missed = ~cached[page]
        full = cached.sum() >= cache_size
        victim = jnp.argmax(jnp.where(cached, due, -jnp.inf))
        evicted = jnp.where(missed & full, victim, -1)
        return (updated(cached, page, evicted), due.at[page].set(time)), (missed, evicted)

    start = (jnp.zeros(num_pages, bool), jnp.zeros(num_pages, times.dtype))
    _, (missed, evicted) = jax.lax.scan(serve, start, (jnp.asarray(requests.codes), times))
    return requests.served(missed, evicted)
