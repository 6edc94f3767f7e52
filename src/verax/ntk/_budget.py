"""The memory that a computation may take when the caller names none."""

from typing import Any

import jax

from verax._memory import available_memory, planned_memory


def default_memory_budget() -> int:
    """Bytes for plans, the same from run to run."""
    device = jax.local_devices()[0]
    return planned_memory() if device.platform == "cpu" else _on_device(device) // 2**30 * 2**30


def largest_memory_budget() -> int:
    """Bytes beyond which nothing is tried."""
    device = jax.local_devices()[0]
    return 9 * available_memory() // 10 if device.platform == "cpu" else _on_device(device)


def _on_device(device: Any) -> int:
    stats = device.memory_stats() or {}
    return 9 * (stats.get("bytes_limit", 8 * 2**30) - stats.get("bytes_in_use", 0)) // 10
