"""Papers: one package per paper, which measures the paper's claims with the library and returns a ``Report``.

A package holds ``Config``, a frozen dataclass with ``demo()``, ``laptop()`` and ``full()``, and
``run(config, *, key, data=None, progress=True) -> Report``. It is imported when it is first used.
"""

from ._run import SCALES as SCALES
from ._run import Config as Config
from ._run import Paper as Paper
from ._run import Steps as Steps
from ._run import load as load
from ._run import names as names
from ._run import reproduce as reproduce


def __getattr__(name: str) -> Paper[Config]:
    if name in names():
        return load(name)
    raise AttributeError(f"module 'verax.papers' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *names()})
