"""Readers of the logs of tools that produce verdicts; text is dropped unless asked for.

The public names are those of :mod:`verax.evals`.
"""

from verax import _deprecated

__getattr__ = _deprecated.moved(__name__, "verax.evals")  # names of version 0.1; removed in 0.3
