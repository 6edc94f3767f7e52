"""Timing, environment and records that all benchmarks share."""

import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

RESULTS = pathlib.Path(__file__).parent / "results"


def interleaved(functions: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each call, the functions taking turns so that a busy moment of the machine hits them alike.

    One call of each comes first and is not counted (compilation, caches). The order is reversed every other round.
    """
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for function in functions.values():
        jax.block_until_ready(function())
    for repeat in range(repeats):
        names = list(functions) if repeat % 2 == 0 else list(functions)[::-1]
        for name in names:
            start = time.perf_counter()
            jax.block_until_ready(functions[name]())
            seconds[name].append(time.perf_counter() - start)
    return seconds


def ratios(seconds: Mapping[str, list[float]], *, ours: str) -> dict[str, float]:
    """Median over rounds of the other's time divided by ours, taken round by round."""
    return {name: float(np.median(np.divide(times, seconds[ours]))) for name, times in seconds.items() if name != ours}


def environment(*packages: str) -> dict[str, Any]:
    """Versions, devices and precision settings of this run; ``packages`` are further distributions to name."""
    names = ("jax", "jaxlib", "numpy", "scipy", *packages)
    return {
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in names},
        "platform": platform.platform(),
        "processor": _processor(),
        "num_cores": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "device": jax.devices()[0].device_kind,
        "backend": jax.default_backend(),
        "x64": jax.config.read("jax_enable_x64"),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def write(name: str, record: Mapping[str, Any]) -> pathlib.Path:
    """Write a record to ``results/<device>/<name>.json`` and return the path."""
    path = _path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=2, default=_plain) + "\n")
    return path


def read(name: str) -> dict[str, Any]:
    """Read the record that :func:`write` wrote last on this kind of device, empty if there is none."""
    path = _path(name)
    return json.loads(path.read_text()) if path.exists() else {}


def _path(name: str) -> pathlib.Path:
    folder = "cpu" if jax.default_backend() == "cpu" else jax.devices()[0].device_kind.lower().replace(" ", "-")
    return RESULTS / folder / f"{name}.json"


def _processor() -> str:
    info = pathlib.Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)
