"""Output of the commands: folders checked before the work, files before the screen, and text that is only text."""

import contextlib
import io
import json
import os
import pathlib
import sys
from typing import Any

import numpy as np

from verax._errors import check
from verax._extras import extra
from verax._files import write_file


def check_output(argument: str, folder: pathlib.Path) -> None:
    """Raise unless a folder of results can be made or written; nothing is made yet."""
    check(folder.is_dir() or not folder.exists(), argument, f"{folder}, a file", "a folder")
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    usable = place.is_dir() and os.access(place, os.W_OK | os.X_OK)
    check(usable, argument, f"{folder}, below {place}, which cannot be written", "a folder that can be written")


def write_json(path: pathlib.Path, found: Any) -> pathlib.Path:
    """Write results as JSON; NaN and infinity as null, dates and the like as text."""
    text = json.dumps(as_plain(found), indent=2, default=str, allow_nan=False) + "\n"
    write_file(path, lambda file: file.write(text.encode()))
    return path


def as_plain(value: Any) -> Any:
    """Return results as JSON holds them: named tuples as dictionaries, arrays as lists, non-finite numbers as None."""
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, dict):
        return {str(name): as_plain(entry) for name, entry in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [as_plain(entry) for entry in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def shown_name(path: pathlib.Path) -> str:
    """Return the name of a file as text that every encoding can take, whatever its bytes."""
    return os.fsencode(path.name).decode("utf-8", "replace")


def show(*parts: Any) -> int:
    """Print parts on a rich console, without reading markup into them, and return the exit status.

    Names in the data are only text: "[/m]" and ":smile:" are shown as they are. Characters that the terminal's encoding
    lacks become question marks. Results are on disk by now, so a full disk or a closed pipe costs only the screen.
    """
    with extra("cli"):
        import rich.console

    try:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")
        console = rich.console.Console(markup=False, emoji=False, highlight=False)
        for part in parts:
            console.print(part, soft_wrap=isinstance(part, str))
        sys.stdout.flush()
    except OSError as error:
        # What is still buffered would raise again when the interpreter ends.
        with contextlib.suppress(OSError, ValueError):  # a stream that is no file
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print(f"verax: the results are written, but not printed ({error.strerror})", file=sys.stderr)
        return 1
    return 0
