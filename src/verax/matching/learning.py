"""Policies and their simulation, by the path of version 0.1: use ``verax.matching``. Removed in 0.3."""

from verax import _deprecated

__getattr__ = _deprecated.moved(__name__, "verax.matching")
