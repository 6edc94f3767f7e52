"""Import neural-tangents 0.6.5 on a JAX that no longer has the names it was written against.

The one file of Verax that touches non-public names of JAX: it lends the removed ones back for the length of one import.
"""

import contextlib
import importlib
import importlib.util
import sys
import threading
import types
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax.core
import jax.extend.core
import jax.interpreters.ad

from verax._errors import fail

_VERSION = "0.6.5"
_INSTALL = f"pip install --no-deps neural-tangents=={_VERSION} frozendict"
# Imported by one experimental module of neural-tangents, for annotations and for conversions of TensorFlow models.
_TENSORFLOW_NAMES = ("tensorflow", "tf2jax")
_LOCK = threading.Lock()


def import_neural_tangents() -> types.ModuleType:
    """Import neural-tangents 0.6.5 on a JAX release that it no longer imports on by itself.

    Its analytic infinite-width kernels (``nt.stax``), ``nt.batch``, ``nt.predict`` and the implementations
    ``JACOBIAN_CONTRACTION`` and ``NTK_VECTOR_PRODUCTS`` of its empirical kernel work. ``verax.spectral`` takes a kernel
    matrix that it returns as any other Gram matrix.

    Returns
    -------
    module
        ``neural_tangents``. It stays in ``sys.modules``, so that a later ``import neural_tangents`` finds it.

    Raises
    ------
    ModuleNotFoundError
        If neural-tangents or frozendict is not installed. Its metadata demands TensorFlow, which it does not need:
        ``pip install --no-deps neural-tangents==0.6.5 frozendict``.
    ImportError
        If the installed release is not 0.6.5.

    Notes
    -----
    For the length of the import, ``jax.core``, ``jax.util`` and ``jax.interpreters.ad`` are lent those names that JAX
    has removed; a name that JAX still has is never replaced, and every lent name is taken back. TensorFlow, tf2jax and
    jax2tf are replaced by stubs where absent; the stubs leave ``sys.modules`` before this function returns, so whether
    TensorFlow can be imported stays as it was.

    Refused, with a ``ValueError`` that points to `verax.ntk.empirical_ntk`: the implementations
    ``STRUCTURED_DERIVATIVES`` (it walks through JAX's internals as they were in 2024) and ``AUTO`` (it tries the
    former), and, where TensorFlow or tf2jax is absent, the conversions of TensorFlow models in ``nt.experimental``.

    Examples
    --------
    >>> nt = import_neural_tangents()  # doctest: +SKIP
    >>> _, _, kernel_fn = nt.stax.serial(nt.stax.Dense(512), nt.stax.Relu(), nt.stax.Dense(1))  # doctest: +SKIP
    >>> kernel = kernel_fn(x, None, "ntk")  # doctest: +SKIP

    References
    ----------
    Novak, Xiao, Hron, Lee, Alemi, Sohl-Dickstein, Schoenholz, "Neural Tangents: Fast and Easy Infinite Neural Networks
    in Python", ICLR 2020.
    """
    with _LOCK:
        if "neural_tangents" in sys.modules:
            return sys.modules["neural_tangents"]
        for name in ("neural_tangents", "frozendict"):
            if _is_absent(name):
                raise ModuleNotFoundError(f"{name} is not installed; {_INSTALL}", name=name)
        try:
            with _lent_jax_names(), _stubs_where_absent() as stubbed, warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of a release that will not change any more
                module = importlib.import_module("neural_tangents")
            if module.__version__ != _VERSION:
                raise ImportError(
                    f"neural-tangents {module.__version__} is installed; {_INSTALL}", name="neural_tangents"
                )
            _refuse_what_cannot_work(module, tensorflow=bool(stubbed))
        except BaseException:
            for name in [name for name in sys.modules if name.partition(".")[0] == "neural_tangents"]:
                del sys.modules[name]
            raise
        return module


def _is_absent(name: str) -> bool:
    return name not in sys.modules and importlib.util.find_spec(name) is None


def _strict_zip(*sequences: Sequence[Any]) -> list[tuple[Any, ...]]:
    return list(zip(*sequences, strict=True))


def _strict_map(function: Callable[..., Any], *sequences: Sequence[Any]) -> list[Any]:
    return [function(*arguments) for arguments in zip(*sequences, strict=True)]


@contextlib.contextmanager
def _lent_jax_names() -> Iterator[None]:
    core_names = ("Jaxpr", "JaxprEqn", "Literal", "Primitive", "Var")
    wanted = [(jax.core, name, getattr(jax.extend.core, name)) for name in core_names]
    # A primitive that no program holds: neural-tangents only uses it as the key of two tables of rules.
    wanted.append((jax.interpreters.ad, "zeros_like_p", jax.extend.core.Primitive("zeros_like")))
    lent: list[tuple[types.ModuleType, str]] = []
    with contextlib.ExitStack() as stack:
        if _is_absent("jax.util"):
            util = types.ModuleType("jax.util")
            util.safe_map, util.safe_zip = _strict_map, _strict_zip  # pyright: ignore[reportAttributeAccessIssue]
            stack.enter_context(_in_sys_modules("jax.util", util))
        try:
            for module, name, value in wanted:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # a deprecated name is still a name
                    if hasattr(module, name):
                        continue
                setattr(module, name, value)
                lent.append((module, name))
            yield
        finally:
            for module, name in lent:
                delattr(module, name)


@contextlib.contextmanager
def _stubs_where_absent() -> Iterator[list[str]]:
    stubbed = [name for name in _TENSORFLOW_NAMES if _is_absent(name)]
    if stubbed and "jax.experimental.jax2tf" not in sys.modules:
        stubbed.append("jax.experimental.jax2tf")  # part of JAX, but its own import demands TensorFlow
    with contextlib.ExitStack() as stack:
        for name in stubbed:
            stack.enter_context(_in_sys_modules(name, _Stub(name)))
        yield stubbed


@contextlib.contextmanager
def _in_sys_modules(name: str, module: types.ModuleType) -> Iterator[None]:
    parent, _, attribute = name.rpartition(".")
    sys.modules[name] = module
    try:
        yield
    finally:
        del sys.modules[name]
        # An import statement may have bound the module as an attribute of its parent.
        if parent and getattr(sys.modules[parent], attribute, None) is module:
            delattr(sys.modules[parent], attribute)


class _AbsentMeta(type):
    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Absent


class _Absent(metaclass=_AbsentMeta):
    """Stands for every class of an absent package that an annotation names; nothing is an instance of it."""


class _Stub(types.ModuleType):
    def __getattr__(self, name: str) -> Any:
        return getattr(_Absent, name)


def _refuse_what_cannot_work(module: types.ModuleType, *, tensorflow: bool) -> None:
    empirical = importlib.import_module("neural_tangents._src.empirical")
    for name in ("STRUCTURED_DERIVATIVES", "AUTO"):
        implementation = module.NtkImplementation[name]
        empirical._implementation_to_ntk_fn[implementation] = _refusal(
            "implementation",
            f"neural-tangents' {name}, which reads JAX's internals as they were in 2024",
            "JACOBIAN_CONTRACTION or NTK_VECTOR_PRODUCTS, or verax.ntk.compat.empirical_ntk_fn (same signature) or "
            "verax.ntk.empirical_ntk(..., method='structured')",
        )
    if tensorflow:
        for name in ("empirical_ntk_fn_tf", "get_apply_fn_and_params"):
            need = "tensorflow and tf2jax installed before neural-tangents is imported, or a JAX function"
            setattr(module.experimental, name, _refusal("f", "a TensorFlow model", need))


def _refusal(argument: str, got: str, need: str) -> Callable[..., Any]:
    def refuse(*_arguments: Any, **_options: Any) -> Any:
        fail(argument, got, need)

    return refuse
