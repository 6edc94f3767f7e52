"""How far a model, a market or an algorithm can be trusted when the ground truth is missing.

Every package (``verax.ntk``, ``verax.spectral``, ...) is imported when it is first used.
"""

import importlib
import importlib.metadata

__version__ = importlib.metadata.version("verax")

_SUBMODULES = (
    "audit",
    "cli",
    "data",
    "evals",
    "federated",
    "gradients",
    "influence",
    "kernels",
    "matching",
    "models",
    "ntk",
    "online",
    "organisms",
    "papers",
    "parallel",
    "probe",
    "report",
    "shift",
    "spectral",
)


def __getattr__(name: str):
    if name in _SUBMODULES:
        return importlib.import_module(f"verax.{name}")
    raise AttributeError(f"module 'verax' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *_SUBMODULES]
