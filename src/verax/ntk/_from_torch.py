"""PyTorch modules as ``(apply_fn, params)``; torch and torchax are imported only when this is called."""

import re
from collections.abc import Mapping
from typing import Any, NoReturn

import jax
import numpy as np

from verax._arrays import to_tree
from verax._errors import check, fail
from verax._types import ApplyFn, PyTree

from ._torchax import RandomNumbers, environment, no_fast_path

# The two frameworks' outputs for the example may differ by this much, relative to the largest.
_SAME_OUTPUT = 1e-2


def from_torch(module: Any, *, example: Any = None, output: str | int | None = None) -> tuple[ApplyFn, PyTree]:
    """Turn a PyTorch module in evaluation mode into ``(apply_fn, params)``.

    Parameters
    ----------
    module : torch.nn.Module
        Any module, for example a model of Hugging Face, after ``module.eval()``.
    example : optional
        A few inputs, as ``x`` below. The module is then tried at once: its outputs in both frameworks are compared.
    output : str or int, optional
        Field of the module's output, such as ``"logits"``, or place in an output that is a tuple.

    Returns
    -------
    apply_fn : callable
        ``apply_fn(params, x)``. ``x`` is what the module takes: an array or tensor, a tuple of them for several
        positional arguments, or a dictionary of them for keyword arguments (``input_ids``, ``attention_mask``).
    params : dict
        Arrays of all parameters with ``requires_grad``, by their names in the module. A shared parameter is one leaf.
        Other parameters and the buffers are closed over.

    Raises
    ------
    ModuleNotFoundError
        Without torch and torchax; the message names versions that work.
    ValueError
        For a module in training mode, without parameters to differentiate or with parameters that have no values; an
        output that is no tensor; and, from ``apply_fn`` or with ``example``, for an operator that torchax cannot trace
        (named), random numbers, or control flow that depends on values.

    Notes
    -----
    Parameters keep their dtype: double precision needs 64-bit types in JAX. The values are copied; the module's code is
    read whenever a new shape is traced, so leave the module as it is. In double precision, outputs and Jacobians agree
    with ``torch.func`` to rounding.

    Examples
    --------
    >>> import torch  # doctest: +SKIP
    >>> from verax.ntk import empirical_ntk, from_torch  # doctest: +SKIP
    >>> module = torch.nn.Linear(3, 2).eval()  # doctest: +SKIP
    >>> apply_fn, params = from_torch(module)  # doctest: +SKIP
    >>> print(empirical_ntk(apply_fn, params, torch.eye(3)))  # doctest: +SKIP
    [[4. 2. 2.]
     [2. 4. 2.]
     [2. 2. 4.]]
    """
    env = environment()
    import torch  # pyright: ignore[reportMissingImports]

    check(isinstance(module, torch.nn.Module), "module", type(module).__name__, "a torch.nn.Module")
    _check_evaluation(module)
    if output is not None and (isinstance(output, bool) or not isinstance(output, str | int)):
        fail("output", repr(output), "the name or the place of a field of the module's output")
    named = list(module.named_parameters())
    _check_values([*named, *module.named_buffers()])
    params = to_tree("module", {name: value for name, value in named if value.requires_grad})
    if not params:
        got = f"a {type(module).__name__} without parameters that require gradients"
        fail("module", got, "some: module.requires_grad_()")
    frozen = {name: value for name, value in named if not value.requires_grad}
    # Masks among the buffers hold infinities.
    frozen = to_tree("module", {**frozen, **dict(module.named_buffers())}, finite=False)
    structure = jax.tree.structure(params)

    @jax.jit
    def run(params: PyTree, frozen: PyTree, x: Any) -> Any:
        return _call(env, module, {**params, **frozen}, x, output)

    def apply_fn(params: PyTree, x: Any) -> Any:
        got = jax.tree.structure(params)
        check(got == structure, "params", got, f"the structure that from_torch returned, {structure}")
        _check_evaluation(module)
        return run(params, frozen, to_tree("x", tuple(x) if isinstance(x, list) else x))

    if example is not None:
        _compare(module, example, output, apply_fn(params, example))
    return apply_fn, params


def _call(env: Any, module: Any, state: dict[str, Any], x: Any, output: str | int | None) -> Any:
    """Run the module on JAX arrays."""
    import torch  # pyright: ignore[reportMissingImports]
    from torchax.tensor import OperatorNotFound  # pyright: ignore[reportMissingImports]

    arguments, options = _as_call(x)
    try:
        with env, torch.no_grad(), no_fast_path():
            state, arguments, options = env.j2t_iso((state, arguments, options))
            result = torch.func.functional_call(module, state, arguments, options)
    except OperatorNotFound as error:
        name = re.search(r"name (\S+) has", str(error))
        _refuse(f"the operator {name[1] if name else error}", "operators that torchax can trace", error)
    except RandomNumbers as error:
        _refuse("a module that draws random numbers in evaluation mode", "a deterministic module", error)
    except (jax.errors.ConcretizationTypeError, jax.errors.NonConcreteBooleanIndexError) as error:
        _refuse("control flow or shapes that depend on values", "a module without them", error)
    except Exception as error:
        first = (str(error).strip().splitlines() or [""])[0][:200]
        if isinstance(error, AssertionError) and "mixed math" in first:
            _refuse("a tensor that is neither parameter nor buffer", "module.register_buffer for every tensor", error)
        _refuse(f"{type(error).__name__} ({first}) from {type(module).__name__}", "inputs that the module takes", error)
    picked = _pick(result, output)
    check(isinstance(picked, torch.Tensor), "output", f"a {type(picked).__name__}", "a field that is a tensor")
    return env.t2j_iso(picked)


def _refuse(got: str, need: str, error: Exception) -> NoReturn:
    raise ValueError(f"module: got {got}; need {need}") from error


def _as_call(x: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if isinstance(x, Mapping):
        return (), dict(x)
    return (x if isinstance(x, tuple) else (x,)), {}


def _pick(result: Any, output: str | int | None) -> Any:
    """The field of the module's output that was asked for."""
    import torch  # pyright: ignore[reportMissingImports]

    if isinstance(result, torch.Tensor):
        check(output is None, "output", repr(output), "None: the module returns one tensor")
        return result
    fields = list(result) if isinstance(result, Mapping) else list(getattr(result, "_fields", ()))
    if isinstance(output, str):
        check(output in fields, "output", repr(output), f"one of {fields}")
        return result[output] if isinstance(result, Mapping) else getattr(result, output)
    items = list(result.values() if isinstance(result, Mapping) else result if isinstance(result, tuple | list) else ())
    need = f"one of {fields}" if fields else f"a place below {len(items)}" if items else "a module that returns tensors"
    if output is None or not -len(items) <= output < len(items):
        fail("output", repr(output), need)
    return items[output]


def _check_evaluation(module: Any) -> None:
    training = [name for name, part in module.named_modules() if part.training]
    if training:
        where = f" ({training[0]!r})" if training[0] else ""
        fail("module", f"a {type(module).__name__} in training mode{where}", "evaluation mode: module.eval()")


def _check_values(named: list[tuple[str, Any]]) -> None:
    import torch  # pyright: ignore[reportMissingImports]

    for name, value in named:
        lazy = torch.nn.parameter.is_lazy(value)  # pyright: ignore[reportAttributeAccessIssue]
        check(not lazy and value.device.type != "meta", f"module.{name}", "no values", "an initialised module")
        wide = value.dtype == torch.float64 and not jax.config.read("jax_enable_x64")
        need = "module.float(), or jax.config.update('jax_enable_x64', True)"
        check(not wide, f"module.{name}", "double precision while JAX has 64-bit types disabled", need)


def _compare(module: Any, example: Any, output: str | int | None, found: jax.Array) -> None:
    """Compare the outputs of both frameworks for the example."""
    import torch  # pyright: ignore[reportMissingImports]

    device = next(module.parameters()).device

    def tensor(leaf: Any) -> Any:
        return leaf.to(device) if isinstance(leaf, torch.Tensor) else torch.as_tensor(np.asarray(leaf), device=device)

    arguments, options = _as_call(tuple(example) if isinstance(example, list) else example)
    with torch.no_grad():
        result = module(*map(tensor, arguments), **{name: tensor(leaf) for name, leaf in options.items()})
    expected = np.asarray(_pick(result, output).float().cpu(), np.float64)
    gap, scale = float(np.abs(np.asarray(found, np.float64) - expected).max()), float(np.abs(expected).max())
    if not gap <= _SAME_OUTPUT * scale:
        fail("module", f"outputs that differ by {gap:.2g} of {scale:.2g} between torch and JAX", "a pure function")
