"""The compiled library of CPU operations: found, checked, registered and tried out once, when an operation first asks.

Registering a handler that was built with newer FFI headers than the running jaxlib makes every later JAX call of the
process fail, silently at first. So nothing happens at import; the library's version is compared with the runtime's; the
CPU backend is started first, which turns a refusal into an exception; and a small problem with a known answer is solved
before its results are used. Whatever goes wrong is a reason in :func:`native_status`, never a broken process.
"""

import ctypes
import functools
import importlib.metadata
import itertools
import os
import pathlib
import re
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np

from ._errors import check_option

ASSIGNMENT = "verax_assignment"
"""Name of the exact assignment operation, both the symbol in the library and the FFI target."""

TRANSPORT = "verax_transport"
"""Name of the exact transport operation."""

MATCH_UCB = "verax_match_ucb"
"""Name of the operation that plays rounds of MatchUCB."""

_lock = threading.Lock()


def native_status() -> str:
    """Say whether compiled operations are in use.

    Returns
    -------
    str
        ``"ok"``, or the reason why the pure-JAX implementations serve instead.

    Notes
    -----
    The first call loads the library and starts JAX's CPU backend. ``VERAX_NATIVE=0`` keeps it from being looked for;
    ``VERAX_NATIVE=1`` turns every reason into a ``RuntimeError``; the default is ``auto``. The variable is read once.
    """
    with _lock:
        return _status_once()


def native_available() -> bool:
    """Whether compiled operations are in use; see :func:`native_status`."""
    return native_status() == "ok"


def require_native() -> None:
    """Raise ``RuntimeError`` with the reason unless compiled operations are in use."""
    status = native_status()
    if status != "ok":
        raise RuntimeError(f"implementation='native' was asked for, but native code is not in use: {status}")


def chosen(implementation: str) -> str:
    """Check ``implementation``, and resolve ``"auto"`` to ``"xla"`` where native code is not in use."""
    check_option("implementation", implementation, ("auto", "native", "xla"))
    if implementation == "native":
        require_native()
    return "xla" if implementation == "auto" and not native_available() else implementation


@functools.cache  # an exception is not cached: with VERAX_NATIVE=1 every call fails, not only the first
def _status_once() -> str:
    mode = os.environ.get("VERAX_NATIVE", "auto")
    if mode not in ("0", "1", "auto"):
        raise ValueError(f"VERAX_NATIVE: got {mode!r}; need one of '0', '1', 'auto'")
    if mode == "0":
        return "off: VERAX_NATIVE=0"
    path = find_library()
    status = "not built: no compiled library in verax/_ext" if path is None else _load(path)
    if status == "ok":
        return status
    if mode == "1":
        raise RuntimeError(f"VERAX_NATIVE=1, but native code cannot be used: {status}")
    if path is not None:  # a library that is present but unusable deserves a warning; an absent one is normal
        warnings.warn(
            f"verax: pure-JAX implementations serve, because native code cannot be used: {status}", stacklevel=4
        )
    return status


def find_library() -> pathlib.Path | None:
    """Path of the compiled library, or ``None``.

    An editable install serves Python files from the source tree and the library from site-packages, so every folder of
    the package is searched, and the installed distribution's too: an import hook may know only the source tree.
    """
    suffix = {"darwin": ".dylib", "win32": ".dll"}.get(sys.platform, ".so")
    installed = importlib.metadata.distribution("verax").locate_file("verax")
    for folder in (*sys.modules["verax"].__path__, str(installed)):
        for path in sorted((pathlib.Path(folder) / "_ext").glob(f"*verax_cpu{suffix}")):
            return path
    return None


def runtime_api_version() -> tuple[int, int]:
    """FFI version of the running jaxlib, read from the header that ships with it."""
    header = pathlib.Path(jax.ffi.include_dir()) / "xla" / "ffi" / "api" / "c_api.h"
    text = header.read_text()
    major, minor = (re.search(rf"#define XLA_FFI_API_{part}\s+(\d+)", text) for part in ("MAJOR", "MINOR"))
    if major is None or minor is None:
        raise RuntimeError(f"{header} does not state a version")
    return int(major[1]), int(minor[1])


def _load(path: pathlib.Path) -> str:
    try:
        library = ctypes.CDLL(str(path))
        built = divmod(library.verax_ffi_api_version(), 1000)
        runtime = runtime_api_version()
    except (OSError, AttributeError, RuntimeError) as error:
        return f"{path} cannot be loaded: {error}"
    # Older handlers run on a newer runtime; a newer one must never be registered.
    if built[0] != runtime[0] or built[1] > runtime[1]:
        return (
            f"{path} was built for FFI {built[0]}.{built[1]}, but jaxlib has {runtime[0]}.{runtime[1]}; reinstall verax"
        )
    try:
        jax.local_devices(backend="cpu")
        for name in (ASSIGNMENT, TRANSPORT, MATCH_UCB):
            jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(getattr(library, name)), platform="cpu")
        # In a thread of its own, because the first request may come while this one traces a user's function.
        with ThreadPoolExecutor(1) as executor:
            correct = executor.submit(_self_test).result()
    except Exception as error:  # whatever JAX raises here, the pure-JAX implementations still work
        return f"{path} failed: {type(error).__name__}: {error}"
    return "ok" if correct else f"{path} failed its self-test: a wrong assignment"


def _self_test() -> bool:
    """Solve two small assignment problems with known answers, and check prices and values."""
    weights = np.array([[[3, 5, -1], [4, 5, 2]], [[-1, 7, 6], [-2, 9, 1]]], np.float32)
    rows, columns = np.empty((2, 2), np.int32), np.empty((2, 3), np.int32)
    results = [rows, columns, rows.astype(np.float32), columns.astype(np.float32), weights[:, 0, 0], rows[:, 0]]
    call = jax.ffi.ffi_call(ASSIGNMENT, [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in results])
    cold = np.empty((2, 0), np.int32), np.empty((2, 0), np.float32)
    options = {"maximize": np.bool_(True), "allow_unmatched": np.bool_(False), "rule": np.int32(0)}
    with jax.default_device(jax.local_devices(backend="cpu")[0]):
        solved = jax.jit(functools.partial(call, **options))(weights, *cold)
    col_of_row, row_of_col, row_price, col_price, value, status = (np.asarray(x) for x in solved)
    for k, matrix in enumerate(weights):
        best = max(matrix[[0, 1], columns].sum() for columns in itertools.permutations(range(3), 2))
        found = matrix[[0, 1], col_of_row[k]].sum()
        slack = row_price[k][:, None] + col_price[k] - matrix
        tight = row_price[k].sum() + col_price[k].sum() == best
        inverse = (row_of_col[k][col_of_row[k]] == [0, 1]).all()
        if status[k] != 0 or found != best or value[k] != best or not tight or (slack < 0).any() or not inverse:
            return False
    return True
