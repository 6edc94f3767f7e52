"""More Than a Toy: how many threads a decomposition gets."""

import contextlib

from verax._extras import extra


def few_threads(size: int) -> contextlib.AbstractContextManager:
    """One thread for decompositions of small matrices, on which BLAS threads mostly wait for each other."""
    if size > 600:
        return contextlib.nullcontext()
    with extra("probe"):
        import threadpoolctl
    return threadpoolctl.threadpool_limits(1)
