"""More Than a Toy: how many threads a decomposition gets."""

import contextlib

import threadpoolctl


def few_threads(size: int) -> contextlib.AbstractContextManager:
    """One thread for decompositions of small matrices, on which BLAS threads mostly wait for each other."""
    return threadpoolctl.threadpool_limits(1) if size <= 600 else contextlib.nullcontext()
