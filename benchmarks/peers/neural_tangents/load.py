"""Import neural-tangents without TensorFlow: its TensorFlow bridge is stubbed, since nothing here uses it."""

import importlib
import sys
import types


class _AnythingMeta(type):
    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Anything


class Anything(metaclass=_AnythingMeta):
    """Stands for every class that the TensorFlow bridge names in its annotations."""


class _Stub(types.ModuleType):
    def __getattr__(self, name):
        return getattr(Anything, name)


def load():
    """The module ``neural_tangents``, for the pinned environment of ``requirements.txt``."""
    for name in ("tensorflow", "tf2jax", "jax.experimental.jax2tf"):
        sys.modules.setdefault(name, _Stub(name))
    return importlib.import_module("neural_tangents")
