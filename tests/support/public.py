"""Modules whose names users import."""

import importlib
import types


def public_modules(package):
    """A package of the library and its public modules."""
    module = importlib.import_module(f"verax.{package}")
    inner = [
        value
        for name, value in vars(module).items()
        if isinstance(value, types.ModuleType) and value.__name__ == f"verax.{package}.{name}" and name[0] != "_"
    ]
    return [module, *inner]
