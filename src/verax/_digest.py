"""One identity for caches, checkpoints and jobs: equal digests mean an equal computation.

=========================  =====================================================================================
:func:`digest`             hash of values of any kind: arrays, pytrees, whole configurations, functions
:func:`program_digest`     hash of a function as the program that it is for examples of given shapes
:func:`identity`           named digests of all that a run depends on, as JSON
:func:`check_identity`     refusal of stored work of another run, with the names that differ
:func:`versions`           versions of what the result depends on
=========================  =====================================================================================

Each value is written with its type and its length, so that ``("k", 1, 23)`` and ``("k", 12, 3)`` differ, and so do 1,
1.0 and True. Dataclasses, named tuples and other objects are written with all their fields: no caller lists them.
Functions are written as their code, defaults, closures and the globals that they name; library functions without
those globals, for which :func:`versions` stands.
"""

import dataclasses
import enum
import functools
import hashlib
import os
import pathlib
import re
import sys
import sysconfig
import types
from collections.abc import Mapping, Set
from typing import Any

import jax
import numpy as np

from ._array_likes import is_key, read_array
from ._errors import fail, is_traced

_ADDRESS = re.compile(r"\b0x[0-9a-f]+")
_LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})
_PLAIN = (str, bytes, int, float, complex, bool)
_OURS = str(pathlib.Path(__file__).parent) + os.sep


def digest(*parts: Any) -> str:
    """Return the SHA-256, in hexadecimal digits, of values of any kind.

    Parameters
    ----------
    *parts
        Numbers, text, arrays, random keys, containers, dataclasses, pytrees, functions, partial functions, optimizers,
        modules, and objects with attributes.

    Raises
    ------
    ValueError
        For a traced array, whose entries cannot be read.
    """
    writer = _Writer({})
    writer.write(parts)
    return writer.hash.hexdigest()


def program_digest(fn: Any, *examples: Any) -> str:
    """Return the digest of the program that ``fn`` is for arguments of these shapes, and of the constants in it."""
    closed = jax.make_jaxpr(fn)(*examples)
    return digest(_ADDRESS.sub("", str(closed.jaxpr)), _constants(closed))


def identity(**parts: Any) -> dict[str, str]:
    """Return a digest for each named part, and the versions: what a checkpoint keeps to know whose it is."""
    return {name: digest(part) for name, part in parts.items()} | versions()


def check_identity(argument: str, place: object, stored: object, now: Mapping[str, str]) -> None:
    """Raise if stored work at ``place`` belongs to a run that differs from this one, naming what differs."""
    if not isinstance(stored, Mapping):
        fail(argument, f"{place}, without an identity", "a file of this run, or a new one")
    other = [name.replace("_", " ") for name in sorted({*stored, *now}) if stored.get(name) != now.get(name)]
    if other:
        fail(argument, f"{place}, of a run with another {', '.join(other)}", "a file of this run, or a new one")


def versions() -> dict[str, str]:
    """Return the versions that results depend on: of Verax, and the minor one of JAX."""
    from verax import __version__

    return {"verax": __version__, "jax": ".".join(jax.__version__.split(".")[:2])}


class _Writer:
    """Values as bytes into a hash: a tag, a length, the contents."""

    def __init__(self, being_written: dict[int, int]) -> None:
        self.hash = hashlib.sha256()
        self.open = being_written  # containers by their depth: objects may hold themselves

    def put(self, tag: str, contents: bytes | memoryview = b"") -> None:
        self.hash.update(f"{tag}:{len(contents)}:".encode())
        self.hash.update(contents)

    def write(self, value: Any) -> None:
        """Write a value of any kind."""
        if value is None or type(value) in _PLAIN:
            text = value if isinstance(value, str | bytes) else repr(value)
            self.put(type(value).__name__, text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text)
        elif isinstance(value, jax.Array | np.ndarray | np.generic):
            self.write_array(value)
        elif id(value) in self.open:
            self.put("again", str(self.open[id(value)]).encode())
        else:
            self.open[id(value)] = len(self.open)
            self.write_container(value)
            del self.open[id(value)]

    def write_array(self, value: Any) -> None:
        """Write dtype, shape and bytes; keys by their kind and integers."""
        if is_traced(value):
            fail("digest", "a traced array", "concrete values: identities are read outside jit, vmap and grad")
        kind = str(value.dtype)
        array = np.asarray(jax.random.key_data(value) if is_key(value) else value)
        if array.dtype.kind == "O":
            self.group("objects", [array.shape, *array.ravel().tolist()])
            return
        self.put("array", f"{kind} {array.shape}".encode())
        self.put("entries", np.ascontiguousarray(array).reshape(-1).view(np.uint8).data if array.size else b"")

    def group(self, tag: str, parts: list[Any]) -> None:
        """Write several values in order."""
        self.put(tag, str(len(parts)).encode())
        for part in parts:
            self.write(part)

    def unordered(self, tag: str, parts: list[Any]) -> None:
        """Write several values in an order that depends on their contents only."""
        digests = []
        for part in parts:
            inner = _Writer(self.open)
            inner.write(part)
            digests.append(inner.hash.hexdigest())
        self.group(tag, sorted(digests))

    def write_container(self, value: Any) -> None:
        """Write what has parts."""
        name = _name(type(value))
        if isinstance(value, enum.Enum):
            self.group("enum", [name, value.name])
        elif isinstance(value, _PLAIN):  # of a class of the user's
            base: Any = next(base for base in _PLAIN if isinstance(value, base))
            self.group(name, [base(value)])
        elif isinstance(value, type):
            self.group("class", [_name(value), {} if _is_library(value) else _methods(value)])
        elif isinstance(value, types.ModuleType):
            self.group("module", [value.__name__])
        elif isinstance(value, np.dtype | os.PathLike):
            self.group(name, [str(value)])
        elif isinstance(value, types.CodeType):
            flags = [value.co_flags, value.co_argcount, value.co_posonlyargcount, value.co_kwonlyargcount]
            names = [value.co_names, value.co_varnames, value.co_freevars]
            self.group("code", [value.co_code, list(value.co_consts), flags, names])
        elif isinstance(value, types.FunctionType):
            self.write_function(value)
        elif isinstance(value, types.MethodType):
            self.group("method", [value.__func__, value.__self__])
        elif isinstance(value, functools.partial):
            self.group("partial", [value.func, value.args, value.keywords])
        elif isinstance(value, types.BuiltinFunctionType | types.MethodDescriptorType | types.WrapperDescriptorType):
            self.group("builtin", [value.__qualname__, getattr(value, "__module__", None)])
        elif isinstance(value, Mapping):
            self.unordered(name, list(value.items()))
        elif isinstance(value, Set):
            self.unordered(name, list(value))
        elif isinstance(value, list | tuple):
            self.group(name, list(value))
        elif dataclasses.is_dataclass(value):
            self.group(name, [(field.name, getattr(value, field.name, None)) for field in dataclasses.fields(value)])
        elif hasattr(value, "__wrapped__"):  # jitted and otherwise decorated functions
            self.group(name, [value.__wrapped__, _state(value)])
        elif not jax.tree_util.all_leaves([value]):
            leaves, structure = jax.tree.flatten(value)
            self.group(name, [_ADDRESS.sub("", str(structure)), *leaves])
        elif hasattr(value, "detach"):  # a tensor of PyTorch
            self.group(name, [read_array("digest", value)])
        else:
            self.group(name, [type(value), _state(value)])

    def write_function(self, fn: types.FunctionType) -> None:
        """Write a function as its code, defaults, closure, and the globals that its code names."""
        cells = [_contents(cell) for cell in fn.__closure__ or ()]
        named: dict[str, Any] = {}
        if not _is_library(fn):
            named = {name: fn.__globals__[name] for name in _names(fn.__code__) if name in fn.__globals__}
        self.group("function", [fn.__code__, fn.__defaults__, fn.__kwdefaults__, cells, named])


def _names(code: types.CodeType) -> set[str]:
    """Return the global names in a function and in the functions inside it."""
    inner = [_names(constant) for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return set(code.co_names).union(*inner)


def _is_library(thing: Any) -> bool:
    """Whether a function or class belongs to an installed package, for which versions stand."""
    module = sys.modules.get(getattr(thing, "__module__", None) or "")
    file = getattr(module, "__file__", None)
    if file is None:
        return getattr(thing, "__module__", None) == "builtins"
    return file.startswith((_OURS, *_LIBRARIES))


def _methods(cls: type) -> dict[str, Any]:
    """Return the functions that a user's class defines."""
    plain = {name: getattr(member, "__func__", member) for name, member in vars(cls).items()}
    return {name: member for name, member in plain.items() if isinstance(member, types.FunctionType)}


def _state(value: Any) -> Any:
    """Return the attributes of an object, {} for one that has none to read."""
    slots = [name for cls in type(value).__mro__ for name in getattr(cls, "__slots__", ())]
    return {name: getattr(value, name) for name in slots if hasattr(value, name)} | dict(getattr(value, "__dict__", {}))


def _contents(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # a function that is not defined yet
        return None


def _name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _constants(program: Any) -> list[Any]:
    """Return the constants of a program and of the programs inside it, in order."""
    constants = list(getattr(program, "consts", ()))
    for equation in getattr(program, "eqns", ()):
        for value in equation.params.values():
            for inner in value if isinstance(value, list | tuple) else [value]:
                constants += _constants(inner)
    return constants
