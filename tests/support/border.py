"""The trials of a public function: every array argument in every form that people hold it in, and spoiled.

``calls_<package>.py`` registers one valid call per public function::

    CALLS = {
        "verax.shift.atc": call(atc, LOGITS, LABELS, TARGET),                 # its array arguments are found
        "verax.shift.cbpe": call(cbpe, LOGITS, LABELS, TARGET, traceable=True),
        "verax.probe.RidgeProbe.fit": call(lambda X, y: RidgeProbe().fit(X, y), X, Y),
    }

Small calls, of a few milliseconds; with values such as -1.5, 2, .25, which every float holds, narrow dtypes are tried.
``exempt`` names, with the reason, what a function may answer otherwise: ``{"x": {"NaN": "missing by definition"}}``.
"""

import contextlib
import dataclasses
import enum
import importlib.util
import inspect
import re
import signal
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
from scipy import sparse

SECONDS = 60  # after which a call counts as hanging


@dataclasses.dataclass(frozen=True)
class Call:
    """One valid call: a function and its arguments by name."""

    function: Callable
    arguments: dict[str, Any]
    traceable: bool
    exempt: Mapping[str, Mapping[str, str]]
    needs: str | None

    @property
    def arrays(self) -> list[str]:
        """Names of the arguments that are arrays."""
        return [name for name, value in self.arguments.items() if _is_array(value)]

    def __call__(self, **changes: Any) -> Any:
        given = self.arguments | changes
        parameters = inspect.signature(self.function).parameters
        positional = [
            given[name]
            for name, parameter in parameters.items()
            if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD) and name in given
        ]
        named = {
            name: value for name, value in given.items() if parameters[name].kind == inspect.Parameter.KEYWORD_ONLY
        }
        return self.function(*positional, **named)


def call(
    function: Callable,
    *arguments: Any,
    traceable: bool = False,
    exempt: Mapping[str, Mapping[str, str]] | None = None,
    needs: str | None = None,
    **named: Any,
) -> Call:
    """Register a valid call; ``needs`` names a package without which there is none."""
    bound = inspect.signature(function).bind(*arguments, **named).arguments
    return Call(function, dict(bound), traceable, exempt or {}, needs)


def _is_array(value: Any) -> bool:
    if not isinstance(value, np.ndarray | jax.Array) or value.ndim == 0 or value.size == 0:
        return False
    return not jnp.issubdtype(value.dtype, jax.dtypes.prng_key)


# Forms: the same value in other clothes. A function returns what it returned for the clean one.


class _Boxed:
    def __init__(self, values: np.ndarray):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.values, dtype)


def _read_only(x: np.ndarray) -> np.ndarray:
    x = x.copy()
    x.flags.writeable = False
    return x


def _exact(dtype: Any) -> Callable[[np.ndarray], Any]:
    """Return the array in another dtype, None where that would change a value."""

    def cast(x: np.ndarray) -> Any:
        if dtype is bool and not np.isin(x, (0, 1)).all():
            return None
        narrow = x.astype(dtype)
        back = narrow.astype(np.float64) if narrow.dtype.kind == "V" else narrow
        same = narrow.dtype != x.dtype and np.array_equal(back.astype(np.float64), x.astype(np.float64))
        return narrow if same else None

    return cast


def _frame(x: np.ndarray) -> Any:
    import pandas

    return pandas.DataFrame(x) if x.ndim == 2 else pandas.Series(x) if x.ndim == 1 else None


def _tensor(dtype: str = "", grad: bool = False) -> Callable[[np.ndarray], Any]:
    def make(x: np.ndarray) -> Any:
        if importlib.util.find_spec("torch") is None:  # PyTorch has a leg of its own
            return None
        import torch

        if x.dtype.kind not in "fiub" or (grad and x.dtype.kind != "f"):
            return None
        if dtype and (x.dtype.kind != "f" or _exact(ml_dtypes.bfloat16)(x) is None):
            return None
        tensor = torch.tensor(np.ascontiguousarray(x))
        tensor = tensor.to(getattr(torch, dtype)) if dtype else tensor
        return tensor.requires_grad_() if grad else tensor

    return make


def _jax(dtype: Any = None) -> Callable[[np.ndarray], Any]:
    def make(x: np.ndarray) -> Any:
        if dtype is not None and _exact(dtype)(x) is None:
            return None
        fits = x.dtype.itemsize < 8 or np.array_equal(x, x.astype(jax.dtypes.canonicalize_dtype(x.dtype)))
        return jnp.asarray(x.astype(jax.dtypes.canonicalize_dtype(dtype or x.dtype))) if fits else None

    return make


FORMS: dict[str, Callable[[np.ndarray], Any]] = {
    "list": lambda x: x.tolist(),
    "tuple": lambda x: tuple(x.tolist()),
    "list of rows": list,
    "JAX array": _jax(),
    "JAX bfloat16": _jax(jnp.bfloat16),
    "float64": _exact(np.float64),
    "float32": _exact(np.float32),
    "float16": _exact(np.float16),
    "bfloat16": _exact(ml_dtypes.bfloat16),
    "int64": _exact(np.int64),
    "int32": _exact(np.int32),
    "uint8": _exact(np.uint8),
    "bool": _exact(bool),
    "Fortran order": lambda x: np.asfortranarray(x) if x.ndim > 1 else None,
    "every second row": lambda x: np.repeat(x, 2, axis=0)[::2],
    "read-only": _read_only,
    "objects": lambda x: x.astype(object),
    "no masked entry": lambda x: np.ma.array(x),
    "pandas": _frame,
    "torch": _tensor(),
    "torch with gradient": _tensor(grad=True),
    "torch bfloat16": _tensor("bfloat16"),
    "__array__": _Boxed,
}


# Spoils: another value. A function returns finite numbers or a status, or refuses the argument by name.


def _with(entry: Any, everywhere: bool = False) -> Callable[[np.ndarray], Any]:
    def spoil(x: np.ndarray) -> Any:
        if x.dtype.kind not in "fiu":
            return None
        x = x.astype(np.result_type(x.dtype, type(entry)) if isinstance(entry, float) else np.int64)
        x.reshape(-1)[slice(None) if everywhere else x.size // 2] = entry
        return x

    return spoil


def _sparse(x: np.ndarray) -> Any:
    return sparse.csr_array(x) if x.ndim == 2 and x.dtype.kind in "fiub" else None


def _model(x: np.ndarray) -> Any:
    if importlib.util.find_spec("torch") is None:  # PyTorch has a leg of its own
        return None
    import torch

    return torch.nn.Linear(2, 2)


SPOILS: dict[str, Callable[[np.ndarray], Any]] = {
    "NaN": _with(float("nan")),
    "all NaN": _with(float("nan"), everywhere=True),
    "infinity": _with(float("inf")),
    "minus infinity": _with(float("-inf")),
    "1e30": _with(1e30),
    "1e300": _with(1e300),
    "times 1e30": lambda x: x * 1e30 if x.dtype.kind == "f" else None,
    "times 1e-40": lambda x: x * 1e-40 if x.dtype.kind == "f" else None,
    "2**40": _with(2**40),
    "2**63": lambda x: np.full(x.shape, 2**63, np.uint64),
    "negative": lambda x: -1 - np.abs(x) if x.dtype.kind in "fi" else None,
    "half": _with(0.5),
    "text": lambda x: np.full(x.shape, "abc"),
    "list of text": lambda x: np.full(x.shape, "abc").tolist(),
    "objects of another kind": lambda x: np.full(x.shape, {}, object),
    "empty": lambda x: x[:0],
    "0-d": lambda x: x.reshape(-1)[0],
    "one row": lambda x: x[:1],
    "one row less": lambda x: x[:-1] if len(x) > 1 else None,
    "another axis": lambda x: x[None],
    "None": lambda x: None,
    "ragged": lambda x: [[1.0, 2.0], [3.0]],
    "complex": lambda x: x.astype(complex) + 1j if x.dtype.kind in "fi" else None,
    "dates": lambda x: np.zeros(x.shape, "M8[s]"),
    "masked": lambda x: np.ma.array(x, mask=np.arange(x.size).reshape(x.shape) == 0),
    "sparse": _sparse,
    "function": lambda x: lambda y: y,
    "model": _model,
    "dictionary": lambda x: {"a": 1.0},
    "string": lambda x: "abc",
    "class": lambda x: np.ndarray,
}

_LENIENT = {"objects", "no masked entry"}  # forms that may be refused by name


def chosen(call_name: str, argument: str, num: int | None) -> list[str]:
    """Names of the trials of an argument: all, or a spread that depends on its name only and has the commonest ones."""
    names = [*FORMS, *SPOILS]
    if num is None:
        return names
    always = ["list", "torch with gradient", "NaN"]
    rest = sorted(
        (name for name in names if name not in always), key=lambda t: zlib.crc32(f"{call_name} {argument} {t}".encode())
    )
    return always + rest[: num - len(always)]


def trial(call: Call, argument: str, name: str, clean: Any) -> str | None:
    """Run one trial; None if the outcome is allowed, otherwise what was wrong with it."""
    original = np.asarray(call.arguments[argument])
    spoiled = (FORMS.get(name) or SPOILS[name])(original)
    if spoiled is None and name != "None":
        return None
    if name == "None" and _default(call, argument) is None:
        return None
    if name in call.exempt.get(argument, {}):
        return None
    outcome = attempt(call, {argument: spoiled})
    return judge(call, outcome, clean, same=name in FORMS, lenient=name in _LENIENT or _changes_kind(original, spoiled))


def _default(call: Call, argument: str) -> Any:
    return inspect.signature(call.function).parameters[argument].default


def _changes_kind(original: np.ndarray, form: Any) -> bool:
    """Whether whole numbers or booleans came as another kind of number: labels may have to be integers."""
    dtype = getattr(form, "dtype", None)
    return original.dtype.kind in "iub" and isinstance(dtype, np.dtype) and dtype.kind != original.dtype.kind


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a call returned or raised."""

    value: Any = None
    error: BaseException | None = None


def attempt(call: Callable, changes: dict[str, Any]) -> Outcome:
    """Call with some arguments changed, for at most a minute."""
    try:
        with _alarm():
            value = call(**changes)
            jax.block_until_ready([leaf for leaf in jax.tree.leaves(value) if isinstance(leaf, jax.Array)])
            return Outcome(value)
    except Exception as error:
        return Outcome(error=error)


@contextlib.contextmanager
def _alarm() -> Iterator[None]:
    def stop(signum, frame):
        raise TimeoutError(f"no answer within {SECONDS} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def judge(call: Call, outcome: Outcome, clean: Any, *, same: bool, lenient: bool) -> str | None:
    """Say what is wrong with an outcome, None if nothing is."""
    if outcome.error is not None:
        wrong = misnamed(call, outcome.error)
        return wrong or (f"refused: {outcome.error}" if same and not lenient else None)
    if same:
        return difference(outcome.value, clean)
    return unsound(outcome.value, clean)


def misnamed(call: Call, error: BaseException) -> str | None:
    """Say what is wrong with an error, None for a ``ValueError`` that names an argument of the call."""
    text = str(error).split("\n")[0][:200]
    if type(error) is not ValueError:
        return f"{type(error).__name__}: {text}"
    named = re.match(r"([A-Za-z_]\w*)[^:]*: (got|no|need|not)\b", text)
    if named is None:
        return f"a ValueError that names no argument: {text}"
    if named[1] not in inspect.signature(call.function).parameters:
        return f"a ValueError that names an inner argument: {text}"
    return None


def numbers(value: Any, path: str = "", depth: int = 0) -> Iterator[tuple[str, np.ndarray]]:
    """All numbers and labels in a result, by where they are."""
    if depth > 6 or value is None or isinstance(value, type | enum.EnumType) or inspect.isroutine(value):
        return
    if isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        return
    if isinstance(value, np.ndarray | jax.Array | np.generic | bool | int | float | str | enum.Enum):
        yield path, np.asarray(value.value if isinstance(value, enum.Enum) else value)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from numbers(item, f"{path}[{key!r}]", depth + 1)
    elif hasattr(value, "_fields") or dataclasses.is_dataclass(value):
        for name in getattr(value, "_fields", None) or [field.name for field in dataclasses.fields(value)]:
            yield from numbers(getattr(value, name), f"{path}.{name}", depth + 1)
    elif isinstance(value, list | tuple):
        for place, item in enumerate(value):
            yield from numbers(item, f"{path}[{place}]", depth + 1)
    elif type(value).__module__.startswith("verax"):
        for name, item in vars(value).items():
            if not name.startswith("_"):
                yield from numbers(item, f"{path}.{name}", depth + 1)


def difference(value: Any, clean: Any) -> str | None:
    """Where two results differ by more than the rounding of single precision."""
    got, need = dict(numbers(value)), dict(numbers(clean))
    if got.keys() != need.keys():
        return f"another result: {sorted(got.keys() ^ need.keys())[:3]}"
    for path, array in need.items():
        other = got[path]
        if other.shape != array.shape:
            return f"another shape {other.shape} for {array.shape} at {path or 'the result'}"
        if array.dtype.kind in "fiubV" and other.dtype.kind in "fiubV":
            a, b = array.astype(np.float64), other.astype(np.float64)
            scale = np.abs(a[np.isfinite(a)]).max(initial=0)
            if not np.allclose(a, b, rtol=1e-3, atol=1e-4 * scale, equal_nan=True):
                return f"another value at {path or 'the result'}: {b.ravel()[:3]} for {a.ravel()[:3]}"
        elif array.dtype.kind in "US" and not np.array_equal(array, other):
            return f"other labels at {path or 'the result'}"
    return None


def unsound(value: Any, clean: Any) -> str | None:
    """Where a result holds NaN or infinity that no status tells of and that the clean one does not have."""
    found = dict(numbers(value))
    usual = {
        path
        for path, array in numbers(clean)
        if array.dtype.kind in "fV" and not np.isfinite(array.astype(float)).all()
    }
    if any(path.rpartition(".")[2].endswith("status") and np.any(array != 0) for path, array in found.items()):
        return None
    for path, array in found.items():
        if array.dtype.kind in "fV" and path not in usual and not np.isfinite(array.astype(float)).all():
            return f"non-finite numbers at {path or 'the result'}, and no status"
    return None


def under_jit(call: Call, clean: Any) -> str | None:
    """Say what is wrong when the arrays are traced: a traceable function gives the same numbers, others refuse."""
    arrays = {name: call.arguments[name] for name in call.arrays}
    fits = {
        name: jnp.asarray(x, jax.dtypes.canonicalize_dtype(x.dtype))
        for name, x in arrays.items()
        if x.dtype.kind in "fiub"
    }
    if len(fits) < len(arrays) or not fits:
        return None

    def run(changes):
        return jax.tree.map(lambda leaf: leaf if isinstance(leaf, jax.Array) else None, call(**changes))

    if not call.traceable:
        outcome = attempt(lambda **changes: jax.jit(run)(changes), fits)
        return misnamed(call, outcome.error) if outcome.error is not None else None
    outcome = attempt(lambda **changes: jax.jit(lambda c: call(**c))(changes), fits)
    return (
        f"{type(outcome.error).__name__}: {outcome.error}"[:300] if outcome.error else difference(outcome.value, clean)
    )
