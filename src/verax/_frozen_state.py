"""Networks whose state was closed over tell so to a method that would ignore it without notice."""

import contextlib
import contextvars
from collections.abc import Iterable, Iterator

_WATCHERS: contextvars.ContextVar[list[str] | None] = contextvars.ContextVar("verax_frozen_state", default=None)


@contextlib.contextmanager
def watch() -> Iterator[list[str]]:
    """Collect the names of the state that networks called inside keep as it was when they were adapted."""
    names: list[str] = []
    token = _WATCHERS.set(names)
    try:
        yield names
    finally:
        _WATCHERS.reset(token)


def tell(names: Iterable[str]) -> None:
    """Called by an adapted network each time that it runs, or is traced."""
    watcher = _WATCHERS.get()
    if watcher is not None:
        watcher.extend(name for name in names if name not in watcher)
