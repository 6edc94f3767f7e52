"""``scipy.special``, imported when the first of its functions is used: the import takes a third of a second."""

from typing import Any


def __getattr__(name: str) -> Any:
    from scipy import special

    return getattr(special, name)
