"""Features, weights and groups as users hold them."""

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_array, validate_data

from verax._array_likes import read_array
from verax._arrays import to_host, to_labels
from verax._errors import check, fail, is_traced

from ._blocks import LARGEST


def read_features(
    estimator: Any, argument: str, value: Any, *, reset: bool, finite: bool = True, least: int = 1
) -> Any:
    """Features [n, p] as scikit-learn takes them, dense or sparse; every refusal names the argument."""
    refuse_traced(argument, value)
    with named(argument):
        if sparse.issparse(value):
            value = value.tocsr()
        elif not _is_plain(value):
            value = _narrow_as_single(np.asarray(read_array(argument, value)))
        found: Any = validate_data(
            estimator, value, reset=reset, accept_sparse="csr", ensure_all_finite=finite, ensure_min_samples=least
        )
    check(found.dtype.kind in "biuf", argument, f"dtype {found.dtype}", "real numbers")
    if finite:  # those of a fit are looked at block by block
        largest = float(abs(found).max())
        check(largest <= LARGEST, argument, f"entries up to {largest:.3g}", f"entries up to {LARGEST:g}")
    return found


def read_labels(argument: str, value: Any, num_samples: int, *, numeric: bool) -> np.ndarray:
    """Labels or targets, [n] or [n, C]; every refusal names the argument."""
    refuse_traced(argument, value)
    check(value is not None, argument, "None", "labels (the probe requires y to be passed, but the target y is None)")
    with named(argument):
        if not _is_plain(value):
            value = _narrow_as_single(np.asarray(read_array(argument, value, text=True)))
        options: dict[str, Any] = {"ensure_2d": False, "dtype": "numeric" if numeric else None, "ensure_min_samples": 0}
        y = check_array(value, input_name="y", **options)
        y = np.asarray(y)
    check(y.ndim in (1, 2), argument, f"shape {y.shape}", "[n] or [n, C]")
    got = f"{len(y)} rows (inconsistent numbers of samples)"
    check(len(y) == num_samples, argument, got, f"{num_samples}, one per row of features")
    if y.dtype.kind == "f":
        largest, most = float(np.abs(y).max()), LARGEST if numeric else 2.0**53
        check(largest <= most, argument, f"entries up to {largest:.3g}", f"entries up to {most:.3g}")
    if y.dtype.kind == "O":
        known = str | bytes | int | float | np.generic
        kinds = {type(entry).__name__ for entry in y.ravel() if not isinstance(entry, known)}
        check(not kinds, argument, f"entries of type {', '.join(sorted(kinds))}", "text, booleans or numbers")
    return y


@contextlib.contextmanager
def named(argument: str, *others: str) -> Iterator[None]:
    """Put the user's argument in front of messages that do not name it; ``others`` are inner arguments."""
    try:
        yield
    except NotFittedError:
        raise
    except (ValueError, TypeError, RuntimeError, OverflowError, np.linalg.LinAlgError) as error:
        text = " ".join(str(error).split())
        if text.startswith(f"{argument}: "):
            raise
        for other in others:
            text = text.removeprefix(f"{other}: got ")
        kind = _NotNumbersError if isinstance(error, TypeError) else ValueError
        raise kind(f"{argument}: got {text.split('; need ')[0]}; need real numbers, one row per example") from error


class _NotNumbersError(ValueError, TypeError):
    """A ``ValueError``, as everywhere here, where scikit-learn's contract wants a ``TypeError``."""


def refuse_traced(argument: str, value: Any) -> None:
    """The probe computes on the host."""
    if is_traced(value):
        fail(argument, "a traced array", "concrete values: this runs on the host, outside jit, vmap and grad")


def _is_plain(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "biufcOUSM"
    return isinstance(value, list | tuple) or hasattr(value, "iloc") or not hasattr(value, "shape")


def _narrow_as_single(array: np.ndarray) -> np.ndarray:
    """Types that NumPy itself does not know (bfloat16, float8) have a kind of their own or none."""
    return (
        array.astype(np.float32) if array.dtype.kind == "V" or array.dtype.name.startswith(("float8", "bf")) else array
    )


def read_weights(value: Any, num_samples: int) -> np.ndarray | None:
    """Weights [n] with mean 1 over the rows that have any; None where all are equal."""
    if value is None:
        return None
    weights = to_host("sample_weight", value, shape=[(), (num_samples,)], within="[0, inf)")
    weights = np.broadcast_to(weights, (num_samples,))
    used = weights > 0
    count = int(used.sum())
    check(count >= 2, "sample_weight", f"{count} positive weights, the others zero", "at least two positive weights")
    weights = weights / weights[used].mean()
    return None if bool(np.all(used) and np.ptp(weights) <= 1e-12) else weights


def read_groups(value: Any, num_samples: int) -> np.ndarray | None:
    """Group of each row as integers from 0."""
    if value is None:
        return None
    codes, names = to_labels("groups", value, num=num_samples)
    check(bool(np.all(codes >= 0)), "groups", f"{int(np.sum(codes < 0))} missing entries", "a group for every row")
    check(len(names) >= 2, "groups", "one group", "at least two, so that one can be left out")
    return codes
