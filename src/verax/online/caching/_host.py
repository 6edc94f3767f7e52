"""Eviction of the furthest page on the host: concrete traces of millions of requests, in a heap."""

import heapq

import numpy as np

from ._requests import Requests, Run, Size


def evict_furthest_on_host(requests: Requests, times: np.ndarray, cache_size: Size) -> Run:
    """Evict the cached page of latest time, of several the first; O(log t) per request and O(t + pages) memory."""
    size, num = int(cache_size), len(requests.codes)
    missed, evicted = np.zeros(num, bool), np.full(num, -1, np.int32)
    due: list[float | None] = [None] * len(requests.pages)  # of cached pages
    heap: list[tuple[float, int]] = []  # latest first; entries of pages that have a new time stay until they come up
    held = 0
    for at, (page, time) in enumerate(zip(requests.codes.tolist(), times.tolist(), strict=True)):
        if due[page] is None:
            missed[at] = True
            if held >= size:
                while True:
                    latest, victim = heapq.heappop(heap)
                    if due[victim] == -latest:
                        break
                due[victim] = None
                evicted[at] = victim
            else:
                held += 1
        due[page] = time
        heapq.heappush(heap, (-time, page))
        if len(heap) > 2 * len(due) + 64:
            heap = [(-when, other) for other, when in enumerate(due) if when is not None]
            heapq.heapify(heap)
    return requests.served(missed, evicted)
