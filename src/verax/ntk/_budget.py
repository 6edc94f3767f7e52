"""The memory that a computation may take when the caller names none."""

import functools
import os

import jax


@functools.cache
def _total_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def default_memory_budget() -> int:
    """Half of the host's available memory, or eight tenths of the free memory of an accelerator."""
    device = jax.local_devices()[0]
    if device.platform == "cpu":
        try:
            return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES") // 2
        except (ValueError, OSError):  # pragma: no cover - systems without that figure
            return _total_memory() // 4
    stats = device.memory_stats() or {}
    free = stats.get("bytes_limit", 8 * 2**30) - stats.get("bytes_in_use", 0)
    return int(0.8 * free)
