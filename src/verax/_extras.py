"""Packages that only some functions need: installed by extras, and named with their extra where they are missing."""

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def extra(name: str) -> Iterator[None]:
    """Around imports of packages of the extra ``name``: a missing one is told in one sentence with the command.

    Raises
    ------
    ModuleNotFoundError
        With the package, and ``pip install "verax[name]"``.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or str(error)).partition(".")[0]
        message = f'this needs {package}, which is not installed: pip install "verax[{name}]"'
        raise ModuleNotFoundError(message, name=package) from None
