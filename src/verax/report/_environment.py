"""What a result depends on besides its configuration."""

import datetime
import importlib.metadata
import os
import platform
from typing import Any

_PACKAGES = ("verax", "jax", "jaxlib", "numpy", "scipy", "scikit-learn", "flax", "optax")


def environment() -> dict[str, Any]:
    """Return versions, devices and numerical settings of this process, as plain values.

    Returns
    -------
    dict
        Python and package versions, operating system, number of CPU cores, JAX backend and devices, whether double
        precision is on, the default precision of matrix products, and the time in UTC.

    Notes
    -----
    Starts the JAX backend if it has not started.

    Examples
    --------
    >>> environment()["backend"] in ("cpu", "gpu", "tpu")
    True
    """
    import jax

    devices = jax.devices()
    return {
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        **{name: _version(name) for name in _PACKAGES},
        "system": f"{platform.system()} {platform.machine()}",
        "cpu_cores": os.cpu_count(),
        "backend": jax.default_backend(),
        "devices": f"{len(devices)} x {devices[0].device_kind}",
        "x64": jax.dtypes.canonicalize_dtype("float64") == "float64",
        "matmul_precision": str(getattr(jax.config, "jax_default_matmul_precision", None) or "default"),
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
