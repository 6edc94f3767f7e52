"""The plan of an empirical NTK, without computing it."""

from verax._types import ApplyFn, PyTree

from ._computation import prepare
from ._directions import Output
from ._network import ParamFilter
from ._plan import NTKPlan


def ntk_plan(
    apply_fn: ApplyFn,
    params: PyTree,
    x: PyTree,
    x2: PyTree | None = None,
    *,
    output: Output = "trace",
    method: str = "auto",
    block_size: int | None = None,
    memory_budget: int | None = None,
    param_filter: ParamFilter | None = None,
) -> NTKPlan:
    """Plan :func:`empirical_ntk` without computing it.

    Parameters
    ----------
    apply_fn, params, x, x2, output, method, block_size, memory_budget, param_filter
        As for :func:`empirical_ntk`.

    Returns
    -------
    NTKPlan
        Route, reason and cost of every leaf; block size; total operations and bytes.

    Raises
    ------
    ValueError
        As :func:`empirical_ntk`.

    Notes
    -----
    Costs one abstract evaluation of the network and a forward pass over two examples (the check that examples do not
    influence each other).

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from verax.ntk import ntk_plan
    >>> params = {"w": jnp.ones((50, 20)), "b": jnp.ones(20)}
    >>> plan = ntk_plan(lambda p, x: x @ p["w"] + p["b"], params, jnp.ones((8, 50)))
    >>> [(leaf.path, leaf.route) for leaf in plan.leaves]
    [('b', 'hadamard'), ('w', 'hadamard')]
    """
    computation, _ = prepare(
        apply_fn,
        params,
        x,
        x2,
        output=output,
        method=method,
        block_size=block_size,
        memory_budget=memory_budget,
        param_filter=param_filter,
        argument="x",
    )
    return computation.plan
