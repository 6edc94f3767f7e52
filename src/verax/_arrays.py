"""The border: the one place where what a user holds becomes an array, or a ``ValueError`` that names the argument.

=====================  =========================================================================================
:func:`to_array`       a JAX array of numbers, in JAX's precision; for functions that compute in JAX
:func:`to_host`        a NumPy array in double precision; for functions that compute on the host
:func:`to_labels`      codes and classes of labels of any kind
:func:`to_examples`    a pytree of arrays that share one leading axis of examples
:func:`to_tree`        a pytree of arrays
:func:`to_number`      one real number, as a Python float
:func:`to_integer`     one whole number, as a Python int
:func:`to_key`         a typed random key
:func:`same_dtype`     several arrays in the widest of their dtypes
:func:`effective_eps`  the relative rounding of the arithmetic that the entries came from
=====================  =========================================================================================

Accepted: NumPy and JAX arrays, Python scalars and nested lists (of any of these), pandas objects, PyTorch tensors
(detached, from any device, no import of torch), objects with ``__array__``, ``__jax_array__`` or ``__dlpack__``;
bool, integers and floats of any width. Refused: None, text, functions and models, sparse matrices, masked entries,
complex numbers, dates, structures.

Order of events: the value is read as it is; its dtype, shape, range and finiteness are looked at; then it is
converted. Traced values have a dtype and a shape only, and pass the other checks.

Rounding. Double precision becomes single precision only in :func:`to_array` with 64-bit types disabled, as everywhere
in JAX, and only where the data survive it: nothing overflows, the largest entry is no subnormal number, and no column
that varies becomes a handful of distinct values. Integers become floats only where each is represented exactly.
64-bit integers never wrap. All else is refused with the advice to enable 64-bit types.
"""

from collections.abc import Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from ._array_likes import is_key, is_missing, read_array, widest_dtype
from ._errors import check, fail, is_traced, refuse_non_finite

Kind = Literal["float", "integer", "bool", "any"]
Shape = tuple[int | str, ...]

_NEED = {"float": "real numbers", "integer": "whole numbers", "bool": "booleans", "any": "real numbers"}
_X64 = "double precision: jax.config.update('jax_enable_x64', True)"


def to_array(
    argument: str,
    value: Any,
    *,
    shape: Shape | list[Shape] | None = None,
    dtype: Kind = "float",
    finite: bool = True,
    within: str | None = None,
    empty: bool = False,
) -> jax.Array:
    """Return a JAX array of numbers, or raise a ``ValueError`` that names the argument.

    Parameters
    ----------
    argument
        Name of the user's argument, for messages.
    value
        An array or something like one; a tracer stays one.
    shape
        Sizes of the axes, each a number or a name: ``("n", "p")`` is any matrix, ``("n", "n")`` a square one,
        ``("n", 3)`` has three columns, ``("...", "n")`` any number of leading axes. A list holds alternatives.
    dtype
        "float": real numbers, narrower ones widened to float32. "integer": whole numbers (floats that are whole
        included) in JAX's default integer dtype. "bool": booleans, or zeros and ones. "any": real numbers or booleans
        in their own dtype.
    finite
        Whether NaN and infinities are refused in concrete values.
    within
        Interval that holds all concrete entries, as "[0, 1]" or "(0, inf)"; NaN lies in none.
    empty
        Whether an axis may have no entries.
    """
    array = read_array(argument, value)
    array = _checked(argument, array, shape=shape, dtype=dtype, finite=finite, within=within, empty=empty)
    if isinstance(array, jax.Array):
        return array
    return jnp.asarray(_narrowed(argument, array))


def to_host(
    argument: str,
    value: Any,
    *,
    shape: Shape | list[Shape] | None = None,
    dtype: Kind = "float",
    finite: bool = True,
    within: str | None = None,
    empty: bool = False,
) -> np.ndarray:
    """Return a NumPy array: float64, int64 or bool for the first three kinds; parameters as for :func:`to_array`.

    A traced value is refused: the caller computes on the host.
    """
    if is_traced(value):
        fail(argument, "a traced array", "concrete values: this runs on the host, outside jit, vmap and grad")
    array = _host(read_array(argument, value))
    array = _checked(argument, array, shape=shape, dtype=dtype, finite=finite, within=within, empty=empty)
    kinds = {"float": np.float64, "integer": np.int64, "bool": np.bool_}
    return np.asarray(array, kinds.get(dtype))


def to_labels(
    argument: str, labels: Any, *, num: int | None = None, missing: tuple[Any, ...] = ()
) -> tuple[np.ndarray, np.ndarray]:
    """Return codes, integers [n] that index the classes, and the sorted classes [C] in the labels' own type.

    Strings, booleans, integers with gaps, floats and pandas categories are labels. None, NaN and the values in
    ``missing`` get code -1 and no class.
    """
    if is_traced(labels):
        fail(argument, "a traced array", "concrete labels: they are read on the host, outside jit, vmap and grad")
    array = _host(read_array(argument, labels, text=True))
    check(array.ndim == 1, argument, f"shape {array.shape}", "[n], one label per example")
    check(num is None or len(array) == num, argument, f"{len(array)} labels", f"{num}, one per example")
    if _is_number(array.dtype):
        array = _widened(array)
        absent = np.isin(array, list(missing)) | (array != array)
        present = array[~absent]
    else:
        check(array.dtype.kind in "OUS", argument, _describe(array), "text, booleans or numbers")
        absent = np.array([is_missing(entry, missing) for entry in array.tolist()], bool)
        present = array[~absent]
        kinds = {isinstance(entry, str | bytes) for entry in present.tolist()}
        check(len(kinds) < 2, argument, "text beside numbers", "labels of one type")
        present = present if kinds == {True} else np.array(present.tolist())
    classes, inverse = np.unique(present, return_inverse=True)
    codes = np.full(len(array), -1)
    codes[~absent] = inverse
    return codes, classes


def to_tree(argument: str, tree: Any, *, finite: bool = True) -> Any:
    """Return the pytree with each leaf as an array in its own dtype; typed random keys are leaves too.

    Mappings that JAX does not know become dictionaries.
    """
    return _to_tree(argument, tree, finite, None)


def to_examples(argument: str, tree: Any, *, finite: bool = True) -> tuple[Any, int]:
    """Return the pytree as :func:`to_tree` does, and the length, at least 1, of the leading axis of all its leaves.

    Nested lists of numbers are arrays here.
    """
    tree = _to_tree(argument, tree, finite, _is_nested_list)
    shapes = [leaf.shape for leaf in jax.tree.leaves(tree)]
    sizes = {shape[0] if shape else -1 for shape in shapes}
    alike = len(sizes) == 1 and -1 not in sizes
    got = f"arrays of shapes {shapes[:5]}" if shapes else "no arrays"
    check(alike, argument, got, "arrays that share one leading axis of examples")
    (size,) = sizes
    check(size > 0, argument, "no examples", "at least one example along the leading axis")
    return tree, size


def to_number(argument: str, value: Any, within: str = "(-inf, inf)") -> float:
    """Return one concrete real number as a float; ``within`` is an interval such as "[0, 1)"; NaN lies in none."""
    need = f"one number in {within}" if within != "(-inf, inf)" else "one finite number"
    number = _scalar(argument, value, need)
    check(_inside(np.float64(number), within).item(), argument, repr(value), need)
    return float(number)


def to_integer(argument: str, value: Any, *, minimum: int | None = None, maximum: int | None = None) -> int:
    """Return one concrete whole number as an int; 10.0 is one, 10.5 and True are not."""
    need = "an integer" + (f" >= {minimum}" if minimum is not None else "")
    need += f"{' and' * (minimum is not None)} <= {maximum}" if maximum is not None else ""
    number = _scalar(argument, value, need)
    whole = isinstance(number, int) or (isinstance(number, float) and number.is_integer())
    check(whole, argument, repr(value), need)
    inside = (minimum is None or number >= minimum) and (maximum is None or number <= maximum)
    check(inside, argument, repr(value), need)
    return int(number)


def to_key(argument: str, key: Any) -> jax.Array:
    """Return typed random keys of any shape; keys of the older kind, uint32 [..., 2], are wrapped."""
    if is_key(key):
        return key
    old = isinstance(key, jax.Array | np.ndarray) and key.dtype == np.uint32 and key.ndim > 0
    check(old, argument, repr(key) if isinstance(key, int) else type(key).__name__, "a key: jax.random.key(seed)")
    try:
        return jax.random.wrap_key_data(jnp.asarray(key))
    except (TypeError, ValueError):
        fail(argument, f"an array of shape {np.shape(key)}", "a key: jax.random.key(seed)")


def same_dtype(*arrays: jax.Array) -> tuple[jax.Array, ...]:
    """Return the arrays in the widest of their dtypes, since none is promoted silently elsewhere."""
    widest = widest_dtype(arrays)
    return tuple(array.astype(widest) for array in arrays)


def effective_eps(x: Any) -> float:
    """Return the relative rounding of the arithmetic that a concrete array came from.

    Numbers computed in single precision are often stored in double: if each is a float32, and not all are integers,
    they are judged as float32.
    """
    dtype = x.dtype
    if dtype == np.float64 and not is_traced(x):
        array = np.asarray(x)
        with np.errstate(over="ignore", invalid="ignore"):
            single = bool(np.all((array == array.astype(np.float32)) | np.isnan(array)))
            if single and not bool(np.all(array == np.rint(array))):
                return float(np.finfo(np.float32).eps)
    return float(jnp.finfo(dtype).eps) if jnp.issubdtype(dtype, jnp.floating) else float(np.finfo(np.float64).eps)


def _to_tree(argument: str, tree: Any, finite: bool, is_leaf: Any) -> Any:
    if isinstance(tree, Mapping) and jax.tree_util.all_leaves([tree]):
        tree = dict(tree)
    leaves, structure = jax.tree_util.tree_flatten_with_path(tree, is_leaf=is_leaf)

    def convert(path: Any, leaf: Any) -> Any:
        if is_key(leaf):
            return leaf
        return to_array(argument + jax.tree_util.keystr(path), leaf, dtype="any", finite=finite, empty=True)

    return jax.tree.unflatten(structure, [convert(path, leaf) for path, leaf in leaves])


def _is_nested_list(node: Any) -> bool:
    """Whether a list stands for an array: numbers all the way down."""
    if not isinstance(node, list | tuple) or hasattr(node, "_fields"):
        return False
    return len(node) > 0 and all(isinstance(item, bool | int | float) or _is_nested_list(item) for item in node)


def _scalar(argument: str, value: Any, need: str) -> bool | int | float:
    """Return one concrete number as a Python object."""
    if not isinstance(value, bool | int | float):
        if is_traced(value):
            fail(argument, "a traced value", f"{need}, known before compilation: pass it as a static argument")
        check(value is not None and not isinstance(value, str), argument, repr(value), need)
        array = _host(read_array(argument, value))
        check(array.ndim == 0 and _is_number(array.dtype), argument, f"shape {array.shape}", need)
        value = array.item() if array.dtype.kind in "biuf" else float(array)
    check(isinstance(value, float) or abs(value) < 2**1023, argument, f"{str(value)[:20]}...", need)
    check(not isinstance(value, bool), argument, repr(value), need)
    return value


def _checked(
    argument: str,
    array: Any,
    *,
    shape: Shape | list[Shape] | None,
    dtype: Kind,
    finite: bool,
    within: str | None,
    empty: bool,
) -> Any:
    """Return the array in the kind that was asked for, widened where that loses nothing, after all checks."""
    if not _is_number(array.dtype):
        fail(argument, _describe(array), _NEED[dtype])
    if shape is not None:
        shapes = shape if isinstance(shape, list) else [shape]
        need = " or ".join("[" + ", ".join(map(str, one)) + "]" for one in shapes)
        check(any(_fits(array.shape, one) for one in shapes), argument, f"shape {array.shape}", f"shape {need}")
    check(empty or array.size > 0, argument, f"an empty array of shape {array.shape}", "at least one entry")
    readable = not is_traced(array)
    if readable and jnp.issubdtype(array.dtype, jnp.floating) and (finite or dtype in ("integer", "bool")):
        refuse_non_finite(argument, array)
    if readable and within is not None:
        values = _readable(array)
        outside = ~_inside(values, within)
        if bool(outside.any()):
            fail(argument, f"{_show(values, outside)}", f"entries in {within}")
    return _as_kind(argument, array, dtype, readable=readable)


def _as_kind(argument: str, array: Any, dtype: Kind, *, readable: bool) -> Any:
    """Return the array in NumPy's widest dtype of this kind, or in JAX's default one if it is JAX's."""
    floating = jnp.issubdtype(array.dtype, jnp.floating)
    if dtype == "any":
        return array
    if dtype == "float":
        if floating:
            return _widened(array)
        target = jnp.result_type(float) if isinstance(array, jax.Array) else np.dtype(np.float64)
        bits = np.finfo(target).nmant + 1
        exact = not readable or _between(array, -(2**bits), 2**bits)
        check(exact, argument, f"integers beyond 2**{bits}", "integers that floats represent" + _or_x64(target))
        return array.astype(target)
    if not readable:
        check(not floating, argument, f"dtype {array.dtype}", _NEED[dtype])
    elif floating or dtype == "bool":
        values = _readable(array)
        wrong = (values != 0) & (values != 1) if dtype == "bool" else values != values.round()
        if bool(wrong.any()):
            fail(argument, _show(values, wrong), "True and False, or 0 and 1" if dtype == "bool" else "whole numbers")
    if dtype == "bool":
        return array.astype(bool)
    target = jnp.result_type(int) if isinstance(array, jax.Array) else np.dtype(np.int64)
    info = np.iinfo(target)
    fits = not readable or _between(array, info.min, info.max)
    check(fits, argument, f"integers beyond {info.bits} bits", f"integers of at most {info.bits} bits")
    return array.astype(target)


def _narrowed(argument: str, array: np.ndarray) -> np.ndarray:
    """Return the array in the dtype that JAX will give it, if that represents the data."""
    target = jax.dtypes.canonicalize_dtype(array.dtype)
    if target == array.dtype or not array.size:
        return array.astype(target)
    if target.kind in "iu":
        info = np.iinfo(target)
        fits = int(array.min()) >= info.min and int(array.max()) <= info.max
        check(fits, argument, f"integers from {array.min()} to {array.max()}", f"integers of 32 bits, or {_X64}")
        return array.astype(target)
    magnitude = np.abs(array, where=np.isfinite(array), out=np.zeros(array.shape, array.dtype))
    largest, info = float(magnitude.max()), np.finfo(target)
    check(
        largest <= float(info.max), argument, f"entries up to {largest:.3g}", f"entries up to {info.max:.3g}, or {_X64}"
    )
    seen = largest == 0 or largest >= info.tiny
    check(seen, argument, f"no entry beyond {largest:.3g}", f"entries of {info.tiny:.3g} or more, or {_X64}")
    if bool(np.all(array == np.rint(array))):  # integers: identities and counts
        check(
            largest <= 2 ** (info.nmant + 1) or np.array_equal(array.astype(target), array),
            argument,
            f"integers up to {largest:.17g}, which single precision rounds",
            f"integers up to {2 ** (info.nmant + 1)}, or {_X64}",
        )
    elif array.ndim and len(array) > 1:
        columns, sizes = array.reshape(len(array), -1), magnitude.reshape(len(array), -1).max(axis=0)
        spread = np.ptp(columns, axis=0)
        # Below 1e-10 it is rounding in double precision too; below 2e-6 about twenty floats are left.
        lost = (spread > 1e-10 * sizes) & (spread < 16 * info.eps * sizes)
        if bool(lost.any()):
            place = int(np.argmax(lost))
            got = f"column {place} within {spread[place]:.3g} of {sizes[place]:.6g}, which single precision rounds away"
            fail(argument, got, f"columns with their means subtracted, or {_X64}")
    return array.astype(target)


def _is_number(dtype: Any) -> bool:
    return any(jnp.issubdtype(dtype, family) for family in (jnp.floating, jnp.integer, np.bool_))


def _describe(array: Any) -> str:
    kind = array.dtype.kind
    names = {"U": "text", "S": "text", "M": "dates", "m": "durations", "c": "complex numbers"}
    return f"{names[kind]} (dtype {array.dtype})" if kind in names else f"dtype {array.dtype}"


def _fits(shape: tuple[int, ...], pattern: Shape) -> bool:
    if pattern and pattern[0] == "...":
        pattern = pattern[1:]
        shape = shape[max(0, len(shape) - len(pattern)) :]
    if len(shape) != len(pattern):
        return False
    sizes: dict[str, int] = {}
    needs = [
        sizes.setdefault(need, size) if isinstance(need, str) else need
        for size, need in zip(shape, pattern, strict=True)
    ]
    return list(shape) == needs


def _inside(values: Any, within: str) -> Any:
    low, high = (float(end) for end in within[1:-1].split(","))
    if not isinstance(values, jax.Array):
        low, high = np.float64(low), np.float64(high)  # compared in double precision, whatever the entries are
    above = values >= low if within[0] == "[" else values > low
    return above & (values <= high if within[-1] == "]" else values < high)


def _show(values: Any, wrong: Any) -> str:
    """Return the first wrong entry and its place."""
    place = tuple(int(index) for index in np.argwhere(np.asarray(wrong))[0])
    entry = np.asarray(values)[place]
    return f"{entry}" + (f" at {list(place)}" if place else "")


def _between(array: Any, low: int, high: int) -> bool:
    """Whether whole numbers lie in a range, compared as Python integers."""
    if array.dtype == bool or not array.size:
        return True
    values = _readable(array)
    return low <= int(values.min()) and int(values.max()) <= high


def _widened(array: Any) -> Any:
    """Return floats narrower than 32 bits as float32, anything else as it is."""
    narrow = jnp.issubdtype(array.dtype, jnp.floating) and jnp.finfo(array.dtype).bits < 32
    return array.astype(np.float32) if narrow else array


def _or_x64(dtype: Any) -> str:
    return f", or {_X64}" if dtype.itemsize == 4 else ""


def _readable(array: Any) -> Any:
    """Return entries in NumPy unless they are on an accelerator, where they stay; narrow floats as float32."""
    on_host = not isinstance(array, jax.Array) or all(device.platform == "cpu" for device in array.devices())
    with jax.ensure_compile_time_eval():
        return _widened(np.asarray(array) if on_host else array)


def _host(array: Any) -> np.ndarray:
    with jax.ensure_compile_time_eval():
        return np.asarray(array)
