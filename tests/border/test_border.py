"""The border by introspection: every public function, every array argument, in every form and spoiled in every way."""

import importlib
import importlib.util
import inspect
import pathlib
import re

import jax
import numpy as np
import pytest

import verax
from support.border import attempt, chosen, misnamed, trial, under_jit
from support.public import public_modules

# Not part of the border: programs, reproductions of papers, and kernels that are called through other packages.
OUTSIDE = {"cli", "papers", "kernels", "report"}

PACKAGES = sorted(set(verax._SUBMODULES) - OUTSIDE)
TRIALS = 12  # of an argument in the ordinary run; the slow one has all

pytestmark = pytest.mark.bad_input


@pytest.fixture(autouse=True)
def single_precision(x64):
    """What users have unless they ask for more."""
    jax.config.update("jax_enable_x64", False)
    yield
    jax.config.update("jax_enable_x64", x64)


def load_calls(package):
    path = pathlib.Path(__file__).with_name(f"calls_{package}.py")
    if not path.exists():
        return None
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.CALLS


def public_functions(package):
    """Names of the functions that a package and its public modules export."""
    return {
        f"{module.__name__}.{name}"
        for module in public_modules(package)
        for name, value in vars(module).items()
        if not name.startswith("_") and callable(value) and not inspect.isclass(value)
    }


CALLS = {package: load_calls(package) for package in PACKAGES}
NAMES = [(package, name) for package, calls in CALLS.items() for name in calls or {}]


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_function_has_a_call(package):
    assert CALLS[package] is not None, f"register calls in tests/border/calls_{package}.py"
    assert public_functions(package) - set(CALLS[package]) == set(), "functions without a call"


@pytest.mark.parametrize(("package", "name"), NAMES, ids=[name for _, name in NAMES])
def test_every_form_and_every_spoil(package, name):
    run(package, name, TRIALS)


@pytest.mark.slow
@pytest.mark.parametrize(("package", "name"), NAMES, ids=[name for _, name in NAMES])
def test_all_forms_and_spoils(package, name):
    run(package, name, None)


def run(package, name, num):
    call = CALLS[package][name]
    if call.needs is not None and importlib.util.find_spec(call.needs) is None:
        pytest.skip(f"needs {call.needs}")  # looked for, not imported: torchax needs the import of from_torch
    clean = attempt(call, {})
    assert clean.error is None, f"the registered call fails: {clean.error}"
    kept = {argument: np.array(call.arguments[argument]) for argument in call.arrays}
    wrong = [f"under jit: {found}" for found in [under_jit(call, clean.value)] if found]
    for argument in call.arrays:
        for trial_name in chosen(name, argument, num):
            found = trial(call, argument, trial_name, clean.value)
            if found:
                wrong.append(f"{argument} <- {trial_name}: {found}")
    for argument, values in kept.items():
        assert np.array_equal(values, call.arguments[argument]), f"{argument} was changed in place"
    for first, second in zip(call.arrays, call.arrays[1:], strict=False):
        changes = {first: call.arguments[second], second: call.arguments[first]}
        outcome = attempt(call, changes)
        if outcome.error is not None:
            found = misnamed(call, outcome.error)
            if found:
                wrong.append(f"{first} and {second} swapped: {found}")
    if wrong:
        pytest.fail(f"{len(wrong)} of the trials of {name}:\n" + "\n".join(wrong), pytrace=False)


PAGE = pathlib.Path(__file__).parents[2] / "docs" / "guide" / "inputs.md"
ROW = re.compile(r"^\| `([^`]+)` \| `([^`]+)` \|(.*)\|$", re.M)


def test_the_page_of_inputs_has_every_array_argument():
    names = {
        (name.removeprefix("verax."), argument): call.needs
        for calls in CALLS.values()
        for name, call in (calls or {}).items()
        for argument in call.arrays
    }
    found = {(name, argument) for name, argument, _ in ROW.findall(PAGE.read_text(encoding="utf-8"))}
    missing = {place for place, needs in names.items() if needs is None} - found
    assert not missing, "python tests/border/table.py measures the page anew"
    assert not found - names.keys(), "rows of functions or arguments that are gone"


def test_every_outcome_on_the_page_of_inputs_is_allowed():
    for name, argument, cells in ROW.findall(PAGE.read_text(encoding="utf-8")):
        outcomes = {cell.strip() for cell in cells.split("|")}
        assert outcomes <= {"=", "ok", "!", r"\*", "."}, (name, argument)
