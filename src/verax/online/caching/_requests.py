"""Requests, their true next occurrences, and the result of a policy on them."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Int, Real, Shaped

from verax._array_likes import read_array
from verax._arrays import to_array, to_integer
from verax._errors import check, is_traced
from verax._results import result
from verax._types import AnyArray

Size = int | Int[AnyArray, ""]  # of a cache; may be traced


@result()
class Run(NamedTuple):
    """Misses and evictions of a policy, request by request.

    Attributes
    ----------
    num_misses : scalar int
        Requests that were not in the cache, the first of each page included.
    missed : [t], bool
        Whether each request was one.
    evicted : [t], int
        Index in ``pages`` of the page that left the cache at each request; -1 for none.
    pages : [p]
        The distinct pages in increasing order, in the type in which they were given; ``0..p - 1`` where ``num_pages``
        was given, or where anything was traced.
    """

    num_misses: Int[AnyArray, ""]
    missed: Bool[AnyArray, "t"]
    evicted: Int[AnyArray, "t"]
    pages: Shaped[AnyArray, "p"]


def next_requests(requests: Shaped[AnyArray, "t"]) -> Int[Array, "t"]:
    r"""Time of the next request of the same page, ``T`` where there is none.

    .. math:: N_t = \min \{ s > t : r_s = r_t \} \cup \{T\}

    Parameters
    ----------
    requests : [t]
        Pages: integers of any size, strings, or other labels; integers where they are traced.

    Returns
    -------
    [t], int

    Raises
    ------
    ValueError
        For requests that are not one vector of labels, or none at all.

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
    return jnp.asarray(next_of_codes(read_requests(requests).codes))


def next_of_codes(codes: Any) -> Any:
    """Next request of each page, in NumPy where the requests are concrete."""
    num = codes.shape[0]
    if not is_traced(codes):
        order = np.argsort(codes, kind="stable")
        same = codes[order[1:]] == codes[order[:-1]]
        result = np.full(num, num)
        result[order[:-1][same]] = order[1:][same]
        return result
    order = jnp.argsort(codes, stable=True)
    following = jnp.append(order[1:], order[:1])
    same = (codes[following] == codes[order]) & (jnp.arange(num) < num - 1)
    return jnp.zeros(num, order.dtype).at[order].set(jnp.where(same, following, num))


class Requests(NamedTuple):
    """Requests as indices of pages."""

    codes: Any  # [t], of NumPy where the requests are concrete
    pages: Any  # [p]

    def served(self, missed: Any, evicted: Any) -> Run:
        """The result; labels that JAX has no dtype for do not pass through a transformation."""
        pages = jnp.arange(len(self.pages)) if is_traced((missed, evicted)) else self.pages
        return Run(missed.sum(dtype=np.int32), missed, evicted, pages)


def read_requests(requests: Any, num_pages: int | None = None) -> Requests:
    """Pages as indices: of their sorted distinct labels, or as they are where ``num_pages`` is given."""
    if num_pages is not None:
        num_pages = to_integer("num_pages", num_pages, minimum=1)
    if is_traced(requests):
        codes = to_array("requests", requests, shape=("t",), dtype="integer")
        return Requests(codes, jnp.arange(0 if num_pages is None else num_pages))
    array = read_array("requests", requests, text=True)
    with jax.ensure_compile_time_eval():
        array = np.asarray(array)
    check(array.ndim == 1 and array.size > 0, "requests", f"shape {array.shape}", "pages [t], at least one")
    if num_pages is not None:
        whole = array.dtype.kind in "iu" or (array.dtype.kind == "f" and bool((array == np.rint(array)).all()))
        check(whole, "requests", f"dtype {array.dtype}", "integers, or any labels without num_pages")
        check(array.min() >= 0, "requests", f"page {array.min()}", "pages from 0 on where num_pages is given")
        need = f"more than the largest page, {array.max()}; or None, for labels of any kind"
        check(array.max() < num_pages, "num_pages", num_pages, need)
        return Requests(array.astype(np.int32), np.arange(num_pages))
    missing = array.dtype.kind == "f" and bool(np.isnan(array).any())
    missing |= array.dtype == object and any(not isinstance(page, str) for page in array.tolist())
    check(not missing, "requests", "a missing page, or text beside numbers", "labels of one type")
    labels, codes = np.unique(array.astype(str) if array.dtype == object else array, return_inverse=True)
    return Requests(codes.astype(np.int32), labels)


def check_cache(requests: Any, cache_size: Size, num_pages: int | None) -> Requests:
    """Requests as indices of pages, whose number must be known."""
    check_size(cache_size)
    known = num_pages is not None or not is_traced(requests)
    check(known, "num_pages", "None", "the number of pages, since traced requests cannot be seen")
    return read_requests(requests, num_pages)


def check_size(cache_size: Size) -> None:
    """Raise unless at least one page fits; a traced size cannot be seen."""
    if not is_traced(cache_size):
        to_integer("cache_size", cache_size, minimum=1)


def check_predictions(predicted_next: Real[AnyArray, "t"], num: int) -> Array:
    """Predicted times as floats."""
    predicted = to_array("predicted_next", predicted_next)
    check(predicted.shape == (num,), "predicted_next", f"shape {predicted.shape}", f"one time per request, ({num},)")
    return predicted


def cache_contents(requests: Shaped[AnyArray, "t"], run: Run) -> Bool[Array, "t p"]:
    r"""Pages in the cache after each request.

    .. math:: C_t = C_{t-1} \setminus \{\text{evicted}_t\} \cup \{r_t\}

    Parameters
    ----------
    requests : [t]
        The requests that the policy served.
    run
        Its result.

    Returns
    -------
    [t, p], bool
        A column per entry of ``run.pages``.

    Raises
    ------
    ValueError
        For a run of another length.

    Notes
    -----
    ``t p`` bytes, too many for a long trace: policies themselves keep one row of it.

    Examples
    --------
    >>> from verax.online.caching import belady, cache_contents
    >>> trace = ["a", "b", "c", "a"]
    >>> print(cache_contents(trace, belady(trace, 2)).astype(int))
    [[1 0 0]
     [1 1 0]
     [1 0 1]
     [1 0 1]]
    """
    codes = run_codes("run", requests, run)

    def serve(cached: Array, request: tuple[Array, Array]) -> tuple[Array, Array]:
        after = updated(cached, *request)
        return after, after

    return jax.lax.scan(serve, jnp.zeros(len(run.pages), bool), (codes, jnp.asarray(run.evicted)))[1]


def run_codes(argument: str, requests: Any, run: Run) -> Array:
    """Requests as indices of the pages of a run."""
    given = isinstance(run, Run) or (isinstance(run, tuple) and hasattr(run, "evicted"))
    check(given, argument, type(run).__name__, "a Run: the result of a policy")
    dense = is_traced((requests, run.pages)) or (run.pages.dtype.kind in "iu" and run.pages[-1] == len(run.pages) - 1)
    codes, pages = read_requests(requests, len(run.pages) if dense else None)
    evicted = jnp.shape(run.evicted)
    same = bool(evicted == codes.shape and (dense or np.array_equal(pages, np.asarray(run.pages))))
    check(same, argument, f"a run of {evicted} requests", f"one on these requests, {codes.shape}")
    return jnp.asarray(codes)


def updated(cached: Array, page: Array, evicted: Array) -> Array:
    """Contents after a request: without the evicted page (-1: all stay), with the requested one."""
    cached = cached & (jnp.arange(cached.shape[0], dtype=evicted.dtype) != evicted)
    return cached.at[page].set(True)
