"""torchax, imported beside a torch that lacks operator overloads which torchax still names.

torch 2.13 has no overloads for named dimensions any more; torchax 0.0.13 lists them in its tables of operators. They
are supplied while torchax is imported, by objects that nothing calls, and taken away afterwards.
"""

import contextlib
import functools
import importlib
import importlib.metadata
import importlib.util
import os
import re
from collections.abc import Iterator
from typing import Any

import jax

_DROPPED = re.compile("[Dd]imname|names")
_TELEMETRY = "ENABLE_RUNTIME_UPTIME_TELEMETRY"
_INSTALL = 'pip install "verax[torch]"'


@functools.cache
def environment() -> Any:
    """An environment of torchax in which torch functions act on JAX arrays."""
    for name in ("torch", "torchax"):
        if importlib.util.find_spec(name) is None:
            raise ModuleNotFoundError(f"from_torch needs torch and torchax, and {name} is not installed: {_INSTALL}")
    import torch  # pyright: ignore[reportMissingImports]

    try:
        with _kept_settings(), _dropped_overloads(torch):
            tensor = importlib.import_module("torchax.tensor")
            found = tensor.Environment()
    except Exception as error:
        versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("torch", "torchax"))
        raise ImportError(f"torchax cannot be imported ({error}) with {versions}; these work: {_INSTALL}") from error
    found.get_and_rotate_prng_key = _refuse_random
    return found


class RandomNumbers(Exception):
    """A module draws random numbers."""


def _refuse_random(*_: Any, **__: Any) -> Any:
    raise RandomNumbers("random numbers")


@contextlib.contextmanager
def _dropped_overloads(torch: Any) -> Iterator[None]:
    packet = type(torch.ops.aten.add)
    original = packet.__getattr__

    def supply(self: Any, name: str) -> Any:
        try:
            return original(self, name)
        except AttributeError:
            if not _DROPPED.search(name):
                raise
            return (str(self), name)  # a key of torchax's tables that no operator has

    packet.__getattr__ = supply
    try:
        yield
    finally:
        packet.__getattr__ = original


@contextlib.contextmanager
def _kept_settings() -> Iterator[None]:
    """Undo what the import of torchax changes for everybody else: telemetry, an option of JAX, a fast path of torch."""
    import torch  # pyright: ignore[reportMissingImports]

    telemetry = os.environ.get(_TELEMETRY)
    fast = torch.backends.mha.get_fastpath_enabled()
    option = "jax_pjrt_client_create_options"
    before = getattr(jax.config, option, None)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        if telemetry is None:
            os.environ.pop(_TELEMETRY, None)
        else:
            os.environ[_TELEMETRY] = telemetry
        if hasattr(jax.config, option):
            jax.config.update(option, before)


@contextlib.contextmanager
def no_fast_path() -> Iterator[None]:
    """Keep torch's attention on operators that torchax knows."""
    import torch  # pyright: ignore[reportMissingImports]

    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
