"""Requests, their true next occurrences, and what a policy did with them."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Int, Real

from verax._errors import check, check_finite, check_integer, is_traced
from verax._types import AnyArray
from verax.online._arguments import floating

Size = int | Int[AnyArray, ""]  # of a cache; may be traced


class Run(NamedTuple):
    """What a policy did.

    Attributes
    ----------
    num_misses : scalar int
        Requests that were not in the cache, the first of each page included.
    missed : [t], bool
        Whether each request was one.
    cached : [t, num_pages], bool
        Pages in the cache after each request.
    """

    num_misses: Int[Array, ""]
    missed: Bool[Array, "t"]
    cached: Bool[Array, "t p"]


def next_requests(requests: Int[AnyArray, "t"]) -> Int[Array, "t"]:
    r"""Time of the next request of the same page, ``T`` where there is none.

    .. math:: N_t = \min \{ s > t : r_s = r_t \} \cup \{T\}

    Parameters
    ----------
    requests : [t], int
        Pages.

    Returns
    -------
    [t], int

    Raises
    ------
    ValueError
        For requests that are no integers, negative, or none.

    Notes
    -----
    One stable sort.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.online.caching import next_requests
    >>> print(next_requests(np.array([0, 1, 0, 0])))
    [2 4 3 4]
    """
    pages = check_requests(requests)
    num = pages.shape[0]
    order = jnp.argsort(pages, stable=True)
    following = jnp.append(order[1:], order[:1])
    same = (pages[following] == pages[order]) & (jnp.arange(num) < num - 1)
    return jnp.zeros(num, order.dtype).at[order].set(jnp.where(same, following, num))


def check_requests(requests: Int[AnyArray, "t"]) -> Array:
    """Pages as a JAX array."""
    pages = jnp.asarray(requests)
    sound = pages.ndim == 1 and pages.shape[0] > 0 and jnp.issubdtype(pages.dtype, jnp.integer)
    check(sound, "requests", f"shape {pages.shape}, dtype {pages.dtype}", "pages [t], integers, at least one")
    if not is_traced(pages):
        check(int(np.asarray(pages).min()) >= 0, "requests", f"page {np.asarray(pages).min()}", "pages from 0 on")
    return pages


def check_cache(requests: Int[AnyArray, "t"], cache_size: Size, num_pages: int | None) -> tuple[Array, int]:
    """Pages and how many there are."""
    pages = check_requests(requests)
    check_size(cache_size)
    if num_pages is None:
        check(not is_traced(pages), "num_pages", "None", "the number of pages, since traced requests cannot be seen")
        return pages, int(np.asarray(pages).max()) + 1
    check_integer("num_pages", num_pages, minimum=1)
    if not is_traced(pages):
        largest = int(np.asarray(pages).max())
        check(largest < num_pages, "num_pages", num_pages, f"more than the largest page, {largest}")
    return pages, num_pages


def check_size(cache_size: Size) -> None:
    """Raise unless a cache has room for at least one page; a traced size cannot be seen."""
    if not is_traced(cache_size):
        whole = np.ndim(cache_size) == 0 and np.asarray(cache_size).dtype.kind in "iu"
        check_integer("cache_size", np.asarray(cache_size).item() if whole else cache_size, minimum=1)


def check_predictions(predicted_next: Real[AnyArray, "t"], num: int) -> Array:
    """Predicted times as floats."""
    predicted = floating("predicted_next", predicted_next)
    check(predicted.shape == (num,), "predicted_next", f"shape {predicted.shape}", f"one time a request, ({num},)")
    check_finite("predicted_next", predicted)
    return predicted
