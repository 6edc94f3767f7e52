"""How much memory a computation may take on this machine."""

import os
import pathlib
import resource
import sys

_PROC, _CGROUPS = pathlib.Path("/proc"), pathlib.Path("/sys/fs/cgroup")


def available_memory() -> int:
    """Return the bytes that can still be taken: the least of the system's, the control group's and the process's.

    Linux counts caches that it would give up as available; a control group's usage is counted without its file cache.
    """
    limits = [_system(), *_control_groups()]
    soft = resource.getrlimit(resource.RLIMIT_AS)[0]
    if soft != resource.RLIM_INFINITY:
        limits.append(soft - _pages(_PROC / "self" / "statm"))
    return max(0, min(limits))


def planned_memory() -> int:
    """Return a budget for plans: the largest power of two in three quarters of the available."""
    # A power of two, so that plans are the same from run to run.
    return 1 << max(0, (3 * available_memory() // 4).bit_length() - 1)


def _system() -> int:
    for line in _read(_PROC / "meminfo").splitlines():
        name, _, rest = line.partition(":")
        if name == "MemAvailable":
            return int(rest.split()[0]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _control_groups() -> list[int]:
    """Return what is left of the limits of the groups that hold this process, of both versions."""
    left = []
    for line in _read(_PROC / "self" / "cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            names = (_CGROUPS, "memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            names = (_CGROUPS / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        root, limit, usage, cached = names
        group = root / path.lstrip("/")
        # A container sees its own group at the root, whatever path its name has.
        for folder in {root, *([group, *group.parents] if group.is_dir() else [])}:
            most, used = _read(folder / limit).strip(), _read(folder / usage).strip()
            if most.isdigit() and used.isdigit():
                left.append(int(most) - int(used) + _statistic(folder / "memory.stat", cached))
    return left


def _statistic(path: pathlib.Path, name: str) -> int:
    return next((int(line.split()[1]) for line in _read(path).splitlines() if line.startswith(name + " ")), 0)


def _pages(path: pathlib.Path) -> int:
    text = _read(path)
    return int(text.split()[0]) * resource.getpagesize() if text else 0


def _read(path: pathlib.Path) -> str:
    try:
        return path.read_text() if sys.platform == "linux" else ""
    except OSError:
        return ""
