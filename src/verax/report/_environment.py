"""Conditions that a result depends on besides its configuration."""

import datetime
import os
from typing import Any


def environment() -> dict[str, Any]:
    """Return versions, devices and numerical settings of this process, as plain values.

    Returns
    -------
    dict
        The time in UTC, versions of Python and of the packages that compute, platform, number of CPU cores, devices,
        whether double precision is on, the default precision of matrix products, and the state of the native code.

    Notes
    -----
    Starts JAX's backends if they have not started.

    Examples
    --------
    >>> sorted(environment())[:4]
    ['cpu_cores', 'devices', 'flax', 'jax']
    """
    import jax

    from verax._doctor import doctor

    facts = doctor()
    return {
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        **facts["versions"],
        "platform": facts["platform"],
        "cpu_cores": os.cpu_count(),
        "devices": facts["devices"],
        "x64": facts["x64"],
        "matmul_precision": getattr(jax.config, "jax_default_matmul_precision", None) or "default",
        "native": facts["native"]["status"],
    }
