"""Description of this installation, for bug reports and for ``verax doctor``."""

import importlib.metadata
import os
import pathlib
import platform
from typing import Any

import jax

from verax._native import find_library, native_status

_PACKAGES = ("verax", "jax", "jaxlib", "numpy", "scipy", "optax", "flax", "scikit-learn")


def doctor() -> dict[str, Any]:
    """Collect versions, devices, the state of native code and the data folder.

    Returns
    -------
    dict
        ``"versions"``: name to version, ``None`` where a package is absent. ``"platform"``. ``"x64"``: whether JAX has
        64-bit types enabled. ``"devices"``: a description each. ``"native"``: ``status`` (``"ok"`` or the reason why
        not) and ``library`` (its path or ``None``). ``"data"``: ``folder``, the value of ``VERAX_DATA`` if set, and
        ``files``, name to bytes, or ``None`` if there is no such folder.

    Notes
    -----
    Starts JAX's backends and tries out native code. A problem is reported, not raised.

    Examples
    --------
    >>> from verax._doctor import doctor
    >>> sorted(doctor())
    ['data', 'devices', 'native', 'platform', 'versions', 'x64']
    """
    return {
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}},
        "platform": platform.platform(),
        "x64": bool(jax.config.read("jax_enable_x64")),
        "devices": _devices(),
        "native": _native(),
        "data": _data_folder(),
    }


def report_text() -> str:
    """Render :func:`doctor` as plain text, one fact per line."""
    facts = doctor()
    lines = [f"{name:<14}{version or 'not installed'}" for name, version in facts["versions"].items()]
    lines.append(f"{'platform':<14}{facts['platform']}")
    lines.append(f"{'x64':<14}{'on' if facts['x64'] else 'off'}")
    lines += [f"{'device':<14}{device}" for device in facts["devices"]]
    native = facts["native"]
    lines.append(f"{'native':<14}{native['status']}")
    if native["library"]:
        lines.append(f"{'':<14}{native['library']}")
    if native["status"] != "ok":
        lines.append(f"{'':<14}pure-JAX implementations serve")
    data = facts["data"]
    if data["folder"] is None:
        lines.append(f"{'data':<14}VERAX_DATA is not set")
    elif data["files"] is None:
        lines.append(f"{'data':<14}{data['folder']}: no such folder")
    else:
        lines.append(f"{'data':<14}{data['folder']}: {len(data['files'])} files")
        lines += [f"{'':<14}{name}  {size / 1e6:.1f} MB" for name, size in data["files"].items()]
    return "\n".join(lines)


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _devices() -> list[str]:
    try:
        return [f"{device.platform}:{device.id} {device.device_kind}" for device in jax.devices()]
    except RuntimeError as error:  # no backend could be started, which is what the reader needs to know
        return [f"none: {error}"]


def _native() -> dict[str, str | None]:
    library = find_library()
    try:
        status = native_status()
    except (RuntimeError, ValueError) as error:  # VERAX_NATIVE=1 without native code, or not one of its values
        status = str(error)
    return {"status": status, "library": None if library is None else str(library)}


def _data_folder() -> dict[str, Any]:
    name = os.environ.get("VERAX_DATA")
    if not name:
        return {"folder": None, "files": None}
    folder = pathlib.Path(name).expanduser().absolute()
    if not folder.is_dir():
        return {"folder": str(folder), "files": None}
    found = sorted(path for path in folder.iterdir() if path.is_file())
    return {"folder": str(folder), "files": {path.name: path.stat().st_size for path in found}}
