"""Names that have moved: their old path works for one release, with a warning that names the new one."""

import importlib
import warnings
from collections.abc import Callable
from typing import Any


def moved(old: str, new: str) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a module ``old`` whose names are now in the module ``new``."""

    def find(name: str) -> Any:
        target = importlib.import_module(new)
        if name.startswith("_") or not hasattr(target, name):
            raise AttributeError(f"module {old!r} has no attribute {name!r}")
        warnings.warn(f"{old}.{name} is now {new}.{name}", DeprecationWarning, stacklevel=2)
        return getattr(target, name)

    return find
