"""Doctests of ``verax.kernels``.

Its sources lie outside ``src/verax``, so ``pytest --doctest-modules kernels`` would import them a second time, under
the name ``kernels``. Here they are the modules that everything else uses.
"""

import doctest
import importlib
import pkgutil

import pytest

import verax.kernels

MODULES = [module.name for module in pkgutil.walk_packages(verax.kernels.__path__, "verax.kernels.")]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    failed, _ = doctest.testmod(importlib.import_module(name))
    assert failed == 0


def test_modules_are_found():
    assert MODULES
