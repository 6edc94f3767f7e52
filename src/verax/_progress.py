"""Progress bars, drawn by rich when asked for."""

import contextlib
from collections.abc import Callable, Iterator

from verax._extras import extra


@contextlib.contextmanager
def progress_bar(description: str, total: int, enabled: bool) -> Iterator[Callable[[], None]]:
    """Yield a function that advances the bar by one; it does nothing unless enabled."""
    if not enabled:
        yield lambda: None
        return
    with extra("cli"):
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as bar:
        task = bar.add_task(description, total=total)
        yield lambda: bar.advance(task)
